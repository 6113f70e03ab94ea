"""OpenAI Agents: each agent of a run acts in its own session, and in no other."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from clawguard import (
    AsyncSessionManager,
    DelegationRefused,
    InvalidArgument,
    NoSession,
    SessionManager,
    StoreUnavailable,
    Verifier,
    current_session,
    requires,
)
from clawguard.models import IssuedSession
from tests.clocks import FakeClock
from tests.held import hold_reads
from tests.openers import open_manager
from tests.schemas import schema

pytest.importorskip("agents", reason="needs the extra openai-agents")

import agents
from agents import Agent, RunConfig, Runner, UserError, function_tool

from clawguard.agents.credentials import Credential
from clawguard.agents.openai import AgentSessions, HandoffHooks, session_guardrail
from tests.agents.openai_models import Scripted, Spans, call, hand_off, says

READS = [session_guardrail("docs:read")]
SENDS = [session_guardrail("mail:send")]
BOUND = [session_guardrail()]


def who() -> str:
    return f"{current_session().agent_id} with {current_session().scopes}"


@function_tool(tool_input_guardrails=READS)
async def read() -> str:
    """Read."""
    await asyncio.sleep(0.01)
    return f"read by {who()}"


@function_tool(tool_input_guardrails=SENDS)
def send() -> str:
    """Send; a plain function, which the SDK runs in a thread."""
    return f"sent by {who()}"


@requires("mail:send")
def deeper() -> str:
    return who()


@function_tool(tool_input_guardrails=BOUND, failure_error_function=lambda _, error: f"failed: {error}")
def send_deeper() -> str:
    """Send in a function that asks for the scope itself."""
    return deeper()


TOOLS = [read, send, send_deeper]


@pytest.fixture
def coordinator(manager: SessionManager) -> IssuedSession:
    return manager.create("coordinator", scopes="docs:read mail:send")


def agent(name: str, model: Scripted, *handoffs: Agent[Any], tools: Any = TOOLS) -> Agent[Any]:
    return Agent(name=name, instructions="Do it.", model=model, tools=list(tools), handoffs=list(handoffs))


def run(first: Agent[Any], context: Any, **options: Any) -> list[str]:
    """Run, and return what the tools and hand-offs answered."""
    return answers(asyncio.run(Runner.run(first, "go", context=context, hooks=HandoffHooks(), **options)))


def answers(result: Any) -> list[str]:
    items = result.to_input_list()
    return [item["output"] for item in items if item.get("type") == "function_call_output"]


@pytest.mark.parametrize("given", ["token", "record", "context"])
@pytest.mark.parametrize("twin", [False, True])
def test_a_tool_runs_in_the_session_of_its_agent(
    manager: SessionManager, coordinator: IssuedSession, given: str, twin: bool
) -> None:
    credentials: dict[str, Credential] = {
        "token": coordinator.token,
        "record": coordinator,
        "context": manager.validate(coordinator.token),
    }
    model = Scripted([call("read"), call("send"), call("send_deeper")], [says("done")])
    opened = AsyncSessionManager(manager) if twin else manager
    sessions = AgentSessions(opened, {"coordinator": credentials[given]})
    assert run(agent("coordinator", model), sessions) == [
        "read by coordinator with docs:read mail:send",
        "sent by coordinator with docs:read mail:send",
        "coordinator with docs:read mail:send",
    ]
    with pytest.raises(NoSession):
        current_session()


def test_a_verifier_will_do_where_nothing_is_delegated(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "clawguard.db"
    with open_manager(path, clock=clock) as own, Verifier.open(path, clock=clock) as verifier:
        session = own.create("coordinator", scopes="docs:read")
        model = Scripted([call("read")], [says("done")])
        sessions = AgentSessions(verifier, {"coordinator": session.token})
        assert run(agent("coordinator", model), sessions) == ["read by coordinator with docs:read"]
        with pytest.raises(InvalidArgument, match="need a SessionManager"):
            AgentSessions(verifier, {"coordinator": session.token}, handoffs={"helper": "docs:read"})


def test_attack_a_specialist_uses_the_scope_of_the_coordinator(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    """The hand-off narrows: what the coordinator may do, the specialist may not, in the same run."""
    first = Scripted([call("send")], [hand_off("specialist")])
    second = Scripted([call("read"), call("send"), call("send_deeper")], [says("done")])
    specialist = agent("specialist", second)
    sessions = AgentSessions(manager, {"coordinator": coordinator}, handoffs={"specialist": "docs:read"})
    assert run(agent("coordinator", first, specialist), sessions) == [
        "sent by coordinator with docs:read mail:send",
        json.dumps({"assistant": "specialist"}),
        "read by specialist with docs:read",
        "refused: this agent lacks the scope mail:send",
        "failed: specialist lacks mail:send",
    ]
    assert [str(each.scopes) for each in manager.sessions.children(coordinator).items] == ["docs:read"]
    manager._parts.recorder.flush()
    denied = manager.events.read(types="guard.denied")
    assert {(each.agent_id, each.reason) for each in denied} == {("specialist", "insufficient_scope")}


def test_a_streamed_run_is_guarded_alike(manager: SessionManager, coordinator: IssuedSession) -> None:
    second = Scripted([call("read"), call("send")], [says("done")])
    entry = agent("coordinator", Scripted([hand_off("specialist")]), agent("specialist", second))

    async def host() -> list[str]:
        handoffs = {"specialist": "docs:read"}
        async with AgentSessions(manager, {"coordinator": coordinator}, handoffs=handoffs) as sessions:
            result = Runner.run_streamed(entry, "go", context=sessions, hooks=HandoffHooks())
            async for _ in result.stream_events():
                pass
            return answers(result)

    assert asyncio.run(host())[1:] == [
        "read by specialist with docs:read",
        "refused: this agent lacks the scope mail:send",
    ]


def test_attack_an_agent_without_a_session_uses_the_runs(
    manager: SessionManager, coordinator: IssuedSession, caplog: pytest.LogCaptureFixture
) -> None:
    first = Scripted([hand_off("stranger")])
    second = Scripted([call("read"), call("send_deeper")], [says("done")])
    sessions = AgentSessions(manager, {"coordinator": coordinator})
    with manager.use(coordinator.token), caplog.at_level(logging.WARNING, "clawguard"):
        got = run(agent("coordinator", first, agent("stranger", second)), sessions)
    assert got[1:] == ["refused: no session", "refused: no session"]
    assert "the agent 'stranger' has no session in this run" in caplog.text


def test_an_agent_that_is_a_tool_needs_a_session_of_its_own(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    inner = Scripted([call("read")], [says("inner done")])
    helper = agent("helper", inner).as_tool("helper", "Helps.")
    helper.tool_input_guardrails = BOUND
    outer = Scripted([call("helper", input="go")], [says("done")])
    run(agent("coordinator", outer, tools=[helper]), AgentSessions(manager, {"coordinator": coordinator}))
    assert "refused: no session" in inner.seen[-1]


@pytest.mark.parametrize("context", [None, {"agent_sessions": 1}, SimpleNamespace(agent_sessions="x")])
def test_a_run_without_sessions_is_refused(context: Any) -> None:
    other = agent("other", Scripted([call("read")], [says("done")]))
    model = Scripted([call("read")], [hand_off("other")])
    first, _, last = run(agent("coordinator", model, other), context)
    assert (first, last) == ("refused: no session", "refused: no session")


def test_a_context_of_the_hosts_own_may_carry_the_sessions(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    model = Scripted([call("read")], [says("done")])
    own = SimpleNamespace(agent_sessions=AgentSessions(manager, {"coordinator": coordinator}))
    assert run(agent("coordinator", model), own) == ["read by coordinator with docs:read mail:send"]


@pytest.mark.parametrize(
    ("verb", "answer"),
    [
        (lambda m, s: m.revoke(s, reason="leaked by bob"), "refused: session ended"),
        (lambda m, s: m.refresh(s), "refused: token superseded"),
    ],
)
def test_after_a_revoke_the_next_call_is_refused(
    manager: SessionManager, coordinator: IssuedSession, verb: Any, answer: str
) -> None:
    def before(turn: int) -> None:
        if turn == 2:
            verb(manager, coordinator)

    model = Scripted([call("read")], [call("read")], [says("done")], before=before)
    got = run(agent("coordinator", model), AgentSessions(manager, {"coordinator": coordinator}))
    assert got == ["read by coordinator with docs:read mail:send", answer]
    assert "bob" not in "".join(model.seen)


def test_a_tool_whose_session_ends_tells_its_model_no_reason(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    """Also where the SDK shows a model the error of a function deeper down."""

    @function_tool(tool_input_guardrails=BOUND, failure_error_function=lambda _, error: f"failed: {error}")
    def end_and_send() -> str:
        """Send too late."""
        manager.revoke(coordinator, reason="leaked by bob")
        return deeper()

    model = Scripted([call("end_and_send")], [says("done")])
    sessions = AgentSessions(manager, {"coordinator": coordinator})
    assert run(agent("coordinator", model, tools=[end_and_send]), sessions) == [
        "failed: session ended: revoked"
    ]


def test_revoking_the_coordinator_ends_the_specialist(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    def before(turn: int) -> None:
        if turn == 2:
            manager.revoke(coordinator)

    second = Scripted([call("read")], [call("read")], [says("done")], before=before)
    sessions = AgentSessions(manager, {"coordinator": coordinator}, handoffs={"specialist": "docs:read"})
    got = run(agent("coordinator", Scripted([hand_off("specialist")]), agent("specialist", second)), sessions)
    assert got[1:] == ["read by specialist with docs:read", "refused: session ended"]


def test_each_call_spends_one_use(manager: SessionManager) -> None:
    counted = manager.create("coordinator", scopes="docs:read mail:send", max_uses=3)
    model = Scripted([call("read")], [call("send_deeper")], [call("read")], [call("read")], [says("done")])
    got = run(agent("coordinator", model), AgentSessions(manager, {"coordinator": counted}))
    assert [each.startswith("refused") for each in got] == [False, False, False, True]


def test_parallel_calls_and_runs_never_mix(manager: SessionManager) -> None:
    """Twenty runs at once, each with calls in parallel, of agents that bear the same name."""

    async def one(number: int) -> list[str]:
        lead = manager.create(f"lead-{number}", scopes="docs:read mail:send", subject=f"user:{number}")
        first = Scripted([call("send"), call("read"), call("send")], [hand_off("specialist")])
        second = Scripted([call("read"), call("send"), call("read")], [says("done")])
        entry = agent("lead", first, agent("specialist", second))
        async with AgentSessions(manager, {"lead": lead}, handoffs={"specialist": "docs:read"}) as sessions:
            return answers(await Runner.run(entry, "go", context=sessions, hooks=HandoffHooks()))

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    for number, got in enumerate(asyncio.run(all_of_them())):
        lead = f"by lead-{number} with docs:read mail:send"
        assert got[:3] == [f"sent {lead}", f"read {lead}", f"sent {lead}"]
        assert [each.startswith("refused") for each in got[4:]] == [False, True, False]
    assert {each.subject for each in manager.sessions.iter(agent_id="specialist")} == {
        f"user:{number}" for number in range(20)
    }
    assert all(each.ended_at for each in manager.sessions.iter(agent_id="specialist"))


def test_no_session_of_the_code_around_is_bound_in_the_block(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    @function_tool
    def unguarded() -> str:
        """Nobody looks."""
        try:
            return who()
        except NoSession:
            return "nobody"

    async def host() -> list[str]:
        with manager.use(coordinator.token):
            async with AgentSessions(manager, {}) as sessions:
                model = Scripted([call("unguarded")], [says("done")])
                got = answers(await Runner.run(agent("x", model, tools=[unguarded]), "go", context=sessions))
            assert current_session().agent_id == "coordinator"
            return got

    assert asyncio.run(host()) == ["nobody"]


def test_a_guardrail_before_an_approval_is_asked_as_well(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    manager.revoke(coordinator)
    tool = function_tool(lambda: "never", name_override="risky", needs_approval=True)
    tool.tool_input_guardrails = READS
    model = Scripted([call("risky")], [says("done")])
    if not hasattr(agents, "ToolExecutionConfig"):
        pytest.skip("needs a version that asks guardrails before an approval")
    config = RunConfig(tool_execution=agents.ToolExecutionConfig(pre_approval_tool_input_guardrails=True))
    sessions = AgentSessions(manager, {"coordinator": coordinator})
    assert run(agent("coordinator", model, tools=[tool]), sessions, run_config=config) == [
        "refused: session ended"
    ]


def test_attack_a_call_that_was_approved_runs_after_its_session_ended(
    manager: SessionManager, coordinator: IssuedSession
) -> None:
    """Also a call inside of another's, whose own guardrail the SDK does not ask again."""
    tool = function_tool(who, name_override="risky", needs_approval=True)
    tool.tool_input_guardrails = READS
    own = manager.create("helper", scopes="docs:read")
    inner = Scripted([call("risky")], [says("done")])
    helper = agent("helper", inner, tools=[tool]).as_tool("helper", "Helps.")
    outer = Scripted([call("risky"), call("helper", input="go")], [says("done")])
    entry = agent("coordinator", outer, tools=[tool, helper])

    async def host() -> None:
        given = {"coordinator": coordinator, "helper": own}
        stopped = await Runner.run(entry, "go", context=AgentSessions(manager, given))
        state = stopped.to_state()
        for each in stopped.interruptions:
            state.approve(each)
        manager.revoke(coordinator)
        manager.revoke(own)
        await Runner.run(entry, state)

    asyncio.run(host())
    for model in (outer, inner):
        assert "refused: session ended" in model.seen[-1]


