"""OpenAI Agents: a run inside of a tool's call is another's, and ends with what it was handed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from clawguard import ConfigError, NoSession, SessionManager, current_session, requires
from clawguard.models import IssuedSession

pytest.importorskip("agents", reason="needs the extra openai-agents")

from agents import Agent, RunContextWrapper, Runner, custom_span, function_tool
from agents.realtime import RealtimeAgent, RealtimeModel, RealtimeSession
from agents.realtime.model_events import RealtimeModelToolCallEvent

from clawguard.agents.openai import AgentSessions, HandoffHooks, session_guardrail
from tests.agents.openai_models import Scripted, Spans, call, hand_off, says

GUARDS = [session_guardrail("docs:read")]


@function_tool
def plain() -> str:
    """Tell who acts, in a thread; unguarded."""
    return who()


@function_tool
async def plain_async() -> str:
    """Tell who acts; unguarded."""
    await asyncio.sleep(0)
    return who()


def who() -> str:
    try:
        return f"{guarded()} {current_session().agent_id}"
    except NoSession:
        return "nobody"


@requires("docs:read")
def guarded() -> str:
    return "may read, as"


@function_tool(tool_input_guardrails=GUARDS)
async def read() -> str:
    """Tell who acts."""
    return who()


def inner(*tools: Any, turns: list[Any] | None = None, **more: Any) -> Agent[Any]:
    """Make an agent that nobody gave a session."""
    said = turns or [[call(each.name) for each in tools], [says("done")]]
    return Agent(name="helper", model=Scripted(*said), tools=list(tools), **more)


def as_tool(agent: Agent[Any], **more: Any) -> Any:
    tool = agent.as_tool("helper", "Helps.", **more)
    tool.tool_input_guardrails = GUARDS
    return tool


def in_its_body(agent: Agent[Any]) -> Any:
    @function_tool(name_override="helper", tool_input_guardrails=GUARDS)
    async def body(context: RunContextWrapper[Any], input: str) -> str:
        """Help."""
        await Runner.run(agent, input, context=context.context)
        return who()

    return body


def streamed_in_its_body(agent: Agent[Any]) -> Any:
    @function_tool(name_override="helper", tool_input_guardrails=GUARDS)
    async def body(input: str) -> str:
        """Help, in a run without our sessions."""
        async for _ in Runner.run_streamed(agent, input).stream_events():
            pass
        return who()

    return body


WAYS: list[Callable[[Agent[Any]], Any]] = [as_tool, in_its_body, streamed_in_its_body]


@pytest.fixture(params=["untraced", "traced"])
def tracing(request: pytest.FixtureRequest) -> Iterator[None]:
    told: AbstractContextManager[None] = Spans().told() if request.param == "traced" else nullcontext()
    with told:
        yield


@pytest.fixture
def lead(manager: SessionManager) -> IssuedSession:
    return manager.create("lead", scopes="docs:read mail:send")


def run(sessions: AgentSessions, tool: Any, *calls: str) -> Scripted:
    """Have the lead call a tool, once or as often as it is given something to say; return its model."""
    model = Scripted([call(tool.name, input=each) for each in calls or ("go",)], [says("done")])
    outer = Agent(name="lead", model=model, tools=[tool])
    asyncio.run(Runner.run(outer, "go", context=sessions, hooks=HandoffHooks()))
    return model


def shown(agent: Agent[Any]) -> str:
    model = agent.model
    assert isinstance(model, Scripted)
    return model.seen[-1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("tracing")
def test_attack_an_agent_inside_of_a_call_acts_as_who_called(
    manager: SessionManager, lead: IssuedSession, way: Callable[[Agent[Any]], Any]
) -> None:
    """Its tools that nobody guards are nobody's; the tool that began its run goes on as it was."""
    helper = inner(plain, plain_async, read)
    model = run(AgentSessions(manager, {"lead": lead}), way(helper))
    assert shown(helper).count("nobody") == 2
    assert "refused: no session" in shown(helper)
    assert "may read" not in shown(helper)
    assert way is as_tool or "may read, as lead" in model.seen[-1]


