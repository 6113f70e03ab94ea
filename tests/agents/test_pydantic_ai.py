"""Pydantic AI: a model sees the tools that its agent's session reaches, and each call is checked again."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from clawguard import (
    AsyncSessionManager,
    ConfigError,
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

pytest.importorskip("pydantic_ai", reason="needs the extra pydantic-ai")

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, TextOutput, ToolOutput, UnexpectedModelBehavior, models
from pydantic_ai.capabilities import Instrumentation, NativeTool
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.test import TestModel
from pydantic_ai.native_tools import CodeExecutionTool, MCPServerTool, WebSearchTool

from clawguard.agents.credentials import Credential
from clawguard.agents.pydantic_ai import SessionCapability

models.ALLOW_MODEL_REQUESTS = False
SCOPES = {"read": "docs:read", "send": "mail:send", "deeper": "docs:read", "endless": "docs:read", "open": ""}


@dataclass
class Deps:
    session: Credential | None


class Scripted:
    """Answer with one turn of the script after another; keep what the model was shown."""

    def __init__(self, *turns: list[str], before: Callable[[int], object] | None = None) -> None:
        self._turns = list(turns)
        self._before = before
        self.tools: list[set[str]] = []
        self.seen: list[str] = []
        self.model = FunctionModel(self._answer)

    def _answer(self, messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        self.tools.append({tool.name for tool in info.function_tools})
        self.seen.append(repr(messages) + repr(info))
        if self._before is not None:
            self._before(len(self.seen))
        turn = self._turns.pop(0) if self._turns else []
        return ModelResponse([ToolCallPart(name, {}) for name in turn] or [TextPart("done")])


@requires("mail:send")
def needs_more() -> str:
    return "sent"


def agent(verifier: Any, model: Any) -> Agent[Deps, str]:
    capability = SessionCapability[Deps](verifier, session_of=lambda deps: deps.session, tools=SCOPES)
    made = Agent(model, deps_type=Deps, capabilities=[capability])

    @made.tool_plain
    def read() -> str:
        """Read; a plain function, which runs in a thread."""
        time.sleep(0.01)
        return f"read by {current_session().agent_id}"

    @made.tool_plain
    async def send() -> str:
        """Send."""
        return f"sent by {current_session().agent_id}"

    @made.tool_plain
    def deeper() -> str:
        """Ask for more below."""
        return needs_more()

    @made.tool_plain
    async def endless() -> str:
        """Work for ever."""
        await asyncio.sleep(60)
        return "never"

    @made.tool_plain
    def unnamed() -> str:
        """Nobody said what it needs."""
        return "never"

    @made.tool_plain(name="open")
    def open_to_all() -> str:
        """Any session will do."""
        return f"open to {current_session().agent_id}"

    return made


@pytest.fixture
def reader(manager: SessionManager) -> IssuedSession:
    return manager.create("reader", scopes="docs:*")


def run(verifier: Any, script: Scripted, session: Credential | None) -> list[tuple[str, str]]:
    """Run, and return what the tools answered."""
    return answers(asyncio.run(agent(verifier, script.model).run("go", deps=Deps(session))))


def answers(result: Any) -> list[tuple[str, str]]:
    parts = [part for message in result.all_messages() for part in message.parts]
    return [
        (part.tool_name, str(part.content))
        for part in parts
        if isinstance(part, ToolReturnPart) or part.part_kind == "retry-prompt"
    ]


REACHED = {"read", "deeper", "endless", "open"}


@pytest.mark.parametrize("given", ["token", "record", "context"])
@pytest.mark.parametrize("twin", [False, True])
def test_the_model_sees_what_the_session_reaches(
    manager: SessionManager, reader: IssuedSession, given: str, twin: bool
) -> None:
    credentials: dict[str, Credential] = {
        "token": reader.token,
        "record": reader,
        "context": manager.validate(reader.token),
    }
    script = Scripted(["read", "open"])
    got = run(AsyncSessionManager(manager) if twin else manager, script, credentials[given])
    assert script.tools == [REACHED, REACHED]
    assert got == [("read", "read by reader"), ("open", "open to reader")]
    with pytest.raises(NoSession):
        current_session()


def test_a_verifier_will_do(tmp_path: Path) -> None:
    clock, path = FakeClock(), tmp_path / "clawguard.db"
    with open_manager(path, clock=clock) as own, Verifier.open(path, clock=clock) as verifier:
        session = own.create("sender", scopes="mail:send")
        assert run(verifier, Scripted(["send"]), session.token) == [("send", "sent by sender")]


def test_attack_a_model_calls_a_tool_that_was_hidden_from_it(
    manager: SessionManager, reader: IssuedSession
) -> None:
    script = Scripted(["send"], ["unnamed"], ["deeper"])
    got = run(manager, script, reader.token)
    assert [text.startswith("Unknown tool name") for _, text in got] == [True, True, False]
    assert got[2] == ("deeper", "refused: this agent lacks the scope mail:send")
    assert "sent" not in "".join(text for _, text in got)


def test_a_hidden_tool_stays_refused_where_something_else_shows_it(
    manager: SessionManager, reader: IssuedSession
) -> None:
    """Hiding is for the model; what guards is the check of each call."""
    hidden = dataclasses.make_dataclass("Call", ["name", "kind"])
    capability = SessionCapability[Deps](manager, session_of=lambda deps: deps.session, tools=SCOPES)

    async def called(name: str, deps: Deps) -> Any:
        async def handler(_: Any) -> Any:
            return "ran"

        context: Any = dataclasses.make_dataclass("Context", ["deps"])(deps)
        return await capability.wrap_tool_execute(
            context, call=ToolCallPart(name, {}), tool_def=hidden(name, "function"), args={}, handler=handler
        )

    assert asyncio.run(called("read", Deps(reader))) == "ran"
    for name, deps in (("send", Deps(reader)), ("unnamed", Deps(reader)), ("read", Deps(None))):
        with pytest.raises(Exception, match="refused: ") as failure, manager.use(reader.token):
            asyncio.run(called(name, deps))
        assert type(failure.value).__name__ == "ToolFailed"


class Native(TestModel):
    """Be a model whose provider runs tools of its own; `shown` are those of each request."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[set[str]] = []

    @classmethod
    def supported_native_tools(cls) -> frozenset[Any]:
        return frozenset({CodeExecutionTool, MCPServerTool, WebSearchTool})

    async def request(self, messages: Any, model_settings: Any, model_request_parameters: Any) -> Any:
        self.shown.append({each.unique_id for each in model_request_parameters.native_tools})
        parameters = dataclasses.replace(model_request_parameters, native_tools=[])
        return await super().request(messages, model_settings, parameters)