def test_while_a_server_reads_the_loop_turns_on() -> None:
    with schema() as url, open_manager(url) as manager:
        sessions = AgentSessions(manager, {"reader": manager.create("reader", scopes="docs:read")})

        async def host() -> list[str]:
            letting_go = await hold_reads(url)
            reader = agent("reader", Scripted([call("read")], [says("done")]))
            got = answers(await Runner.run(reader, "go", context=sessions))
            await letting_go
            return got

        assert asyncio.run(host()) == ["read by reader with docs:read"]


def test_a_store_that_fails_fails_the_run(manager: SessionManager, coordinator: IssuedSession) -> None:
    model = Scripted([call("read")], before=lambda _: manager.close())
    with pytest.raises(UserError) as failure:
        run(agent("coordinator", model), AgentSessions(manager, {"coordinator": coordinator}))
    assert isinstance(failure.value.__cause__, StoreUnavailable)


def test_a_hand_off_never_widens(manager: SessionManager) -> None:
    lead = manager.create("lead", scopes="docs:read")
    second = Scripted([call("send")], [says("done")])
    sessions = AgentSessions(manager, {"lead": lead}, handoffs={"mailer": "mail:send"})
    with pytest.raises(DelegationRefused):
        run(agent("lead", Scripted([hand_off("mailer")]), agent("mailer", second)), sessions)
    assert not second.seen
    with pytest.raises(NoSession):
        sessions.use("mailer")