@pytest.mark.usefixtures("tracing")
def test_an_agent_inside_of_a_call_acts_in_its_own_session(
    manager: SessionManager, lead: IssuedSession
) -> None:
    helper = inner(read, plain)
    run(
        AgentSessions(manager, {"lead": lead, "helper": manager.create("own", scopes="docs:*")}),
        as_tool(helper),
    )
    assert "may read, as own" in shown(helper)
    assert "nobody" in shown(helper)


@pytest.mark.usefixtures("tracing")
def test_spans_threads_and_tasks_of_a_tools_own_are_its_own(
    manager: SessionManager, lead: IssuedSession
) -> None:
    outlives: list[asyncio.Task[str]] = []

    @function_tool(tool_input_guardrails=GUARDS)
    async def busy(input: str) -> str:
        """Work in many places."""

        async def later() -> str:
            await asyncio.sleep(0.05)
            return who()

        outlives.append(asyncio.create_task(later()))
        with custom_span("one"), custom_span("two"):
            found = [who(), await asyncio.to_thread(who), *await asyncio.gather(asyncio.to_thread(who))]
        return ", ".join(found)

    async def host() -> str:
        model = Scripted([call("busy", input="go")], [says("done")])
        outer = Agent(name="lead", model=model, tools=[busy])
        await Runner.run(outer, "go", context=AgentSessions(manager, {"lead": lead}))
        assert await outlives[0] == "nobody"
        return model.seen[-1]

    assert asyncio.run(host()).count("may read, as lead") == 3


def handing(way: str) -> tuple[Any, Agent[Any]]:
    """Make a tool that is an agent, which hands its run to a specialist; guarded, or not even that."""
    specialist = Agent(name="specialist", model=Scripted([call("read")], [says("done")]), tools=[read])
    helper = inner(turns=[[hand_off("specialist")]], handoffs=[specialist])
    tool = helper.as_tool("helper", "Helps.", hooks=HandoffHooks())
    tool.tool_input_guardrails = GUARDS if way == "guarded" else None
    return tool, specialist


@pytest.mark.parametrize("way", ["guarded", "unguarded"])
@pytest.mark.usefixtures("tracing")
def test_what_a_run_inside_of_a_call_was_handed_ends_with_it(
    manager: SessionManager, lead: IssuedSession, way: str
) -> None:
    tool, specialist = handing(way)
    live: list[list[str]] = []

    @function_tool
    def look(input: str) -> str:
        """See who is left."""
        live.append([each.agent_id for each in manager.sessions.iter(live=True)])
        return "seen"

    async def host() -> None:
        model = Scripted([call("helper", input="go")], [call("look", input="go")], [says("done")])
        outer = Agent(name="lead", model=model, tools=[tool, look])
        given = {"lead": lead, "helper": manager.create("helper", scopes="docs:read")}
        sessions = AgentSessions(manager, given, handoffs={"specialist": "docs:read"})
        async with sessions:
            await Runner.run(outer, "go", context=sessions)
            with pytest.raises(NoSession):
                sessions.use("specialist")

    asyncio.run(host())
    assert "may read, as specialist" in shown(specialist)
    (ended,) = manager.sessions.iter(agent_id="specialist")
    assert ended.cause == "finished"
    assert all("specialist" not in each for each in live)


