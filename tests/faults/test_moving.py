"""A copy that is killed goes on where it stood, and never do two databases take writes."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clawguard import SessionManager, Verifier
from clawguard.errors import ClawguardError, ConfigError, StoreMoved
from clawguard.sessions.moving import copy_database
from clawguard.store.tables import TABLES
from tests.faults.lab import Acks, Worker, acknowledged, report, sizes
from tests.moves import contents
from tests.openers import KEK, rows
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
