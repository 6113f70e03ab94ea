"""Sessions in the hosts that agents and their tools run in: an adapter for each, one extra each.

callers.py    who calls a server's tools: bound while they run, and what they are refused is noted
guarded.py    what stands before a server over HTTP: the ASGI middleware, and a tool's refusal as its answer
principal.py  who a caller is, in MCP's words
mcp.py        the MCP SDK, 1.x and 2.x
fastmcp.py    FastMCP
credentials.py   what an agent of a host acts with; what its model is told of a refusal
handed.py     what the agents of one run were handed: when it is made, when it ends
openai.py     OpenAI Agents SDK: a session for each agent of a run, and conversations
openai_calls.py   which call of a tool code runs in, and how far what is bound for it reaches
langgraph.py  LangGraph's server
pydantic_ai.py   Pydantic AI
"""
