"""The log in its database: what tampering leaves behind, and what other processes hear."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from clawguard import OutcomeUnknown, SessionManager, StoreUnavailable, Verifier
from clawguard.clock import new_id
from clawguard.events.chain import canonical, genesis, link
from tests.clocks import FakeClock
from tests.openers import open_manager, raw

Tamper = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database with a log of six entries."""
    path = tmp_path / "data" / "clawguard.db"
    with open_manager(path) as manager:
        for agent in "abc":
            manager.create(agent, scopes="x")
        manager.revoke_all_for_agent("a", reason="one")
        manager.revoke_all_for_agent("b", reason="two")
        manager.keys.rotate()
    return path


def verified(path: Path) -> tuple[int, str] | None:
    """Return the first fault, without the mark in the lock file: with it, some would be refused at open."""
    path.with_name(path.name + "-lock").unlink()
    with Verifier.open(path, clock=FakeClock()) as verifier:
        found = verifier.events.verify()
    return None if found.fault is None else (found.fault.seq, found.fault.kind)


def swap(database: sqlite3.Connection) -> None:
    """Let the second and the third entry change places."""
    database.execute("UPDATE events SET seq = 99 WHERE seq = 2")
    database.execute("UPDATE events SET seq = 2 WHERE seq = 3")
    database.execute("UPDATE events SET seq = 3 WHERE seq = 99")


def insert(database: sqlite3.Connection) -> None:
    """Push another entry between the third and the fourth."""
    for seq in (6, 5, 4):
        database.execute("UPDATE events SET seq = ? WHERE seq = ?", (seq + 1, seq))
    database.execute(
        "INSERT INTO events SELECT 4, hash, type, at, session_id, cause_id, body FROM events WHERE seq = 3"
    )


def edit_body(database: sqlite3.Connection) -> None:
    body = json.loads(database.execute("SELECT body FROM events WHERE seq = 4").fetchone()[0])
    database.execute("UPDATE events SET body = ? WHERE seq = 4", (canonical(body | {"reason": "none"}),))


def begin_elsewhere(database: sqlite3.Connection) -> None:
    """Link the whole log anew from the genesis of another issuer."""
    head = genesis("urn:other")
    for seq, body in database.execute("SELECT seq, body FROM events ORDER BY seq").fetchall():
        head = link(head, body.encode())
        database.execute("UPDATE events SET hash = ? WHERE seq = ?", (head, seq))


TAMPERED: dict[str, tuple[Tamper, tuple[int, str]]] = {
    "hash": (
        lambda database: database.execute("UPDATE events SET hash = zeroblob(32) WHERE seq = 3"),
        (3, "link"),
    ),
    "type": (
        lambda database: database.execute("UPDATE events SET type = 'session.created' WHERE seq = 4"),
        (4, "columns"),
    ),
    "at": (lambda database: database.execute("UPDATE events SET at = at - 1 WHERE seq = 2"), (2, "columns")),
    "session_id": (
        lambda database: database.execute("UPDATE events SET session_id = 'other' WHERE seq = 5"),
        (5, "columns"),
    ),
    "no session_id": (
        lambda database: database.execute("UPDATE events SET session_id = NULL WHERE seq = 5"),
        (5, "columns"),
    ),
    "cause_id": (
        lambda database: database.execute("UPDATE events SET cause_id = NULL WHERE seq = 4"),
        (4, "columns"),
    ),
    "body": (edit_body, (4, "link")),
    "first body": (
        lambda database: database.execute("UPDATE events SET body = replace(body, 'a', 'b') WHERE seq = 1"),
        (1, "genesis"),
    ),
    "space in body": (
        lambda database: database.execute("UPDATE events SET body = body || ' ' WHERE seq = 6"),
        (6, "link"),
    ),
    "delete": (lambda database: database.execute("DELETE FROM events WHERE seq = 3"), (4, "gap")),
    "delete first": (lambda database: database.execute("DELETE FROM events WHERE seq = 1"), (2, "gap")),
    "insert": (insert, (4, "link")),
    "reorder": (swap, (2, "link")),
    "foreign genesis": (begin_elsewhere, (1, "genesis")),
}


