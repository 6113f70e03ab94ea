"""Pydantic AI: a run shows and does what its session reaches; nobody asks a real model."""

import asyncio
from dataclasses import dataclass

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from clawguard import AsyncSessionManager, IssuedSession, current_session, requires
from clawguard.agents.pydantic_ai import SessionCapability


@dataclass
class Deps:
    """What the tools of a run get; the model sees none of it."""

    session: IssuedSession


def pretend(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stand in the place of a model: call every tool there is, then say what came of it."""
    tools = [tool.name for tool in info.function_tools]
    if tools and len(messages) == 1:
        return ModelResponse([ToolCallPart(name, {"to": "ana"}) for name in tools])
    results = [str(part.content) for part in messages[-1].parts if isinstance(part, ToolReturnPart)]
    return ModelResponse([TextPart("; ".join(results) or "I have no tools.")])


async def read_document(to: str) -> str:
    return f"read to {to} by {current_session().agent_id}"


async def send_mail(to: str) -> str:
    sign_mail()
    return f"sent to {to} by {current_session().agent_id}"


@requires("mail:sign")
def sign_mail() -> None:
    """A check deeper down; what it refuses is the tool's answer too."""


async def main() -> None:
    async with AsyncSessionManager.open(":memory:") as manager:
        guard = SessionCapability[Deps](
            manager,
            session_of=lambda deps: deps.session,
            tools={"read_document": "docs:read", "send_mail": "mail:send"},
        )
        agent = Agent(
            FunctionModel(pretend), deps_type=Deps, capabilities=[guard], tools=[read_document, send_mail]
        )
        planner = await manager.create("planner", scopes="docs:read mail:*", ttl=60)
        helper = await manager.delegate(planner, "helper", scopes="docs:read")
        mailer = await manager.delegate(planner, "mailer", scopes="mail:send")
        for session in (planner, helper, mailer):
            print(f"{session.agent_id}: {(await agent.run('Go.', deps=Deps(session))).output}")
        await manager.revoke(planner)
        print(f"helper, afterwards: {(await agent.run('Go.', deps=Deps(helper))).output}")


if __name__ == "__main__":
    asyncio.run(main())