@pytest.mark.parametrize(
    ("scopes", "shown"), [(None, set()), ("mail:send", set()), ("docs:*", {"mcp_server:docs"})]
)
def test_attack_a_native_tool_that_the_session_does_not_reach(
    manager: SessionManager, scopes: str | None, shown: set[str]
) -> None:
    """Nobody could refuse its call: the provider runs it, with what the host gave it."""
    named = {"mcp_server:docs": "docs:read", "web_search": "web:read"}
    guard = SessionCapability[Deps](manager, session_of=lambda deps: deps.session, tools=named)
    kinds = MCPServerTool(id="docs", url="https://mcp.example.com/mcp"), WebSearchTool(), CodeExecutionTool()
    model = Native()
    made = Agent(model, deps_type=Deps, capabilities=[guard, *(NativeTool[Deps](kind) for kind in kinds)])
    session = None if scopes is None else manager.create("reader", scopes=scopes)
    asyncio.run(made.run("go", deps=Deps(session)))
    assert model.shown == [shown]
    if session is not None:
        manager.revoke(session)
        asyncio.run(made.run("go", deps=Deps(session)))
        assert model.shown == [shown, set()]


def test_a_run_without_a_session_sees_and_does_nothing(
    manager: SessionManager, reader: IssuedSession
) -> None:
    script = Scripted(["read"])
    with manager.use(reader.token):
        ((name, text),) = run(manager, script, None)
    assert (name, script.tools) == ("read", [set(), set()])
    assert text.startswith("Unknown tool name")


ENDS: list[Any] = [lambda m, s: m.revoke(s, reason="leaked by bob"), lambda m, s: m.refresh(s)]


@pytest.mark.parametrize("verb", ENDS)
@pytest.mark.parametrize("given", [lambda s: s.token, lambda s: s.as_context()])
def test_what_ends_between_prompt_and_call_is_refused_and_hidden_afterwards(
    manager: SessionManager, reader: IssuedSession, verb: Any, given: Any
) -> None:
    script = Scripted(["read"], ["read"], before=lambda turn: verb(manager, reader) if turn == 1 else None)
    (_, first), (_, second) = run(manager, script, given(reader))
    assert first in ("refused: session ended", "refused: token superseded")
    assert second.startswith("Unknown tool name")
    assert script.tools == [REACHED, set(), set()]
    assert "bob" not in "".join(script.seen)


