"""Writes beside each other on PostgreSQL: what may be had once is had once, whoever races for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from operator import methodcaller
from threading import Barrier

import pytest

from clawguard import (
    AccessDenied,
    ClawguardError,
    DelegationRefused,
    IssuedSession,
    KeyInUse,
    PolicyDenied,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
)
from clawguard.store.postgres.transaction import PostgresTransaction
from tests.faults.lab import report, sizes
from tests.openers import rows
from tests.schemas import schema

MACHINES = 4


class Machines:
    """Hold managers of one database, each with connections of its own, and have them act at one instant."""

    def __init__(self, url: str, managers: list[SessionManager]) -> None:
        self.url = url
        self.managers = managers
        self._barrier = Barrier(MACHINES)
        self._threads = ThreadPoolExecutor(MACHINES)

    @property
    def first(self) -> SessionManager:
        return self.managers[0]

    def race(self, *acts: Callable[[SessionManager], object]) -> list[object]:
        """Return what each did, or the error it had. With fewer acts than machines they repeat."""
        work = [acts[number % len(acts)] for number in range(MACHINES)]
        return list(self._threads.map(self._act, self.managers, work))

    def _act(self, manager: SessionManager, act: Callable[[SessionManager], object]) -> object:
        self._barrier.wait(30)
        try:
            return act(manager)
        except ClawguardError as error:
            return error

    def close(self) -> None:
        self._threads.shutdown()


@pytest.fixture
def machines(kek: None) -> Iterator[Machines]:
    with schema() as url, ExitStack() as opened:
        managers = [
            opened.enter_context(SessionManager.open(url, sweep_every=None, lock_timeout=60))
            for _ in range(MACHINES)
        ]
        machines = Machines(url, managers)
        yield machines
        machines.close()
        assert machines.first.events.verify()


def disable(agent: str, manager: SessionManager) -> object:
    return manager.agents.disable(agent)


def kinds(found: list[object]) -> dict[type, int]:
    return {kind: sum(type(each) is kind for each in found) for kind in {type(each) for each in found}}


@pytest.mark.parametrize("rounds", sizes(15, 500))
def test_a_key_is_given_to_one(machines: Machines, rounds: int) -> None:
    for turn in range(rounds):
        found = machines.race(methodcaller("create", "a", scopes="x", key=f"key-{turn}"))
        assert kinds(found) == {IssuedSession: 1, KeyInUse: MACHINES - 1}
    report("G-ONCE, keys", rounds=rounds)


def test_without_its_names_locked_a_key_breaks_the_race(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    beginning = PostgresTransaction._beginning

    def nameless(self: PostgresTransaction, connection: object) -> str:
        self._reach = self._reach and self._reach._replace(names=())
        return beginning(self, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresTransaction, "_beginning", nameless)
    broken = 0
    for turn in range(200):
        found = machines.race(methodcaller("create", "a", scopes="x", key=f"key-{turn}"))
        broken += kinds(found) != {IssuedSession: 1, KeyInUse: MACHINES - 1}
        if broken:
            break
    assert broken


@pytest.mark.parametrize("rounds", sizes(15, 500))
def test_a_request_makes_one_session_whoever_repeats_it(machines: Machines, rounds: int) -> None:
    for turn in range(rounds):
        found = machines.race(methodcaller("create", "a", scopes="x", request_id=f"request-{turn}"))
        assert len({each.id for each in found if isinstance(each, IssuedSession)}) == 1
        assert kinds(found) == {IssuedSession: MACHINES}


@pytest.mark.parametrize("rounds", sizes(15, 500))
def test_a_session_of_three_uses_is_used_three_times(machines: Machines, rounds: int) -> None:
    for _ in range(rounds):
        made = machines.first.create("a", scopes="x", max_uses=MACHINES - 1)
        found = machines.race(methodcaller("validate", made.token))
        assert sum(isinstance(each, AccessDenied) for each in found) == 1
        assert machines.first.get_session(made.id).cause == "uses"


@pytest.mark.parametrize("rounds", sizes(15, 500))
def test_one_refresh_of_a_generation_gets_through(machines: Machines, rounds: int) -> None:
    made = machines.first.create("a", scopes="x")
    for turn in range(1, rounds + 1):
        found = machines.race(methodcaller("refresh", made, expected_generation=turn))
        assert kinds(found) == {IssuedSession: 1, TokenSuperseded: MACHINES - 1}
    told = machines.first.events.read(session_id=made.id, limit=1_000)
    assert [each.version for each in told] == list(range(1, rounds + 2))


@pytest.mark.parametrize("rounds", sizes(10, 300))
def test_uses_are_handed_on_but_once(machines: Machines, rounds: int) -> None:
    for _ in range(rounds):
        parent = machines.first.create("a", scopes="x", max_uses=3)
        found = machines.race(methodcaller("delegate", parent, "b", scopes="x", max_uses=1))
        assert kinds(found) == {IssuedSession: 3, DelegationRefused: 1}


@pytest.mark.parametrize("rounds", sizes(15, 500))
def test_no_child_is_born_under_an_end(machines: Machines, rounds: int) -> None:
    for _ in range(rounds):
        root = machines.first.create("a", scopes="x")
        middle = machines.first.delegate(root, "b", scopes="x")
        ended, *born = machines.race(
            methodcaller("revoke", root),
            *[methodcaller("delegate", middle, "c", scopes="x")] * (MACHINES - 1),
        )
        assert ended is True
        assert kinds(born).keys() <= {IssuedSession, SessionEnded}
    orphans = "SELECT id FROM sessions WHERE ended_at IS NULL AND parent_id IS NOT NULL"
    assert rows(machines.url, orphans) == []


def test_without_its_tree_locked_a_child_may_be_born_under_an_end(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    beginning = PostgresTransaction._beginning

    def treeless(self: PostgresTransaction, connection: object) -> str:
        self._reach = self._reach and self._reach._replace(session_id=None)
        return beginning(self, connection)  # type: ignore[arg-type]

    monkeypatch.setattr(PostgresTransaction, "_beginning", treeless)
    orphans = "SELECT id FROM sessions WHERE ended_at IS NULL AND parent_id IS NOT NULL"
    for _ in range(200):
        root = machines.first.create("a", scopes="x")
        middle = machines.first.delegate(root, "b", scopes="x")
        machines.race(
            methodcaller("revoke", root),
            *[methodcaller("delegate", middle, "c", scopes="x")] * (MACHINES - 1),
        )
        if rows(machines.url, orphans):
            return
    pytest.fail("the race was never lost: it shows nothing")


@pytest.mark.parametrize("rounds", sizes(10, 300))
def test_none_of_a_disabled_agents_sessions_is_live(machines: Machines, rounds: int) -> None:
    for turn in range(rounds):
        agent = f"agent-{turn}"
        _, *made = machines.race(
            partial(disable, agent),
            *[methodcaller("create", agent, scopes="x")] * (MACHINES - 1),
        )
        assert kinds(made).keys() <= {IssuedSession, PolicyDenied}
        live = f"SELECT 1 FROM sessions WHERE agent_id = '{agent}' AND ended_at IS NULL"
        assert rows(machines.url, live) == []


@pytest.mark.parametrize("rounds", sizes(8, 200))
def test_no_token_of_a_compromised_key_is_taken(machines: Machines, rounds: int) -> None:
    for _ in range(rounds):
        _, *made = machines.race(
            lambda manager: manager.keys.rotate(emergency=True),
            *[methodcaller("create", "a", scopes="x")] * (MACHINES - 1),
        )
        assert kinds(made).keys() == {IssuedSession}
        trusted = {key.kid for key in machines.first.keys.list() if key.state != "compromised"}
        live = rows(machines.url, "SELECT DISTINCT kid FROM sessions WHERE ended_at IS NULL")
        assert {kid for (kid,) in live} <= trusted
