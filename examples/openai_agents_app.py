"""OpenAI Agents: a coordinator hands the run to a specialist, who gets less; the model follows a script."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

from clawguard import AsyncSessionManager, current_session
from clawguard.agents.openai import AgentSessions, HandoffHooks, HistorySession, session_guardrail


@function_tool(tool_input_guardrails=[session_guardrail("docs:read")])
def read_document(name: str) -> str:
    return f"{name}, read by {current_session().agent_id}"


@function_tool(tool_input_guardrails=[session_guardrail("mail:send")])
async def send_mail(to: str) -> str:
    return f"sent to {to} by {current_session().agent_id}"


def call(tool: str, **arguments: str) -> ResponseFunctionToolCall:
    text = json.dumps(arguments)
    return ResponseFunctionToolCall(call_id=f"{tool} {text}", name=tool, arguments=text, type="function_call")


def say(text: str) -> ResponseOutputMessage:
    part = ResponseOutputText(text=text, type="output_text", annotations=[])
    return ResponseOutputMessage(id="1", content=[part], role="assistant", status="completed", type="message")


class Scripted(Model):
    """Stand in the place of a model: say one line of the script after another."""

    def __init__(self, *turns: list[Any]) -> None:
        self._turns = iter(turns)

    async def get_response(self, *_: Any, **__: Any) -> ModelResponse:
        return ModelResponse(output=next(self._turns), usage=Usage(), response_id=None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
        raise NotImplementedError


async def main() -> None:
    set_tracing_disabled(True)
    first = Scripted([call("send_mail", to="ana")], [call("transfer_to_specialist")])
    then = Scripted([call("read_document", name="plan"), call("send_mail", to="bob")], [say("Not to Bob.")])
    specialist = Agent(name="specialist", model=then, tools=[read_document, send_mail])
    coordinator = Agent(name="coordinator", model=first, tools=[send_mail], handoffs=[specialist])

    async with AsyncSessionManager.open(":memory:") as manager:
        session = await manager.create("coordinator", scopes="docs:read mail:send", ttl=60)
        given = {"coordinator": session}
        async with AgentSessions(manager, given, handoffs={"specialist": "docs:read"}) as sessions:
            result = await Runner.run(
                coordinator,
                "Tell Ana and Bob about the plan.",
                context=sessions,
                hooks=HandoffHooks(),
                session=HistorySession(manager, session),
            )
        for item in result.to_input_list():
            if item.get("type") == "function_call_output":
                print(item.get("output"))
        print(f"{result.last_agent.name}: {result.final_output}")
        kept, live = await manager.history.count(session), await manager.active_count()
        print(f"{kept} items kept; {live} session live")


if __name__ == "__main__":
    asyncio.run(main())