def test_what_the_policy_narrows_is_refused_and_hidden(tmp_path: Path) -> None:
    wide = {"roles": {"clerk": {"scopes": "docs:* mail:*"}}}
    narrow = {"roles": {"clerk": {"scopes": "docs:*"}}}
    with open_manager(policy=wide) as manager:
        clerk = manager.create("clerk", scopes="docs:read mail:send", role="clerk")
        script = Scripted(["send"], before=lambda turn: manager.reload_policy(narrow) if turn == 1 else None)
        assert run(manager, script, clerk.token) == [
            ("send", "refused: this agent lacks the scope mail:send")
        ]
        assert ["send" in tools for tools in script.tools] == [True, False]


def test_each_call_spends_one_use_and_a_look_none(manager: SessionManager) -> None:
    counted = manager.create("counted", scopes="docs:read", max_uses=2)
    script = Scripted(["read"], ["open"], ["read"])
    got = run(manager, script, counted.token)
    assert [text for _, text in got[:2]] == ["read by counted", "open to counted"]
    assert got[2][1].startswith("Unknown tool name")


def test_a_tool_is_cancelled_when_its_session_ends(manager: SessionManager, reader: IssuedSession) -> None:
    async def host() -> list[tuple[str, str]]:
        work = asyncio.create_task(
            agent(manager, Scripted(["endless"]).model).run("go", deps=Deps(reader.token))
        )
        await asyncio.sleep(0.2)
        await asyncio.to_thread(manager.revoke, reader)
        return answers(await work)

    assert asyncio.run(host()) == [("endless", "refused: session ended")]


def test_a_task_that_outlives_its_call_is_nobodys(manager: SessionManager, reader: IssuedSession) -> None:
    script, left = Scripted(["read"]), []
    capability = SessionCapability[Deps](manager, session_of=lambda deps: deps.session, tools=SCOPES)
    made = Agent(script.model, deps_type=Deps, capabilities=[capability])

    async def main() -> None:
        go_on = asyncio.Event()

        async def later() -> str:
            await go_on.wait()
            return current_session().agent_id

        @made.tool_plain
        async def read() -> str:
            """Leave something behind."""
            left.append(asyncio.create_task(later()))
            return await asyncio.to_thread(lambda: current_session().agent_id)

        assert answers(await made.run("go", deps=Deps(reader))) == [("read", "reader")]
        go_on.set()
        with pytest.raises(NoSession):
            await left[0]

    asyncio.run(main())


def test_parallel_calls_and_runs_never_mix(manager: SessionManager) -> None:
    shared = agent(manager, TestModel(call_tools=["read", "open"]))

    async def one(number: int) -> list[tuple[str, str]]:
        session = manager.create(f"agent-{number}", scopes="docs:read")
        return answers(await shared.run("go", deps=Deps(session)))

    async def all_of_them() -> list[list[tuple[str, str]]]:
        return await asyncio.gather(*(one(number) for number in range(12)))

    for number, got in enumerate(asyncio.run(all_of_them())):
        assert got == [("read", f"read by agent-{number}"), ("open", f"open to agent-{number}")]


@pytest.mark.parametrize("given", [lambda s: s.token, lambda s: s.as_context()])
def test_while_a_server_reads_the_loop_turns_on(given: Any) -> None:
    with schema() as url, open_manager(url) as manager:
        reader = given(manager.create("reader", scopes="docs:read"))

        async def host() -> list[tuple[str, str]]:
            letting_go = await hold_reads(url)
            got = answers(await agent(manager, Scripted(["read"]).model).run("go", deps=Deps(reader)))
            await letting_go
            return got

        assert asyncio.run(host()) == [("read", "read by reader")]


def test_a_store_that_fails_fails_the_run(manager: SessionManager, reader: IssuedSession) -> None:
    with pytest.raises(StoreUnavailable):
        run(manager, Scripted(["read"], before=lambda _: manager.close()), reader.token)


def test_no_file_can_name_it() -> None:
    assert SessionCapability.get_serialization_name() is None


def test_a_denial_is_in_the_log(manager: SessionManager, reader: IssuedSession) -> None:
    run(manager, Scripted(["deeper"]), reader.token)
    manager._parts.recorder.flush()
    denied = manager.events.read(types="guard.denied")
    assert [(each.agent_id, each.reason) for each in denied] == [("reader", "insufficient_scope")]


