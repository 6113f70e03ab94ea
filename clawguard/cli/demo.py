"""`clawguard demo`: agents in processes of their own get sessions, use them on an HTTP tool, and lose them.

Every line tells what really happened; the first thing that does not go as promised ends the run.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from clawguard import ClawguardError, DelegationRefused, Event, IssuedSession, SessionManager, Verifier
from clawguard.cli.demo_stage import Narrator, Process, Stage, StepFailed, expect
from clawguard.events.chain import Fault

__all__ = ["conduct", "run"]

_REASON = "laptop lost"
_SHORT_TTL = 1.2

T = TypeVar("T")


def run(*, keep: bool = False) -> int:
    """Play the demo in a fresh folder and return the exit code."""
    folder = Path(tempfile.mkdtemp(prefix="clawguard-demo-"))
    narrator = Narrator(sys.stdout)
    try:
        return conduct(lambda: _play(folder, narrator))
    finally:
        if keep:
            narrator.text(f"the folder is kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def conduct(play: Callable[[], None]) -> int:
    """Run a play; on a broken promise or an error say so in one sentence and return 1."""
    try:
        play()
    except StepFailed as failure:
        print(f"\nThe demo failed: {failure}.", file=sys.stderr)
        return 1
    except (ClawguardError, OSError) as error:
        print(f"\nThe demo failed: {type(error).__name__}: {error}.", file=sys.stderr)
        return 1
    return 0


def _play(folder: Path, narrator: Narrator) -> None:
    began = time.perf_counter()
    database = folder / ".clawguard" / "clawguard.db"
    narrator.title("clawguard demo: a host, an HTTP tool and three agents, each a process of its own")
    with Stage() as stage, SessionManager.open(database, sweep_every=0.1) as manager:
        _Demo(narrator, stage, manager, database).play()
    _tamper(narrator, database, folder / "copy")
    narrator.title(f"\nAll of it went as promised, in {time.perf_counter() - began:.1f} s.")


class _Demo:
    """Play the host: it holds the manager, and orders the agents about."""

    def __init__(self, narrator: Narrator, stage: Stage, manager: SessionManager, database: Path) -> None:
        self._narrator = narrator
        self._stage = stage
        self._manager = manager
        self._database = database

    def play(self) -> None:
        self._start()
        self._delegate()
        self._lack_a_scope()
        self._refresh()
        self._revoke()
        self._expire()
        self._audit()

    def _start(self) -> None:
        self._narrator.step("The host opens a fresh database and starts a tool and two agents")
        self._tool = self._stage.start("tool", "demo_tool", CLAWGUARD_URL=str(self._database))
        self._planner_session = self._manager.create("planner", scopes="docs:read mail:send", ttl=900)
        self._mailer_session = self._manager.create("mailer", scopes="mail:send", ttl=900)
        self._port = str(self._tool.answer()["port"])
        self._planner = self._start_agent(self._planner_session)
        self._mailer = self._start_agent(self._mailer_session)
        self._narrator.line("host", "SessionManager", "a SQLite file, made now")
        self._narrator.line("tool", f"process {self._tool.pid}", f"Verifier at http://127.0.0.1:{self._port}")
        for agent, session in ((self._planner, self._planner_session), (self._mailer, self._mailer_session)):
            self._narrator.line(agent.name, f"process {agent.pid}", f"may {session.scopes}")
        self._call(self._planner, "GET", "/docs", status=200)
        self._call(self._mailer, "POST", "/mail", status=200)

    def _delegate(self) -> None:
        self._narrator.step("The planner asks the host for a helper: never more than the planner has")
        wish = self._planner.order("ask", "summarizer", "docs:read files:write")
        try:
            self._manager.delegate(wish["parent"], wish["agent_id"], scopes=wish["scopes"])
        except DelegationRefused as refusal:
            self._narrator.line("planner", f"wants {wish['scopes']}", f"refused: {refusal}")
            expect(refusal.missing == ("files:write",), "the delegation was refused for another scope")
        else:
            raise StepFailed("a child was given a scope that its parent lacks")
        wish = self._planner.order("ask", "summarizer", "docs:read")
        self._child_session = self._manager.delegate(wish["parent"], wish["agent_id"], scopes=wish["scopes"])
        self._summarizer = self._start_agent(self._child_session)
        self._narrator.line("planner", f"wants {wish['scopes']}", f"granted, process {self._summarizer.pid}")
        self._call(self._summarizer, "GET", "/docs", status=200)

    def _lack_a_scope(self) -> None:
        self._narrator.step("A call beyond the session's scopes is refused")
        answer = self._call(self._summarizer, "POST", "/mail", status=403)
        _, _, needed = (answer["challenge"] or "").partition("scope=")
        self._narrator.line("tool", "says what is needed", needed)
        expect(needed == '"mail:send"', "the refusal did not name the scope that is needed")

    def _refresh(self) -> None:
        self._narrator.step("A refresh kills the token before it")
        issued, took = _timed(lambda: self._manager.refresh(self._mailer_session))
        self._narrator.line("host", "refresh(mailer)", f"token generation {issued.generation}", ms=took)
        self._call(self._mailer, "POST", "/mail", status=401, note="old token")
        self._mailer.order("take", issued.token)
        self._call(self._mailer, "POST", "/mail", status=200, note="new token")

    def _revoke(self) -> None:
        self._narrator.step("After a revoke in the host the tool refuses the next call, and all below")
        done, took = _timed(lambda: self._manager.revoke(self._planner_session, reason=_REASON))
        returned = time.perf_counter()
        answer = self._planner.order("call", "GET", "/docs")
        known = (time.perf_counter() - returned) * 1_000
        expect(done, "the planner's session had ended before it was revoked")
        self._narrator.line("host", "revoke(planner)", "durable, acknowledged", ms=took)
        self._report("planner", "GET /docs", answer, status=401)
        self._narrator.line("", "acknowledged, then refused", "on the next call, after", ms=known)
        self._call(self._summarizer, "GET", "/docs", status=401)
        child = self._manager.get_session(self._child_session)
        self._narrator.line("summarizer", "its session ended", f"cause: {child.cause}")
        expect(child.cause == "parent", "the delegated session did not end because of its parent")

    def _expire(self) -> None:
        self._narrator.step("A short session ends by itself, and the log says so")
        self._manager.end(self._mailer_session)
        short = self._manager.create("mailer", scopes="mail:send", ttl=_SHORT_TTL)
        ends = self._manager.events.follow(types="session.expired", session_id=short.id, timeout=5)
        self._narrator.line("host", "create(mailer)", f"a session of {short.ttl:g} s")
        self._mailer.order("take", short.token)
        self._call(self._mailer, "POST", "/mail", status=200)
        event = next(ends, None)
        if event is None:
            raise StepFailed("no event told of the natural end within 5 s")
        late = (event.at - short.expires_at).total_seconds() * 1_000
        told = f"{event.type}, cause: {event.cause}"
        self._narrator.line("log", told, "recorded after its end by", ms=late)
        expect(event.cause == "ttl", "the short session did not end of its lifetime")
        self._call(self._mailer, "POST", "/mail", status=401)

    def _audit(self) -> None:
        self._narrator.step("The audit trail: every change stands in it, and every refusal")
        self._stage.clear()
        events = self._manager.events.read(limit=1_000)
        for event in events:
            self._narrator.text(_entry(event))
        told = {(event.type, event.agent_id, event.cause) for event in events}
        for wanted in _TOLD:
            expect(wanted in told, f"the log lacks {wanted[0]} of {wanted[1]} ({wanted[2] or 'no cause'})")
        check, took = _timed(self._manager.events.verify)
        expect(bool(check), f"the chain does not hold: {check.fault}")
        expect(check.count == len(events), "the chain and the log differ in length")
        self._narrator.step("The chain of hashes holds, and gives away one changed byte")
        self._narrator.line("log", f"{check.count} entries", f"verified, head {check.head[:10]}", ms=took)

    def _start_agent(self, session: IssuedSession) -> Process:
        """Start an agent's process; its token travels in the environment."""
        given = session.environ() | {"CLAWGUARD_DEMO_PORT": self._port}
        agent = self._stage.start(session.agent_id, "demo_agent", **given)
        agent.answer()
        return agent

    def _call(self, agent: Process, method: str, path: str, *, status: int, note: str = "") -> dict[str, Any]:
        answer = agent.order("call", method, path)
        self._report(agent.name, f"{method} {path} {note}", answer, status=status)
        return answer

    def _report(self, who: str, what: str, answer: dict[str, Any], *, status: int) -> None:
        body = answer["body"]
        told = body.get("answer") or body.get("error", "")
        self._narrator.line(who, what, f"{answer['status']}  {told}", ms=answer["ms"])
        promise = f"{who}: {what.strip()} was answered {answer['status']}, not {status}"
        expect(answer["status"] == status, promise)


