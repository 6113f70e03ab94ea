"""A copy that is killed goes on where it stood, and never do two databases take writes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from clawguard import SessionManager, Verifier
from clawguard.errors import ClawguardError, ConfigError, StoreMoved
from clawguard.sessions.moving import copy_database
from clawguard.store.postgres.transaction import PostgresTransaction
from clawguard.store.tables import TABLES
from clawguard.store.transaction import SQLiteTransaction
from tests.clocks import FakeClock
from tests.faults.lab import Acks, Worker, acknowledged, report, sizes
from tests.moves import contents, making_places, move
from tests.openers import KEK, open_manager, rows
from tests.schemas import schema

WRITERS = 3


@pytest.fixture(params=["file to postgres", "postgres to file"])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, str]]:
    with ExitStack() as stack:
        file, server = str(tmp_path / "db" / "clawguard.db"), stack.enter_context(schema())
        yield (file, server) if request.param == "file to postgres" else (server, file)


def copying(old: str, new: str) -> None:
    copy_database(old, new, kek=KEK)


def writing(url: str, acks_path: Path) -> str:
    """Write until the database moves; acknowledge each session once it stands."""
    acks = Acks(acks_path)
    with SessionManager.open(url, kek=KEK, sweep_every=None, lock_timeout=60) as manager:
        for number in range(1_000_000):
            try:
                key = f"one of {number % 5}: {number} of {os.getpid()}"
                session = manager.create("writer", scopes="a", key=key)
                manager.refresh(session.id)
                if not number % 4:  # this has the lock alone, and then nobody is beside anybody
                    manager.history.append(session.id, {"role": "user", "content": "said"})
                manager.revoke(session.id)
            except StoreMoved:
                return "moved"
            acks.add("revoked", session.id)
    return "never"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", sizes(3, 60))
def test_a_copy_killed_anywhere_ends_with_equal_content(
    ends: tuple[str, str], tmp_path: Path, kills: int
) -> None:
    old, new = ends
    chance = random.Random(kills)
    with SessionManager.open(old, kek=KEK, sweep_every=None) as manager:
        for number in range(20 * kills):
            session = manager.create(f"agent-{number}", scopes="a", key=f"k{number}")
            manager.history.append(session.id, {"role": "user", "content": "before"})
    both = 0
    writers = [Worker(writing, old, tmp_path / f"acks-{number}") for number in range(WRITERS)]
    for _ in range(kills):
        copier = Worker(copying, old, new)
        time.sleep(chance.uniform(0.05, 0.6))
        copier.kill()
        both += takes_writes(old) and takes_writes(new)
    Worker(copying, old, new).result()
    assert [each.result() for each in writers] == ["moved"] * WRITERS
    said = [ack for number in range(WRITERS) for ack in acknowledged(tmp_path / f"acks-{number}")]
    with SessionManager.open(new, kek=KEK, sweep_every=None) as manager:
        assert manager.events.verify()
        lost = sum(manager.sessions.get(session_id).cause != "revoked" for _, session_id, *_ in said)
    hidden = {table.name: rows(old, f"SELECT count(*) FROM shut_{table.name}")[0][0] for table in TABLES}
    found = {name: len(each) for name, each in contents(new).items()}
    report("db copy", kills=kills, acknowledged=len(said), lost=lost, both_took_writes=both)
    assert (lost, both) == (0, 0)
    assert said, "somebody wrote meanwhile"
    assert {name: count for name, count in found.items() if count != hidden[name]} == {}


def takes_writes(url: str) -> bool:
    """Tell whether a database takes a write, without founding one."""
    try:
        Verifier.open(url).close()
        with SessionManager.open(url, kek=KEK, sweep_every=None, create=False) as manager:
            manager.history.milestones.set("asked", "again")
    except (StoreMoved, ConfigError):
        return False
    except ClawguardError as error:  # anything else is none of what this test is about
        raise AssertionError(error) from error
    return True


class Died(BaseException):
    """Ends a copy at a commit."""


class Commits:
    """Count the commits of both engines, and die before or behind one of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen = 0
        self._last: int | None = None
        self._stands = False
        for kind in (SQLiteTransaction, PostgresTransaction):
            monkeypatch.setattr(kind, "_commit", self._counting(kind._commit))

    def die_at(self, number: int | None, *, stands: bool = False) -> None:
        """Begin to count anew; die at that commit, which `stands` nevertheless."""
        self.seen, self._last, self._stands = 0, number, stands

    def _counting(self, commit: Callable[[Any], None]) -> Callable[[Any], None]:
        def counted(tx: Any) -> None:
            self.seen += 1
            is_last = self.seen == self._last
            if self._stands or not is_last:
                commit(tx)
            if is_last:
                raise Died

        return counted


@pytest.mark.parametrize("stands", [False, True])
@pytest.mark.parametrize("last", sizes(4, 60))
def test_a_copy_that_dies_at_any_of_its_last_commits_goes_on(
    ends: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int, stands: bool
) -> None:
    engines = ["postgres" if "://" in each else "file" for each in ends]
    commits, count = Commits(monkeypatch), 0
    with making_places(tmp_path) as places:
        for back in range(last):
            old, new = map(places, engines)
            with open_manager(old) as manager:
                session = manager.create("a", scopes="x")
                if not back:
                    commits.die_at(None)
                    move(old, new)
                    count = commits.seen
                    continue
                if back > count:
                    break
                commits.die_at(count + 1 - back, stands=stands)
                with pytest.raises(Died):
                    move(old, new)
                commits.die_at(None)
                assert not (is_open(old) and is_open(new))
                with suppress(StoreMoved):
                    manager.revoke(session)
                before = contents(old) if is_open(old) else None
            assert move(old, new).moved
            assert before is None or contents(new) == before
            with open_manager(new) as moved:
                assert moved.events.verify()
                assert moved.create("later", scopes="x")


def is_open(url: str) -> bool:
    """Tell whether a database was founded and is shut to nobody."""
    try:
        Verifier.open(url, clock=FakeClock()).close()
    except (StoreMoved, ConfigError):
        return False
    return True