def send_report(title: str) -> str:
    """Send what the model has written, which ends the run."""
    return f"{title} sent by {current_session().agent_id}"


def send_deeper(title: str) -> str:
    """Send it below, where more is asked for."""
    return needs_more()


def plain_report(title: str) -> str:
    """Say whose it is."""
    return title


REPORTS: dict[str, Any] = {
    "a function": (send_report, "final_result"),
    "a named one": (ToolOutput(send_report, name="report"), "report"),
    "of a union": ([ToolOutput(send_report, name="report"), ToolOutput(plain_report, name="x")], "report"),
    "of a text": (TextOutput(send_report), "send_report"),
}


def reporting(
    manager: SessionManager, output: Any, tools: dict[str, str], turns: list[Any]
) -> Agent[Deps, Any]:
    """Make an agent whose model gives its output by a tool's call, or as the text that it was told to."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turns.append(messages[-1])
        if any(tool.name == "report" for tool in info.output_tools):
            return ModelResponse([ToolCallPart("report", {"title": "news"})])
        if info.output_tools:
            return ModelResponse([ToolCallPart(info.output_tools[0].name, {"title": "news"})])
        return ModelResponse([TextPart("news")])

    capability = SessionCapability[Deps](manager, session_of=lambda deps: deps.session, tools=tools)
    return Agent(FunctionModel(answer), output_type=output, deps_type=Deps, capabilities=[capability])


@pytest.mark.parametrize("way", REPORTS)
def test_an_output_function_is_checked_as_a_tool_is(manager: SessionManager, way: str) -> None:
    output, name = REPORTS[way]
    turns: list[Any] = []
    agent = reporting(manager, output, {name: "mail:send"}, turns)
    sender = manager.create("sender", scopes="mail:send", max_uses=1)
    assert asyncio.run(agent.run("go", deps=Deps(sender))).output == "news sent by sender"
    with pytest.raises(NoSession):
        current_session()
    for session in (manager.create("reader", scopes="docs:read"), sender, None):
        turns.clear()
        with pytest.raises(UnexpectedModelBehavior):
            asyncio.run(agent.run("go", deps=Deps(session)))
        assert "refused: " in str(turns[-1])


@pytest.mark.parametrize("way", REPORTS)
def test_attack_an_output_function_that_nobody_named(manager: SessionManager, way: str) -> None:
    """It fails the run, with a word how to mend it, whatever the session holds."""
    agent = reporting(manager, REPORTS[way][0], {"read": ""}, [])
    with pytest.raises(ConfigError, match="no scopes are named for the output function") as failure:
        asyncio.run(agent.run("go", deps=Deps(manager.create("sender", scopes="*"))))
    assert "tools" in str(failure.value.hint)


def test_what_is_refused_below_an_output_function_is_the_answer_to_the_model(
    manager: SessionManager, reader: IssuedSession
) -> None:
    turns: list[Any] = []
    agent = reporting(manager, send_deeper, {"final_result": ""}, turns)
    with pytest.raises(UnexpectedModelBehavior):
        asyncio.run(agent.run("go", deps=Deps(reader)))
    assert "refused: this agent lacks the scope mail:send" in str(turns[-1])


@pytest.mark.parametrize("tools", [{"": "docs:read"}, {"read": "Not A Scope"}, {7: "docs:read"}])
def test_what_cannot_be_is_refused_at_once(manager: SessionManager, tools: Any) -> None:
    with pytest.raises(InvalidArgument, match="tools"):
        SessionCapability[Deps](manager, session_of=lambda deps: deps.session, tools=tools)
    with pytest.raises(InvalidArgument, match="session_of"):
        run(manager, Scripted([]), 7)  # type: ignore[arg-type]


def test_no_credential_reaches_the_model_or_a_log(
    manager: SessionManager, reader: IssuedSession, caplog: pytest.LogCaptureFixture
) -> None:
    script, spans, tracers = Scripted(["read", "deeper"], ["send"]), InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    traced = Instrumentation(settings=InstrumentationSettings(tracer_provider=tracers))
    with caplog.at_level(logging.DEBUG):
        work = agent(manager, script.model).run("go", deps=Deps(reader.token), capabilities=[traced])
        result = asyncio.run(work)
    told = "".join(span.to_json() for span in spans.get_finished_spans())
    assert "read by reader" in told
    everything = [told, *script.seen, caplog.text, repr(result), result.all_messages_json().decode()]
    for text in everything:
        assert not any(part in text for part in reader.token.split("."))
