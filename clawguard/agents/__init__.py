"""Sessions in the hosts that agents and their tools run in: an adapter for each, one extra each.

callers.py    who calls a server's tools: bound while they run, and what they are refused is noted
guarded.py    what stands before a server over HTTP: the ASGI middleware, and a tool's refusal as its answer
principal.py  who a caller is, in MCP's words
mcp.py        the MCP SDK, 1.x and 2.x
fastmcp.py    FastMCP
"""
