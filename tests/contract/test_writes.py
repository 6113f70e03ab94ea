"""What must outlast a loss of power is written so, and a write to one session holds up no other tree."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clawguard import IssuedSession, SessionManager
from clawguard.errors import ClawguardError
from clawguard.guard import DPoPProof, ProofKey
from clawguard.store import Reach
from clawguard.store.sqlite import SQLiteStore
from tests.clocks import FakeClock
from tests.openers import open_manager

URL = "https://api.example.com/docs"
HELLO = {"role": "user", "content": "hello"}
POLICY = {"rules": [{"name": "r", "effect": "allow", "actions": "*"}]}

Written = list[tuple[bool, Reach | None]]


class World:
    """Hold a manager whose writes are noted, and sessions to write to."""

    def __init__(self, manager: SessionManager, clock: FakeClock, written: Written) -> None:
        self.manager = manager
        self.clock = clock
        self._written = written
        self.live = manager.create("a", scopes="x", refreshable=True, ttl=600)
        self.mortal = manager.create("a", scopes="x", ttl=600)
        self.child = manager.delegate(self.live, "b", scopes="x")
        self.counted = manager.create("a", scopes="x", max_uses=2)
        self.key = ProofKey.generate(clock=clock)
        self.bound = manager.create("a", scopes="x", cnf=self.key.cnf)
        manager.history.append(self.live, HELLO)

    def written(self, call: Callable[[World], object]) -> Written:
        """Return what a call wrote: whether to last, and how far it reached."""
        self._written.clear()
        call(self)
        return list(self._written)

    def redeem_again(self) -> object:
        """Redeem a token that was just spent, behind a change of keys."""
        first = self.live.refresh_token or ""
        self.manager.redeem(first)
        self.manager.keys.rotate()
        self._written.clear()
        return self.manager.redeem(first)

    def reuse(self) -> None:
        first = self.live.refresh_token or ""
        self.manager.redeem(self.manager.redeem(first).refresh_token or "")
        self._written.clear()
        with pytest.raises(ClawguardError):
            self.manager.redeem(first)

    def begin_to_encrypt(self, *, anew: bool) -> None:
        encryption = self.manager.history.encryption
        if anew:
            encryption.enable()
        self._written.clear()
        encryption._begin(anew=anew, only_if_empty=False, actor="host")

    def wipe(self) -> None:
        """Forget the sealed successor of a token that was spent longer ago than the grace."""
        self.manager.redeem(self.live.refresh_token or "")
        self.clock.advance(60)
        self._written.clear()
        self.manager._families.wipe()

    def shown(self, session: IssuedSession) -> DPoPProof:
        headers = self.key.headers(session.token, method="GET", url=URL)
        return DPoPProof(headers["DPoP"], method="GET", url=URL)

    def too_late(self, call: Callable[[], object]) -> None:
        self.clock.advance(601)
        self._written.clear()
        with pytest.raises(ClawguardError):
            call()


def noted(patch: pytest.MonkeyPatch) -> Written:
    """Return where every write is noted from now on."""
    written: Written = []
    plain = SQLiteStore.transaction

    def transaction(self: SQLiteStore, *, durable: bool, reach: Reach | None = None) -> Any:
        written.append((durable, reach))
        return plain(self, durable=durable, reach=reach)

    patch.setattr(SQLiteStore, "transaction", transaction)
    return written


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    written = noted(monkeypatch)
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        yield World(manager, clock, written)


Call = Callable[[World], object]

OF_ONE_TREE: dict[str, Call] = {
    "end": lambda w: w.manager.end(w.live),
    "refresh": lambda w: w.manager.refresh(w.live),
    "redeem": lambda w: w.manager.redeem(w.live.refresh_token or ""),
    "redeem again": World.redeem_again,
    "redeem what was spent": World.reuse,
    "settle": lambda w: w.too_late(lambda: w.manager.refresh(w.mortal)),
    "settle for a child": lambda w: w.too_late(lambda: w.manager.delegate(w.mortal, "c", scopes="x")),
}
OF_ALL: dict[str, Call] = {
    "end an agent": lambda w: w.manager.revoke_all_for_agent("a"),
    "end by a filter": lambda w: w.manager.revoke_where(subject="agent:a"),
    "disable": lambda w: w.manager.agents.disable("a"),
    "enable": lambda w: w.manager.agents.enable("b"),
    "rotate": lambda w: w.manager.keys.rotate(),
    "a policy": lambda w: w.manager.reload_policy(POLICY),
    "forget": lambda w: w.manager.history.delete(w.live),
    "encrypt": lambda w: w.begin_to_encrypt(anew=False),
    "encrypt anew": lambda w: w.begin_to_encrypt(anew=True),
    "wipe": World.wipe,
    "hand a refresh token back": lambda w: w.manager._families.end(w.live.refresh_token or ""),
}
TO_LAST = OF_ONE_TREE | OF_ALL
TO_BE_LOST: dict[str, Call] = {
    "create": lambda w: w.manager.create("c", scopes="x"),
    "delegate": lambda w: w.manager.delegate(w.live, "c", scopes="x"),
    "name": lambda w: w.manager.activity.set_name(w.live, "n"),
    "state": lambda w: w.manager.activity.set_state(w.live, "running"),
    "turn": lambda w: w.manager.activity.turn(w.live).__enter__(),
    "milestone": lambda w: w.manager.history.milestones.set("k", "v"),
}


@pytest.mark.parametrize("name", TO_LAST)
def test_a_change_that_takes_from_somebody_is_durable_beyond_a_loss_of_power(world: World, name: str) -> None:
    written = world.written(TO_LAST[name])
    assert written
    assert all(durable for durable, _ in written)


@pytest.mark.parametrize("name", TO_BE_LOST)
def test_a_change_that_only_gives_is_not_durable_and_waits_for_no_disk(world: World, name: str) -> None:
    written = world.written(TO_BE_LOST[name])
    assert written
    assert not any(durable for durable, _ in written)


@pytest.mark.parametrize("name", OF_ONE_TREE)
def test_what_concerns_one_session_reaches_its_tree_and_no_other(world: World, name: str) -> None:
    whose = world.mortal if name.startswith("settle") else world.live
    written = world.written(OF_ONE_TREE[name])
    assert [reach for _, reach in written] == [Reach(whose.id)] * len(written)


def test_a_use_and_a_proof_are_written_for_their_own_session_and_to_last(world: World) -> None:
    manager, counted, bound = world.manager, world.counted, world.bound
    assert world.written(lambda w: manager.validate(counted.token)) == [(True, Reach(counted.id))]
    shown = world.shown(bound)
    assert world.written(lambda w: manager.validate(bound.token, proof=shown)) == [(True, Reach(bound.id))]


def test_a_repeated_answer_is_written_for_its_own_session_and_to_last(world: World) -> None:
    manager = world.manager
    again = manager.create("a", scopes="x", refreshable=True, request_id="r")
    told = world.written(lambda w: manager.create("a", scopes="x", refreshable=True, request_id="r"))
    assert told[-1] == (True, Reach(again.id))
    bound = manager.create("a", scopes="x", cnf=world.key.cnf, refreshable=True)
    for _ in range(2):  # the second time within the grace
        proof = DPoPProof(world.key.proof(method="GET", url=URL), method="GET", url=URL)
        told = world.written(lambda w: manager.redeem(bound.refresh_token or "", proof=proof))  # noqa: B023
        assert told == [(True, Reach(bound.id))]


def test_what_is_made_reaches_its_parents_tree_and_the_names_it_takes(world: World) -> None:
    manager = world.manager
    made: tuple[tuple[Call, Reach], ...] = (
        (lambda w: manager.create("c", scopes="x"), Reach(None)),
        (
            lambda w: manager.create("c", scopes="x", key="k", request_id="r", workspace_id="acme"),
            Reach(None, ("key acme k", "request acme r")),
        ),
        (lambda w: manager.delegate(w.child, "c", scopes="x"), Reach(world.child.id)),
        (
            lambda w: manager.delegate(w.child, "c", scopes="x", request_id="r"),
            Reach(world.child.id, ("request default r",)),
        ),
    )
    for call, reach in made:
        assert world.written(call) == [(False, reach)]


def test_what_must_count_all_of_an_agents_sessions_reaches_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = noted(monkeypatch)
    for at_limit, durable in (("deny", False), ("evict_oldest", True)):
        with open_manager(max_sessions_per_agent=1, at_limit=at_limit) as manager:
            written.clear()
            manager.create("a", scopes="x")
            assert written == [(durable, None)]
