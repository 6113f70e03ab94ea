"""What the library promises of sessions together: their tokens, their ends, the room for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from clawguard import ClawguardError, DelegationRefused, InvalidArgument, IssuedSession, PolicyDenied
from clawguard.clock import SECOND, to_microseconds
from clawguard.errors import LimitReached
from tests.clocks import FakeClock
from tests.sessions.machine_model import ABSOLUTE, GRACE, IDLE, Asked, Model, ceiling, covered, is_known

Refusals = set[type[ClawguardError]]


def attempt(call: Callable[..., IssuedSession], *args: Any, **given: Any) -> IssuedSession | ClawguardError:
    """Return what a call brings, or why it was refused."""
    try:
        return call(*args, **given)
    except ClawguardError as refusal:
        return refusal


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

    def is_repeat(self, now: int) -> bool:
        """Tell whether it is answered with its successor again: within the grace, that one unspent."""
        return (
            self.successor is not None
            and self.successor.spent_at is None
            and self.spent_at is not None
            and now < self.spent_at + GRACE
        )


@dataclass
class Key:
    """Until when a key's tokens last, None for as long as it signs; a key given up verifies nothing more."""

    until: int | None = None
    given_up: bool = False


class World:
    """Hold every session's model, and what was handed out for it; `cap` sessions an agent, None for any."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.cap: int | None = None
        self.evicts = False
        self.policy: dict[str, Any] = {}
        self.models: dict[str, Model] = {}
        self.tokens: list[Issued] = []
        self.redeemables: list[Redeemable] = []
        self.disabled: set[str] = set()
        self.keys: dict[str, Key] = {}

    def begin(self, made: IssuedSession, asked: Asked, parent: Model | None, *, ttl: int) -> Model:
        """Make the model of a new session."""
        self.make_room(asked, parent)
        start = to_microseconds(made.created_at)
        absolute = self.clock.at + ABSOLUTE if parent is None else parent.absolute
        limit = absolute if parent is None else parent.end
        end = min(start + (IDLE if asked.is_family else ttl), limit)
        model = Model(
            made.id, made.agent_id, parent, ttl, end, min(start + ttl, end), absolute, made.kid,
            made.as_context(), asked.scopes, asked.role, asked.task, None, asked.idle, asked.uses,
            filled=asked.uses or 0, is_family=asked.is_family,
        )  # fmt: skip
        if parent is not None:
            model.role, model.task = asked.role_below(parent), asked.task_below(parent)
            model.grant = None if covered(asked.scopes) <= parent.held(self.policy) else asked.grant
            idles = [each for each in (asked.idle, parent.idle) if each is not None]
            model.idle = min(idles, default=None)
            if parent.uses is not None:
                assert asked.uses is not None
                parent.uses -= asked.uses
        self.models[made.id] = model
        self.issue(made)
        if made.refresh_token is not None:
            self.redeemables.append(Redeemable(made.refresh_token, model))
        return model

    def tick(self) -> None:
        """Let the least time pass, so that no two sessions are of one age."""
        self.clock.advance(1 / SECOND)

    def some(self, data: st.DataObject) -> Model:
        """Choose a session, rather one that is live: the others soon outnumber them."""
        live = [each for each in self.models.values() if each.is_live(self.clock.at)]
        over = [each for each in self.models.values() if each not in live]
        return data.draw(st.sampled_from([*live, *over[-2:]]))

    def live_of(self, agent: str) -> list[Model]:
        """Return the agent's live sessions, the oldest first."""
        live = [each for each in self.models.values() if each.agent == agent and each.is_live(self.clock.at)]
        return sorted(live, key=lambda each: each.id)

    def lacks_room(self, asked: Asked, parent: Model | None) -> bool:
        """Tell whether the cap refuses one session more; a session is never evicted for its own child."""
        kept = [] if parent is None else list(parent.line())
        staying = [each for each in self.live_of(asked.agent) if not self.evicts or each in kept]
        return self.cap is not None and len(staying) >= self.cap

    def make_room(self, asked: Asked, parent: Model | None) -> None:
        kept = [] if parent is None else list(parent.line())
        while self.cap is not None and len(live := self.live_of(asked.agent)) >= self.cap:
            self.finish(next(each for each in live if each not in kept), "limit")

    def refusals(self, asked: Asked, parent: Model | None) -> Refusals:
        """Return what a session may be refused for; empty where it must come into being."""
        role = asked.role if parent is None else asked.role_below(parent)
        task = asked.task if parent is None else asked.task_below(parent)
        found: Refusals = set()
        if asked.agent in self.disabled:
            found.add(PolicyDenied)
        if self.lacks_room(asked, parent):
            found.add(LimitReached)
        if not is_known(self.policy, role, task):
            found.add(InvalidArgument)
        if parent is None and not covered(asked.scopes) <= ceiling(self.policy, role, task):
            found.add(PolicyDenied)
        if parent is not None and not asked.is_narrow(self.policy, parent):
            found.add(DelegationRefused)
        return found

    def issue(self, issued: IssuedSession) -> None:
        model = self.models[issued.id]
        model.kid, model.context = issued.kid, issued.as_context()
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
        if model.uses == 0:
            said = "ended: uses"
        if model.cause is not None or model.is_due(self.clock.at):
            said = "ended: " + (model.cause or "ttl")
        forgotten = key.until is not None and key.until <= self.clock.at
        return {said, "invalid"} if forgotten and said != "active" else {said}

    def end_all(self, picked: Iterable[Model], cause: str = "agent") -> None:
        for each in sorted(picked, key=lambda each: each.id):
            if each.cause is None:
                self.finish(each, cause)
