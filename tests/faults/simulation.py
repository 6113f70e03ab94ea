"""A simulation of several processes on one database, replayable from its seed.

Each actor has a manager of its own, and a thread, but only one of them runs at a time: at every statement the
scheduler decides by chance who goes on. Chance decides too which statement fails, who dies where,
and when time goes by. What runs is the library itself, on a real file; only its clock is not the machine's.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clawguard import (
    ClawguardError,
    InvalidToken,
    OutcomeUnknown,
    SessionEnded,
    SessionManager,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.clock import to_microseconds
from clawguard.models import IssuedSession
from clawguard.store.connections import translate
from clawguard.store.sqlite import SQLiteStore
from clawguard.store.transaction import SQLiteTransaction
from tests.clocks import FakeClock
from tests.faults.registers import FOREVER, UNKNOWN, Call, Verb

__all__ = ["Faults", "Simulation"]

_WORK = {
    "create": 3, "delegate": 4, "refresh": 5, "revoke": 4, "validate": 16, "sweep": 2, "rotate": 1, "wait": 4,
}  # fmt: skip
_RECENT = 5


class Died(BaseException):
    """End an actor's process where it stands."""


class _Over(BaseException):
    """End an actor of a run that has failed."""


@dataclass
class Known:
    """Hold what the actors were told of one session."""

    id: str
    due_at: int
    parent: Known | None
    tokens: list[str]
    calls: list[Call] = field(default_factory=list)

    def line(self) -> Iterator[Known]:
        """Yield it and all above it."""
        yield self
        if self.parent is not None:
            yield from self.parent.line()


class Baton:
    """Let one of several threads run at a time, and choose by chance which."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._back = threading.Semaphore(0)
        self._turns: dict[str, threading.Semaphore] = {}
        self._needs: dict[str, Callable[[], bool]] = {}
        self._here = threading.local()
        self._failures: list[BaseException] = []
        self._is_over = False
        self.step = 0
        self.trace: list[str] = []

    @property
    def actor(self) -> str | None:
        """Whose thread this is."""
        return getattr(self._here, "name", None)

    def run(self, bodies: dict[str, Callable[[], None]]) -> None:
        """Run all of them to their end; raise what one of them raised, once none goes on."""
        for name, body in bodies.items():
            self._turns[name], self._needs[name] = threading.Semaphore(0), lambda: True
            thread = threading.Thread(target=self._live, args=(name, body), daemon=True, name=f"actor {name}")
            thread.start()
        try:
            while self._needs and not self._failures:
                able = [name for name, need in self._needs.items() if need()]
                assert able, f"nobody can go on; the last steps were {self.trace[-5:]}"
                self._let_run(self._chance.choice(able))
        finally:
            self._is_over = True  # a thread that stood still for good would keep what it has locked
            for name in list(self._needs):
                self._let_run(name)
        if self._failures:
            raise self._failures[0]

    def _let_run(self, name: str) -> None:
        self._turns[name].release()
        self._back.acquire()

    def _live(self, name: str, body: Callable[[], None]) -> None:
        self._here.name = name
        self._turns[name].acquire()
        try:
            body()
        except BaseException as failure:
            self._failures.append(failure)
        del self._needs[name]
        self._back.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else run and nothing fail in a block."""
        name, self._here.name = self.actor, None
        try:
            yield
        finally:
            self._here.name = name

    def switch(self, where: str, need: Callable[[], bool] = lambda: True) -> None:
        """Let others run, until the scheduler comes back to this one."""
        name = self.actor
        if name is None:  # the test itself, before or after
            return
        if not self._is_over:
            self.step += 1
            self.trace.append(f"{name} {where}")
            self._needs[name] = need
            self._back.release()
            self._turns[name].acquire()
        if self._is_over:
            self._here.name = None
            raise _Over


