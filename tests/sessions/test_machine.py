"""Any order of calls, held against a model that knows no database."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from clawguard import (
    DelegationRefused,
    InvalidToken,
    IssuedSession,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
)
from clawguard.clock import SECOND, to_microseconds
from tests.clocks import FakeClock
from tests.openers import open_manager

ABSOLUTE = 500 * SECOND


@dataclass
class Model:
    """What the library promises of one session, in microseconds."""

    id: str
    parent: Model | None
    ttl: int
    end: int
    absolute: int
    kid: str
    generation: int = 1
    cause: str | None = None

    def is_due(self, now: int) -> bool:
        return self.cause is None and now >= min(self.end, self.absolute)

    def is_below(self, other: Model) -> bool:
        return self.parent is not None and (self.parent is other or self.parent.is_below(other))


@dataclass(frozen=True)
class Issued:
    """A token, and what it said when it was signed."""

    token: str
    session: Model
    generation: int
    kid: str


@dataclass
class Key:
    """Until when a key's tokens last, None for as long as it signs; a key given up verifies nothing more."""

    until: int | None = None
    given_up: bool = False


class Lives(RuleBasedStateMachine):
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.manager = self.open()
        self.models: dict[str, Model] = {}
        self.tokens: list[Issued] = []
        self.keys: dict[str, Key] = {key.kid: Key() for key in self.manager.keys.list()}
        self.versions: dict[str, int] = {}
        self.recorded = 0

    def open(self) -> SessionManager:
        return open_manager(Path(self.folder.name) / "data" / "c.db", clock=self.clock)

    def teardown(self) -> None:
        self.manager.close()
        self.folder.cleanup()

    # what the model says

    def issue(self, issued: IssuedSession) -> None:
        model = self.models[issued.id]
        model.kid = issued.kid
        self.tokens.append(Issued(issued.token, model, issued.generation, issued.kid))

    def finish(self, model: Model, cause: str) -> None:
        """End a session; what was due under it ended by itself."""
        for each in self.models.values():
            if each.cause is None and (each is model or each.is_below(model)):
                due = each.is_due(self.clock.at)
                each.cause = "ttl" if due else cause if each is model else "parent"

    def settle(self, model: Model) -> bool:
        """Record the natural end of a session met past its end; tell whether it is over."""
        if model.is_due(self.clock.at):
            self.finish(model, "ttl")
        return model.cause is not None

    def verdicts(self, issued: Issued) -> set[str]:
        """Return the lawful answers: once all of a key's tokens have ended, it may be forgotten."""
        key, model = self.keys[issued.kid], issued.session
        if key.given_up:
            return {"invalid"}
        said = "superseded" if issued.generation < model.generation else "active"
        if model.cause is not None or model.is_due(self.clock.at):
            said = "ended: " + (model.cause or "ttl")
        forgotten = key.until is not None and key.until <= self.clock.at
        return {said, "invalid"} if forgotten and said != "active" else {said}

    def answer(self, issued: Issued) -> str:
        try:
            context = self.manager.validate(issued.token)
        except InvalidToken:
            return "invalid"
        except TokenSuperseded:
            return "superseded"
        except SessionEnded as refusal:
            return f"ended: {refusal.cause}"
        assert (context.session_id, context.generation) == (issued.session.id, issued.generation)
        return "active"

    # what is done

    @rule(target=sessions, ttl=st.integers(1, 200))
    def create(self, ttl: int) -> Model:
        made = self.manager.create("a", scopes="x:*", ttl=ttl, max_lifetime=500)
        now = self.clock.at
        model = Model(made.id, None, ttl * SECOND, now + ttl * SECOND, now + ABSOLUTE, made.kid)
        self.models[made.id] = model
        self.issue(made)
        return model

    @rule(target=sessions, parent=sessions, ttl=st.integers(1, 400))
    def delegate(self, parent: Model, ttl: int) -> Model:
        over = self.settle(parent)
        try:
            made = self.manager.delegate(self.manager.get_session(parent.id), "b", scopes="x:y", ttl=ttl)
        except SessionEnded:
            assert over
            return parent
        except DelegationRefused:
            assert self.manager.get_session(parent.id).depth == 8
            return parent
        assert not over
        start = to_microseconds(made.created_at)
        end = min(start + ttl * SECOND, parent.end)
        model = Model(made.id, parent, ttl * SECOND, end, parent.absolute, made.kid)
        self.models[made.id] = model
        self.issue(made)
        return model

    @rule(session=sessions, ttl=st.one_of(st.none(), st.integers(1, 600)))
    def refresh(self, session: Model, ttl: int | None) -> None:
        over = self.settle(session)
        try:
            made = self.manager.refresh(session.id, ttl=ttl)
        except SessionEnded:
            assert over
            return
        assert not over
        wanted = self.clock.at + (session.ttl if ttl is None else ttl * SECOND)
        limit = session.absolute if session.parent is None else min(session.absolute, session.parent.end)
        session.end = max(session.end, min(wanted, limit))
        session.generation += 1
        self.issue(made)

    @rule(session=sessions, verb=st.sampled_from([("revoke", "revoked"), ("end", "finished")]))
    def end(self, session: Model, verb: tuple[str, str]) -> None:
        over = self.settle(session)
        assert getattr(self.manager, verb[0])(session.id) is not over
        self.finish(session, verb[1])

    @rule(session=consumes(sessions))
    def leave_alone(self, session: Model) -> None:
        """Choose a session no more."""

    @rule(seconds=st.integers(0, 90))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        due = [each for each in self.models.values() if each.is_due(self.clock.at)]
        assert self.manager.prune_expired() == len(due)
        for each in due:
            each.cause = "ttl"
        assert self.manager.prune_expired() == 0

    @rule(emergency=st.booleans())
    def rotate(self, emergency: bool) -> None:
        old = next(key.kid for key in self.manager.keys.list() if key.state == "active")
        self.manager.keys.rotate(emergency=emergency)
        for key in self.manager.keys.list():
            self.keys.setdefault(key.kid, Key())
        signed = [each for each in self.models.values() if each.cause is None and each.kid == old]
        if not emergency:
            self.keys[old].until = max([self.clock.at, *(each.end for each in signed)])
            return
        self.keys[old].given_up = True
        for each in sorted(signed, key=lambda each: each.id):
            if each.cause is None:
                self.finish(each, "key")

    @rule()
    def restart(self) -> None:
        self.manager.close()
        self.manager = self.open()

    # what always holds

    @invariant()
    def every_token_ever_issued_is_judged_as_promised(self) -> None:
        for issued in self.tokens:
            assert self.answer(issued) in self.verdicts(issued)

    @invariant()
    def rows_say_what_the_model_says(self) -> None:
        rows = {each.id: each for each in self.manager.sessions.iter()}
        assert rows.keys() == self.models.keys()
        for row in rows.values():
            model = self.models[row.id]
            assert (row.cause, row.generation) == (model.cause, model.generation)
            assert to_microseconds(row.expires_at) == model.end
            if row.parent_id is not None:
                parent = rows[row.parent_id]
                assert row.expires_at <= parent.expires_at
                if parent.cause is not None or parent.due_at <= self.clock.datetime:
                    assert row.cause is not None or row.due_at <= self.clock.datetime

    @invariant()
    def the_log_is_whole_and_tells_each_end_once(self) -> None:
        assert self.manager.events.verify()
        for event in self.manager.events.read(after=self.recorded, types="session.*", limit=1_000):
            assert event.session_id is not None
            assert event.version is not None
            assert event.version > self.versions.get(event.session_id, 0)
            self.versions[event.session_id] = event.version
            self.recorded = event.seq
        ends = self.manager.events.read(types="session.expired", limit=1_000)
        told = {each.session_id: each.cause for each in ends}
        assert len(told) == len(ends)
        assert told == {each.id: each.cause for each in self.models.values() if each.cause is not None}


Lives.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLives = Lives.TestCase
