"""Machines on one PostgreSQL: they rotate together, and take their locks in one order."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from clawguard import AccessDenied, ClawguardError, ConfigError, IssuedSession, SessionManager, Verifier
from clawguard.store.postgres.connections import Address
from clawguard.store.postgres.transaction import PostgresTransaction
from tests.faults.lab import CONTEXT, PATIENCE, Worker, crew, sizes, together
from tests.faults.test_postgres import assert_whole
from tests.openers import rows
from tests.servers import unique

pytestmark = pytest.mark.usefixtures("kek")

MACHINES = 3


def accepts(manager: SessionManager, token: str) -> bool:
    try:
        manager.validate(token)
    except AccessDenied:
        return False
    return True


def machine(url: str, pipe: Any) -> None:
    """Do what is asked for: make a token, rotate, tell which tokens are accepted."""
    with SessionManager.open(url, sweep_every=None) as manager:
        while (asked := pipe.recv()) is not None:
            what, given = asked
            if what == "create":
                pipe.send(manager.create("agent", scopes="a").token)
            elif what == "rotate":
                pipe.send(manager.keys.rotate(emergency=given).count)
            else:
                pipe.send([accepts(manager, token) for token in given])


class Machines:
    """Hold processes that each have a manager open, and ask them one by one."""

    def __init__(self, url: str, start: Any) -> None:
        self._pipes = []
        for _ in range(MACHINES):
            mine, theirs = CONTEXT.Pipe()
            start(machine, url, theirs)
            self._pipes.append(mine)

    def ask(self, number: int, what: str, given: object = None) -> Any:
        pipe = self._pipes[number % MACHINES]
        pipe.send((what, given))
        assert pipe.poll(PATIENCE)
        return pipe.recv()

    def ask_all(self, what: str, given: object = None) -> list[Any]:
        return [self.ask(number, what, given) for number in range(MACHINES)]


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def test_all_machines_sign_with_the_new_key_from_the_rotation_on(url: str) -> None:
    with crew() as start, SessionManager.open(url, sweep_every=None) as manager:
        machines = Machines(url, start)
        before = machines.ask_all("create")
        for turn, emergency in enumerate((False, True, False, True)):
            ended = machines.ask(turn, "rotate", emergency)
            fresh = machines.ask_all("create")
            assert {kid_of(token) for token in fresh} == {manager.keys.active().kid}
            assert machines.ask_all("validate", fresh) == [[True] * MACHINES] * MACHINES
            assert machines.ask_all("validate", before) == [[not emergency] * MACHINES] * MACHINES
            assert ended == (MACHINES if emergency else 0)
            before = fresh


def rotate_and_issue(_: int, url: str, count: int) -> list[str]:
    """Rotate again and again, and issue a token after each."""
    with SessionManager.open(url, sweep_every=None) as manager:
        made = []
        for _ in range(count):
            manager.keys.rotate()
            made.append(manager.create("agent", scopes="a").token)
        return made


@pytest.mark.parametrize("count", sizes(5, 100))
def test_rotations_at_once_leave_one_key_that_signs_and_every_token_valid(url: str, count: int) -> None:
    tokens = [token for made in together(MACHINES, rotate_and_issue, url, count) for token in made]
    with SessionManager.open(url, sweep_every=None) as manager, Verifier.open(url) as verifier:
        states = [key.state for key in manager.keys.list()]
        assert (states.count("active"), states.count("next")) == (1, 1)
        assert len(states) == MACHINES * count + 2
        for token in tokens:
            assert manager.validate(token)
            assert verifier.validate(token)
    assert_whole(url)


def test_a_machine_with_another_key_encryption_key_says_so_when_it_starts(url: str) -> None:
    def tables() -> list[Any]:
        return rows(
            url, "SELECT m.revision, k.kid, k.state, k.sealed FROM meta m, signing_keys k ORDER BY kid"
        )

    before = tables()
    for _ in range(2):  # a rotation seals with the right one again
        for _ in range(2):
            with pytest.raises(ConfigError, match="does not open the sealed keys"):
                SessionManager.open(url, sweep_every=None, kek=bytes(31) + b"x")
        assert tables() == before
        with SessionManager.open(url, sweep_every=None) as manager:
            manager.keys.rotate()
            assert manager.validate(manager.create("agent", scopes="a").token)
        before = tables()


# the order of locks


def delegates_slowly(url: str, parent: str, lock: int | None, pipe: Any) -> str:
    """Delegate, and stop between the look at the parent and the child's row."""
    _lock_otherwise(lock)
    run_or_fail = PostgresTransaction.run_or_fail

    def stopping(self: PostgresTransaction, otherwise: ClawguardError, name: str, /, **params: Any) -> None:
        if name == "session.insert":
            pipe.send("looked")
            assert pipe.recv() == "go on"
        run_or_fail(self, otherwise, name, **params)

    PostgresTransaction.run_or_fail = stopping  # type: ignore[method-assign]  # this process
    with SessionManager.open(url, sweep_every=None) as manager:
        try:
            return manager.delegate(manager.get_session(parent), "child", scopes="a").id
        except ClawguardError as error:
            return type(error).__name__


def revokes(url: str, grandparent: str, lock: int | None) -> bool:
    _lock_otherwise(lock)
    with SessionManager.open(url, sweep_every=None, lock_timeout=PATIENCE) as manager:
        return manager.revoke(grandparent)


def _lock_otherwise(lock: int | None) -> None:
    """Have this process take locks that nobody else takes."""
    if lock is not None:
        Address.lock = property(lambda self: lock)  # type: ignore[method-assign,assignment]


def is_waiting(url: str, name: str) -> bool:
    found = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND application_name ="
    return bool(rows(url, f"{found} '{name}'"))


def race(url: str, *, locks: tuple[int | None, int | None]) -> tuple[str, bool, list[Any]]:
    """Have a delegate from a parent cross a revoke of its grandparent; return both results, and who lives."""
    with SessionManager.open(url, sweep_every=None) as manager:
        top: IssuedSession = manager.create("grandparent", scopes="a")
        middle = manager.delegate(top, "parent", scopes="a")
    mine, theirs = CONTEXT.Pipe()
    name = unique("revoker")
    with crew() as start:
        delegating: Worker = start(delegates_slowly, url, middle.id, locks[0], theirs)
        assert mine.poll(PATIENCE), delegating.result()
        assert mine.recv() == "looked"
        revoking: Worker = start(revokes, f"{url}&application_name={name}", top.id, locks[1])
        while not is_waiting(url, name) and revoking.process.is_alive():
            time.sleep(0.005)
        mine.send("go on")
        made, revoked = delegating.result(), revoking.result()
    live = "SELECT agent_id FROM sessions WHERE ended_at IS NULL"
    return made, revoked, rows(url, live)


def test_a_delegate_that_crosses_a_revoke_of_its_grandparent_leaves_nothing_live(url: str) -> None:
    made, revoked, live = race(url, locks=(None, None))
    assert made not in {"StoreUnavailable", "StoreBusy"}
    assert revoked
    assert live == []
    assert_whole(url)


def test_without_the_same_locks_that_breaks(url: str) -> None:
    """The control: an orphan that lives on, or a change that fails on what another has written."""
    made, _, live = race(url, locks=(1, 2))
    assert live == [("child",)] or made in {"StoreUnavailable", "StoreBusy"}