@pytest.mark.usefixtures("tracing")
def test_two_calls_at_once_have_a_specialist_each(manager: SessionManager, lead: IssuedSession) -> None:
    """The second hand-off in another call takes nothing from the first."""
    both = asyncio.Barrier(2)

    @function_tool(name_override="read", tool_input_guardrails=GUARDS)
    async def meet() -> str:
        """Wait for the other one."""
        await asyncio.wait_for(both.wait(), 30)
        return who()

    models = [Scripted([call("read")], [call("read")], [says("done")]) for _ in range(2)]

    @function_tool(name_override="helper", tool_input_guardrails=GUARDS)
    async def helper(context: RunContextWrapper[Any], input: str) -> str:
        """Have a specialist help."""
        await context.context.hand_over("lead", "specialist")
        agent = Agent(name="specialist", model=models[int(input)], tools=[meet])
        await Runner.run(agent, "go", context=context.context)
        return who()

    run(AgentSessions(manager, {"lead": lead}, handoffs={"specialist": "docs:read"}), helper, "0", "1")
    for model in models:
        assert model.seen[-1].count("may read, as specialist") == 2
    ended = list(manager.sessions.iter(agent_id="specialist"))
    assert [each.cause for each in ended] == ["finished"] * 2


def handing_to_a_specialist(name: str, *turns: Any, tool: Any = read, **more: Any) -> tuple[Any, Scripted]:
    """Make a tool that nobody guards: an agent that hands its run to a specialist; return its model too."""
    model = Scripted(*turns)
    specialist = Agent(name="specialist", model=model, tools=[tool])
    helper = Agent(name=name, model=Scripted([hand_off("specialist")]), handoffs=[specialist])
    return helper.as_tool(name, "Helps.", hooks=HandoffHooks(), **more), model


@pytest.mark.usefixtures("tracing")
def test_attack_a_specialist_acts_below_the_helper_of_another_call(
    manager: SessionManager, lead: IssuedSession
) -> None:
    """Two helpers at once, in calls that nobody guards, hand over to specialists of one name."""
    both = asyncio.Barrier(2)

    @function_tool(tool_input_guardrails=GUARDS)
    async def meet() -> str:
        """Wait for the other one, and tell below whom."""
        await asyncio.wait_for(both.wait(), 30)
        return f"below {current_session().actors[0].agent_id}"

    made = [
        handing_to_a_specialist(name, [call("meet")], [says("done")], tool=meet) for name in ("one", "two")
    ]
    model = Scripted([call("one", input="go"), call("two", input="go")], [says("done")])
    given = {name: manager.create(name, scopes="docs:read") for name in ("one", "two")}
    sessions = AgentSessions(manager, {"lead": lead, **given}, handoffs={"specialist": "docs:read"})
    outer = Agent(name="lead", model=model, tools=[tool for tool, _ in made])
    asyncio.run(asyncio.wait_for(Runner.run(outer, "go", context=sessions), 60))
    for (_, seen), name in zip(made, given, strict=True):
        assert f"below {name}" in seen.seen[-1]


@pytest.mark.usefixtures("tracing")
def test_attack_an_agent_finds_what_a_run_that_failed_left_to_its_name(
    manager: SessionManager, lead: IssuedSession
) -> None:
    helper, _ = handing_to_a_specialist("helper", [call("read")], [call("read")], max_turns=2)
    other = Agent(name="specialist", model=Scripted([call("read")], [says("done")]), tools=[read])
    model = Scripted([call("helper", input="go")], [call("other", input="go")], [says("done")])
    outer = Agent(name="lead", model=model, tools=[helper, other.as_tool("other", "Helps too.")])
    given = {"lead": lead, "helper": manager.create("helper", scopes="docs:read")}
    sessions = AgentSessions(manager, given, handoffs={"specialist": "docs:read"})
    asyncio.run(Runner.run(outer, "go", context=sessions))
    assert "refused: no session" in shown(other)


