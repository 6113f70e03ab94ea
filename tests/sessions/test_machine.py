"""Any order of calls, held against a model that knows no database."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from clawguard import (
    DelegationRefused,
    InvalidToken,
    IssuedSession,
    PolicyDenied,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
)
from clawguard.clock import SECOND, to_microseconds
from tests.clocks import FakeClock
from tests.openers import open_manager

ABSOLUTE = 500 * SECOND
IDLE = 120 * SECOND  # what a refreshable session lives after a redeem
GRACE = 10 * SECOND


@dataclass
class Model:
    """What the library promises of one session, in microseconds."""

    id: str
    agent: str
    parent: Model | None
    ttl: int
    end: int
    token_end: int
    absolute: int
    kid: str
    is_family: bool = False
    generation: int = 1
    cause: str | None = None

    def is_due(self, now: int) -> bool:
        return self.cause is None and now >= min(self.end, self.absolute)

    def ends_within(self) -> int:
        return self.absolute if self.parent is None else min(self.absolute, self.parent.end)

    def is_below(self, other: Model) -> bool:
        return self.parent is not None and (self.parent is other or self.parent.is_below(other))


@dataclass(frozen=True)
class Issued:
    """A token, and what it said when it was signed."""

    token: str
    session: Model
    generation: int
    kid: str
    end: int


@dataclass
class Redeemable:
    """A refresh token: when it was spent, and what it was spent for."""

    text: str
    session: Model
    spent_at: int | None = None
    successor: Redeemable | None = None


@dataclass
class Key:
    """Until when a key's tokens last, None for as long as it signs; a key given up verifies nothing more."""

    until: int | None = None
    given_up: bool = False


class Lives(RuleBasedStateMachine):
    sessions = Bundle("sessions")
    agents = st.sampled_from(["a", "b"])

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = FakeClock()
        self.manager = self.open()
        self.models: dict[str, Model] = {}
        self.tokens: list[Issued] = []
        self.redeemables: list[Redeemable] = []
        self.disabled: set[str] = set()
        self.keys: dict[str, Key] = {key.kid: Key() for key in self.manager.keys.list()}
        self.versions: dict[str, int] = {}
        self.recorded = 0

    def open(self) -> SessionManager:
        path = Path(self.folder.name) / "data" / "c.db"
        return open_manager(path, clock=self.clock, refresh_idle=IDLE / SECOND, refresh_grace=GRACE / SECOND)

    def teardown(self) -> None:
        self.manager.close()
        self.folder.cleanup()

    # what the model says

    def issue(self, issued: IssuedSession) -> None:
        model = self.models[issued.id]
        model.kid = issued.kid
        end = -(-model.token_end // SECOND) * SECOND  # in a token it is rounded up to a whole second
        self.tokens.append(Issued(issued.token, model, issued.generation, issued.kid, end))

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
        if said == "active" and self.clock.at >= issued.end:
            said = "ended: ttl"
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

    def begin(
        self, made: IssuedSession, parent: Model | None, *, ttl: int, absolute: int, limit: int
    ) -> Model:
        """Make the model of a new session."""
        start = to_microseconds(made.created_at)
        is_family = made.refresh_token is not None
        end = min(start + (IDLE if is_family else ttl), limit)
        token_end = min(start + ttl, end)
        model = Model(made.id, made.agent_id, parent, ttl, end, token_end, absolute, made.kid, is_family)
        self.models[made.id] = model
        self.issue(made)
        if made.refresh_token is not None:
            self.redeemables.append(Redeemable(made.refresh_token, model))
        return model

    @rule(target=sessions, ttl=st.integers(1, 200), agent=agents, is_family=st.booleans())
    def create(self, ttl: int, agent: str, is_family: bool) -> Any:
        try:
            made = self.manager.create(agent, scopes="x:*", ttl=ttl, max_lifetime=500, refreshable=is_family)
        except PolicyDenied:
            assert agent in self.disabled
            return multiple()
        assert agent not in self.disabled
        absolute = self.clock.at + ABSOLUTE
        return self.begin(made, None, ttl=ttl * SECOND, absolute=absolute, limit=absolute)

    @rule(target=sessions, parent=sessions, ttl=st.integers(1, 400), agent=agents, is_family=st.booleans())
    def delegate(self, parent: Model, ttl: int, agent: str, is_family: bool) -> Any:
        over = self.settle(parent)
        record = self.manager.get_session(parent.id)
        try:
            made = self.manager.delegate(record, agent, scopes="x:y", ttl=ttl, refreshable=is_family)
        except SessionEnded:
            assert over
            return multiple()
        except PolicyDenied:
            assert agent in self.disabled
            return multiple()
        except DelegationRefused:
            assert record.depth == 8 or (is_family and not parent.is_family)
            return multiple()
        assert not over
        assert agent not in self.disabled
        return self.begin(made, parent, ttl=ttl * SECOND, absolute=parent.absolute, limit=parent.end)

    @rule(session=sessions, ttl=st.one_of(st.none(), st.integers(1, 600)))
    def refresh(self, session: Model, ttl: int | None) -> None:
        over = self.settle(session)
        try:
            made = self.manager.refresh(session.id, ttl=ttl)
        except SessionEnded:
            assert over
            return
        assert not over
        wanted = min(self.clock.at + (session.ttl if ttl is None else ttl * SECOND), session.ends_within())
        end = min(wanted, self.clock.at + IDLE) if session.is_family else wanted
        session.end = max(session.end, end)
        session.token_end = min(wanted, session.end) if session.is_family else session.end
        session.generation += 1
        self.issue(made)

    @precondition(lambda self: self.redeemables)
    @rule(data=st.data())
    def redeem(self, data: st.DataObject) -> None:
        shown = data.draw(st.sampled_from(self.redeemables))
        session = shown.session
        over = self.settle(session)
        is_repeat = (
            shown.successor is not None
            and shown.successor.spent_at is None
            and shown.spent_at is not None
            and self.clock.at < shown.spent_at + GRACE
        )
        try:
            made = self.manager.redeem(shown.text)
        except SessionEnded:
            if not over:  # the rows, held against the model, have this cause too
                assert shown.spent_at is not None
                assert not is_repeat
                self.finish(session, "reuse")
            return
        assert not over
        assert made.refresh_token is not None
        if is_repeat:
            assert shown.successor is not None
            assert made.refresh_token == shown.successor.text
            assert made.generation == session.generation
            self.issue(made)
            return
        assert shown.spent_at is None
        limit = session.ends_within()
        session.end = max(session.end, min(self.clock.at + IDLE, limit))
        session.token_end = min(self.clock.at + session.ttl, limit, session.end)
        session.generation += 1
        self.issue(made)
        shown.spent_at = self.clock.at
        shown.successor = Redeemable(made.refresh_token, session)
        self.redeemables.append(shown.successor)

    @rule(agent=agents, enable=st.booleans())
    def disable(self, agent: str, enable: bool) -> None:
        if enable:
            self.manager.agents.enable(agent)
            self.disabled.discard(agent)
            return
        self.manager.agents.disable(agent)
        self.disabled.add(agent)
        self.end_all(each for each in self.models.values() if each.agent == agent)

    def end_all(self, picked: Iterable[Model], cause: str = "agent") -> None:
        for each in sorted(picked, key=lambda each: each.id):
            if each.cause is None:
                self.finish(each, cause)

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
            self.keys[old].until = max([self.clock.at, *(each.token_end for each in signed)])
            return
        self.keys[old].given_up = True
        self.end_all(signed, "key")

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