class Faults:
    """Stand before the store: at each statement somebody else may go on, and something may fail."""

    def __init__(self, baton: Baton, chance: random.Random, *, often: float) -> None:
        self._baton = baton
        self._chance = chance
        self._often = often
        self._writer: str | None = None
        self.struck: dict[str, int] = {}

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Stand there for a block."""
        read, enter, leave = SQLiteStore.read, SQLiteTransaction.__enter__, SQLiteTransaction.__exit__
        execute, commit = SQLiteTransaction.run, SQLiteTransaction._commit
        with (
            patch.object(SQLiteStore, "read", lambda *args, **params: self._read(read, *args, **params)),
            patch.object(SQLiteTransaction, "__enter__", lambda tx: self._enter(enter, tx)),
            patch.object(SQLiteTransaction, "__exit__", lambda tx, *how: self._leave(leave, tx, *how)),
            patch.object(
                SQLiteTransaction, "run", lambda tx, *args, **kw: self._run(execute, tx, *args, **kw)
            ),
            patch.object(SQLiteTransaction, "_commit", lambda tx: self._commit(commit, tx)),
        ):
            yield

    def _strikes(self, what: str, often: float = 1.0) -> bool:
        struck = self._baton.actor is not None and self._chance.random() < self._often * often
        if struck:
            self.struck[what] = self.struck.get(what, 0) + 1
            self._baton.trace.append(f"{self._baton.actor} meets: {what}")
        return struck

    def _die(self) -> None:
        if self._strikes("death", 0.3):
            raise Died

    def _read(self, read: Any, store: SQLiteStore, name: str, /, *args: Any, **params: Any) -> Any:
        self._baton.switch(f"reads {name}")
        self._die()
        if self._strikes("unreadable"):
            raise translate(_failure("SQLITE_IOERR_READ"))
        return read(store, name, *args, **params)

    def _enter(self, enter: Any, tx: SQLiteTransaction) -> Any:
        self._baton.switch("asks for the lock", lambda: self._writer is None)
        if self._strikes("busy"):
            raise translate(_failure("SQLITE_BUSY"))
        self._writer = self._baton.actor
        try:
            return enter(tx)
        except BaseException:
            self._writer = None
            raise

    def _leave(self, leave: Any, tx: SQLiteTransaction, *how: Any) -> Any:
        try:
            return leave(tx, *how)
        finally:
            self._writer = None

    def _run(self, run: Any, tx: SQLiteTransaction, name: str, /, *args: Any, **params: Any) -> Any:
        self._baton.switch(f"runs {name}")
        self._die()
        if self._strikes("full"):
            raise tx._failed(_failure("SQLITE_FULL"))
        return run(tx, name, *args, **params)

    def _commit(self, commit: Any, tx: SQLiteTransaction) -> None:
        self._baton.switch("commits")
        self._die()
        if self._strikes("commit fails", 2):
            is_done = self._chance.random() < 0.5
            if is_done:
                commit(tx)
            failure = tx._failed(_failure("SQLITE_IOERR_FSYNC"), committing=True)
            tx._roll_back()
            self._say(failure)
            return
        commit(tx)
        if self._strikes("death after a commit"):
            raise Died

    def _say(self, failure: ClawguardError) -> None:
        raise failure


def _failure(name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorname, error.sqlite_errorcode = name, getattr(sqlite3, name)
    return error


class Simulation:
    """Run actors on one database from a seed; keep what each session's callers were answered."""

    def __init__(
        self, path: Path, seed: int, *, actors: int = 3, calls: int = 60, often: float = 0.01
    ) -> None:
        self._path = path
        self._chance = random.Random(seed)
        self._actors = [f"actor {number}" for number in range(actors)]
        self._calls = calls
        self._clock = FakeClock()
        self._baton = Baton(self._chance)
        self._faults = Faults(self._baton, self._chance, often=often)
        self._opened: list[SessionManager] = []
        self._times: list[tuple[int, int]] = []  # step, clock
        self.known: list[Known] = []
        self.answers: list[str] = []

    @property
    def trace(self) -> list[str]:
        """What was done, by whom, in order: the same for the same seed."""
        return self._baton.trace

    @property
    def faults(self) -> dict[str, int]:
        """How often each fault struck."""
        return self._faults.struck

    def run(self) -> None:
        """Run it to its end, and record what has become due by then."""
        try:
            with self._faults():
                self._baton.run({name: partial(self._live, name) for name in self._actors})
            self._open().prune_expired()
        finally:
            for manager in self._opened:
                manager.close()

    def history(self, session: Known) -> list[Call]:
        """Return the calls on a session, with what its ancestors' ends and its own time did to it."""
        calls = list(session.calls)
        for above in session.line():
            if above is not session:
                ends = (
                    each for each in above.calls if each.verb == "revoke" and each.answer != "already over"
                )
                calls += [
                    each._replace(verb="lapse", answer=UNKNOWN if each.answer == UNKNOWN else "over")
                    for each in ends
                ]
        over_at = next((step for step, now in self._times if now >= session.due_at), None)
        if over_at is not None:
            made = next(each.returned for each in calls if each.verb == "create")
            calls.append(Call(-1, "lapse", 0, "over", over_at, max(over_at, made)))
        return calls

    def _open(self) -> SessionManager:
        with self._baton.alone():
            manager = SessionManager.open(
                self._path, sweep_every=None, dispatch="inline", clock=self._clock, lock_timeout=0.1
            )
        self._opened.append(manager)
        return manager

    def _live(self, name: str) -> None:
        manager: SessionManager | None = None
        for _ in range(self._calls):
            if manager is None:
                self._baton.switch("starts", lambda: self._faults._writer is None)
                manager = self._open()
            verb = self._chance.choices(list(_WORK), list(_WORK.values()))[0]
            try:
                getattr(self, f"_{verb}")(manager)
            except Died:
                manager = None

    def _some(self) -> Known | None:
        return self._chance.choice(self.known[-_RECENT:]) if self.known else None

    def _tell(self, session: Known, verb: Verb, given: int, work: Callable[[], str]) -> None:
        """Make a call on a session, and note its answer; one that surely did nothing was none."""
        called = self._baton.step = self._baton.step + 1
        actor = self._actors.index(self._baton.actor or "")
        answer, returned = UNKNOWN, FOREVER
        try:
            answer = work()
        except SessionEnded:
            answer = "over"
        except TokenSuperseded:
            answer = "superseded"
        except InvalidToken:
            answer = "refused"
        except OutcomeUnknown:
            pass
        except StoreUnavailable:
            return
        finally:
            if answer != UNKNOWN:
                returned = self._baton.step = self._baton.step + 1
            if answer != UNKNOWN or verb != "validate":
                session.calls.append(Call(actor, verb, given, answer, called, returned))
            self.answers.append(answer)

    def _made(self, issued: IssuedSession, parent: Known | None, called: int) -> None:
        assert issued.due_at == issued.absolute_expires_at, (
            "its end could move: the model knows one that cannot"
        )
        self._baton.step += 1
        session = Known(issued.id, to_microseconds(issued.due_at), parent, ["", issued.token])
        actor = self._actors.index(self._baton.actor or "")
        session.calls.append(Call(actor, "create", 0, "made", called, self._baton.step))
        self.known.append(session)

    def _create(self, manager: SessionManager) -> None:
        called, ttl = self._baton.step, self._chance.choice((20, 60, 600))
        with suppress(StoreUnavailable):
            self._made(manager.create("agent", scopes="a b", ttl=ttl, max_lifetime=ttl), None, called)

    def _delegate(self, manager: SessionManager) -> None:
        parent, called = self._some(), self._baton.step
        if parent is not None and len(list(parent.line())) < 4:
            with suppress(StoreUnavailable, SessionEnded):
                made = manager.delegate(manager.get_session(parent.id), "helper", scopes="a", ttl=86_400)
                self._made(made, parent, called)

    def _refresh(self, manager: SessionManager) -> None:
        session = self._some()
        if session is not None:

            def refresh() -> str:
                issued = manager.refresh(session.id)
                session.tokens += [""] * (issued.generation + 1 - len(session.tokens))
                session.tokens[issued.generation] = issued.token
                return f"token {issued.generation}"

            self._tell(session, "refresh", 0, refresh)

    def _revoke(self, manager: SessionManager) -> None:
        session = self._some()
        if session is not None:
            self._tell(
                session, "revoke", 0, lambda: "ended" if manager.revoke(session.id) else "already over"
            )

    def _validate(self, manager: SessionManager) -> None:
        session = self._some()
        if session is not None:
            had = [generation for generation, token in enumerate(session.tokens) if token][-2:]
            given = self._chance.choice(had)
            self._tell(session, "validate", given, lambda: validate(manager, session.tokens[given]))

    def _sweep(self, manager: SessionManager) -> None:
        with suppress(StoreUnavailable):
            manager.prune_expired()

    def _rotate(self, manager: SessionManager) -> None:
        with suppress(StoreUnavailable):
            manager.keys.rotate()

    def _wait(self, manager: SessionManager) -> None:
        self._clock.advance(self._chance.choice((0, 1, 5, 15)))
        self._baton.step += 1
        self._times.append((self._baton.step, self._clock.at))


def validate(manager: SessionManager, token: str) -> str:
    """Return the register's word for a token that was taken."""
    manager.validate(token)
    return "accepted"