@pytest.mark.parametrize(
    ("sessions", "handoffs"),
    [
        ({"lead": 7}, None),
        ({"lead": None}, None),
        ({"": "token"}, None),
        ({"lead": "token"}, {"helper": "Not A Scope"}),
        ({"lead": "token"}, {"lead": "docs:read"}),
    ],
)
def test_what_cannot_be_is_refused_at_once(manager: SessionManager, sessions: Any, handoffs: Any) -> None:
    with pytest.raises(InvalidArgument):
        AgentSessions(manager, sessions, handoffs=handoffs)


def test_no_credential_reaches_the_model_a_log_or_a_stored_run(
    manager: SessionManager, coordinator: IssuedSession, caplog: pytest.LogCaptureFixture
) -> None:
    first = Scripted([call("send")], [hand_off("specialist")])
    second = Scripted([call("send"), call("read")], [says("done")])
    sessions = AgentSessions(manager, {"coordinator": coordinator}, handoffs={"specialist": "docs:read"})
    spans = Spans()
    with caplog.at_level(logging.DEBUG), spans.told():
        entry = agent("coordinator", first, agent("specialist", second))
        result = asyncio.run(Runner.run(entry, "go", context=sessions, hooks=HandoffHooks()))
    assert "sent by coordinator" in "".join(spans.seen)
    stored = json.dumps(result.to_state().to_json())
    everything = [
        *spans.seen,
        *first.seen,
        *second.seen,
        caplog.text,
        stored,
        repr(result),
        repr(sessions),
        str(result),
    ]
    tokens = [coordinator.token, str(sessions._find("specialist", None))]
    for text in everything:
        for token in tokens:
            assert not any(part in text for part in token.split("."))
    assert repr(sessions) == "AgentSessions(coordinator, specialist)"
    for refuse in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="holds tokens"):
            refuse(sessions)