@pytest.mark.parametrize(("tamper", "fault"), TAMPERED.values(), ids=TAMPERED)
def test_tampering_is_named_with_its_entry(path: Path, tamper: Tamper, fault: tuple[int, str]) -> None:
    assert verified(path) is None
    with raw(path) as database:
        tamper(database)
    assert verified(path) == fault


@pytest.mark.parametrize(
    "body",
    [
        "'[1]'",
        "'not json'",
        "''",
        "CAST(x'ff' AS TEXT)",
    ],
)
def test_an_entry_whose_text_is_no_json_is_named_too(path: Path, body: str) -> None:
    with raw(path) as database:
        database.execute(f"UPDATE events SET body = {body} WHERE seq = 4")
    assert verified(path) == (4, "link")


@pytest.mark.parametrize("seq", [0, -5])
def test_an_entry_before_the_first_is_found(path: Path, seq: int) -> None:
    with raw(path) as database:
        database.execute(
            f"INSERT INTO events SELECT {seq}, hash, type, at, session_id, cause_id, body "
            "FROM events WHERE seq = 1"
        )
    assert verified(path) is not None


@pytest.mark.parametrize("column", ["hash", "body", "type", "at"])
def test_every_single_entry_is_guarded(path: Path, column: str) -> None:
    changed = {"hash": "zeroblob(32)", "body": "body || ' '", "type": "'x'", "at": "at + 1"}[column]
    for seq in range(1, 7):
        with raw(path) as database:
            database.execute("BEGIN")
            (before,) = database.execute(f"SELECT {column} FROM events WHERE seq = {seq}").fetchone()
            database.execute(f"UPDATE events SET {column} = {changed} WHERE seq = {seq}")
            database.execute("COMMIT")
        fault = verified(path)
        assert fault is not None
        assert fault[0] == seq
        with raw(path) as database:
            database.execute(f"UPDATE events SET {column} = ? WHERE seq = {seq}", (before,))
    assert verified(path) is None


def test_the_log_goes_on_over_a_restart(path: Path) -> None:
    with open_manager(path) as manager:
        manager.create("d", scopes="x")
        assert manager.events.verify().count == 7
        assert manager.events.read(after=6)[0].prev_hash == manager.events.read(after=5)[0].hash


def test_a_follower_hears_another_manager(path: Path) -> None:
    with open_manager(path) as one, open_manager(path) as other:
        follower = one.events.follow(poll=0.001)
        for agent in "def":
            other.create(agent, scopes="x")
            assert next(follower).agent_id == agent


def test_an_async_follower_hears_another_manager(path: Path) -> None:
    async def main(one: SessionManager, other: SessionManager) -> list[str | None]:
        heard = []
        follower = one.events.follow(poll=0.001, types="session.created")
        for agent in "def":
            asyncio.get_running_loop().call_later(0.005, partial(other.create, agent, scopes="x"))
            heard.append((await anext(follower)).agent_id)
        return heard

    with open_manager(path) as one, open_manager(path) as other:
        assert asyncio.run(main(one, other)) == ["d", "e", "f"]


def test_two_managers_write_one_chain(path: Path) -> None:
    with open_manager(path) as one, open_manager(path) as other:
        for _ in range(5):
            one.create("a", scopes="x")
            other.create("b", scopes="x")
        assert one.events.verify() == other.events.verify()
        assert one.events.verify().count == 16


def test_events_carry_the_ids_they_are_told_apart_by(path: Path) -> None:
    with open_manager(path) as manager:
        events = manager.events.read()
    assert len({each.id for each in events}) == len(events)
    assert all(len(each.id) == len(new_id(0)) for each in events)


def test_an_outcome_that_is_unknown_is_a_kind_of_unavailable() -> None:
    assert issubclass(OutcomeUnknown, StoreUnavailable)