_TOLD = (
    ("session.created", "planner", None),
    ("session.created", "summarizer", None),
    ("guard.denied", "summarizer", None),
    ("session.refreshed", "mailer", None),
    ("session.expired", "planner", "revoked"),
    ("session.expired", "summarizer", "parent"),
    ("session.expired", "mailer", "finished"),
    ("session.expired", "mailer", "ttl"),
)


def _tamper(narrator: Narrator, database: Path, folder: Path) -> None:
    """Change one byte of a copy: a letter of the reason in the text of the revoke's event."""
    folder.mkdir(mode=0o700)
    copy = Path(shutil.copy2(database, folder))
    expect(_fault_in(copy) is None, "the chain of the untouched copy does not hold")
    data = copy.read_bytes()
    text = f'"reason":"{_REASON}"'.encode()
    expect(data.count(text) == 1, "the event's text does not stand in the file exactly once")
    at = data.index(text) + text.index(b"lost")
    with copy.open("r+b") as file:
        file.seek(at)
        file.write(b"c")
    narrator.line("intruder", f"byte {at} of a copy", '"lost" becomes "cost"')
    fault = _fault_in(copy)
    if fault is None:
        raise StepFailed("the changed byte was not found")
    narrator.line("log", "the chain is broken", f"at entry {fault.seq}")


def _fault_in(database: Path) -> Fault | None:
    with Verifier.open(database) as verifier:
        return verifier.events.verify().fault


def _entry(event: Event) -> str:
    """Return an event on a line of 80; of a session the end of its id, where ids of one minute differ."""
    why = " ".join(filter(None, (event.cause, f"({event.reason})" if event.reason else None)))
    who = f"{event.agent_id:<11} …{(event.session_id or '')[-6:]}"
    return f"{event.at:%H:%M:%S}  #{event.seq:<3}{event.type:<18} {who}  {why}"


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    """Run an action and return what it gave and the milliseconds it took."""
    began = time.perf_counter()
    result = action()
    return result, (time.perf_counter() - began) * 1_000