def test_runs_in_threads_of_their_own_end_what_they_were_handed(
    manager: SessionManager, lead: IssuedSession
) -> None:
    """Each in an event loop of its own, beside that of the outer run."""
    begun = threading.Barrier(3)

    @function_tool(name_override="helper", tool_input_guardrails=GUARDS)
    def in_a_thread(context: RunContextWrapper[Any], input: str) -> str:
        """Help, in a plain function."""
        begun.wait(30)
        specialist = Agent(name="specialist", model=Scripted([call("read")], [says("done")]), tools=[read])
        helper = inner(turns=[[hand_off("specialist")]], handoffs=[specialist])
        asyncio.run(Runner.run(helper, input, context=context.context, hooks=HandoffHooks()))
        return f"{who()}, {shown(specialist).count('may read, as specialist')} below"

    model = Scripted([call("helper", input="go") for _ in range(3)], [says("done")])
    given = {"lead": lead, "helper": manager.create("helper", scopes="docs:read")}

    async def host() -> None:
        async with AgentSessions(manager, given, handoffs={"specialist": "docs:read"}) as sessions:
            await Runner.run(Agent(name="lead", model=model, tools=[in_a_thread]), "go", context=sessions)

    asyncio.run(host())
    assert model.seen[-1].count("may read, as lead, 1 below") == 3
    ended = list(manager.sessions.iter(agent_id="specialist"))
    assert [each.cause for each in ended] == ["finished"] * 3


class Transport(RealtimeModel):
    """Call tools in one task, as a realtime model's connection does."""

    def __init__(self) -> None:
        self.said: list[str] = []

    async def connect(self, options: Any) -> None:
        pass

    def add_listener(self, listener: Any) -> None:
        self.listener = listener

    def remove_listener(self, listener: Any) -> None:
        pass

    async def send_event(self, event: Any) -> None:
        self.said.append(str(getattr(event, "output", "")))

    async def send_event_if(self, event: Any, send_if: Callable[[], bool]) -> bool:
        if send_if():
            await self.send_event(event)
        return True

    async def close(self) -> None:
        pass


async def realtime(sessions: AgentSessions, transport: Transport, first: Any = read, **config: Any) -> None:
    agent = RealtimeAgent(name="lead", tools=[first, plain_async])
    async with RealtimeSession(transport, agent, sessions, run_config=config) as session:  # type: ignore[arg-type]
        for name in (first.name, "plain_async"):
            await session.on_event(RealtimeModelToolCallEvent(name=name, call_id=name, arguments="{}"))
            for _ in range(200):
                if len([each for each in transport.said if each]) == (1 if name == first.name else 2):
                    break
                await asyncio.sleep(0.01)


def test_a_realtime_agent_acts_in_its_session_call_by_call(
    manager: SessionManager, lead: IssuedSession
) -> None:
    transport = Transport()
    asyncio.run(realtime(AgentSessions(manager, {"lead": lead}), transport))
    assert [each for each in transport.said if each] == ["may read, as lead", "nobody"]


def test_a_task_that_outlives_its_call_is_nobodys_where_no_span_tells(
    manager: SessionManager, lead: IssuedSession
) -> None:
    async def host() -> None:
        go_on = asyncio.Event()
        left: list[asyncio.Task[str]] = []

        @function_tool(tool_input_guardrails=GUARDS)
        async def leave() -> str:
            """Leave something behind."""

            async def later() -> str:
                await go_on.wait()
                return who()

            left.append(asyncio.create_task(later()))
            return who()

        transport = Transport()
        await realtime(AgentSessions(manager, {"lead": lead}), transport, leave)
        assert [each for each in transport.said if each] == ["may read, as lead", "nobody"]
        go_on.set()
        assert await left[0] == "nobody"

    asyncio.run(host())


def test_attack_a_realtime_session_whose_tools_share_a_task(
    manager: SessionManager, lead: IssuedSession
) -> None:
    """What was bound for one call would be bound for all that come after it: nothing is."""
    transport = Transport()
    with pytest.raises(ConfigError, match="async_tool_calls"):
        asyncio.run(realtime(AgentSessions(manager, {"lead": lead}), transport, async_tool_calls=False))
    assert not [each for each in transport.said if each]
