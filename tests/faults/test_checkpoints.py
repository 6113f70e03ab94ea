"""Nobody checkpoints but a writer under the lock, and the log beside the database stays small."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import pytest

from clawguard import SessionManager
from clawguard.store.condition import may_lose_checkpoints, sqlite_version
from clawguard.store.connections import connect
from clawguard.store.sqlite import SQLiteStore
from clawguard.store.transaction import SQLiteTransaction
from tests.faults.lab import assert_whole, founded, report, rows, sizes, store_of, together, writer_queue_of

EVERY = 256


def test_no_connection_checkpoints_by_itself(tmp_path: Path) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    with SessionManager.open(path, sweep_every=None) as manager:
        manager.validate(manager.create("agent", scopes="a").token)
        store = store_of(manager)
        readers = [*store._readers.idle(), *store._validators.idle()]
        assert len(readers) >= 2
        assert store._writer is not None
        for connection in (store._writer, *readers):
            assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        for connection in readers:
            assert connection.execute("PRAGMA query_only").fetchone() == (1,)
    fresh = connect(path)
    assert fresh.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    fresh.close()


def test_the_counter_begins_again_about_every_256_commits(tmp_path: Path) -> None:
    with SessionManager.open(tmp_path / "db" / "clawguard.db", sweep_every=None) as manager:
        queue = writer_queue_of(manager)
        counts = []
        for _ in range(EVERY * 2 + 40):
            manager.create("agent", scopes="a")
            counts.append(queue.commits())
    resets = [number for number, count in enumerate(counts) if count == 0]
    assert len(resets) == 2
    assert resets[1] - resets[0] == EVERY
    assert max(counts) == EVERY - 1


@pytest.mark.parametrize("commits", sizes(1_200, 40_000))
def test_the_log_beside_the_database_stays_small(tmp_path: Path, commits: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    log = path.with_name(path.name + "-wal")

    def write(number: int) -> tuple[int, int]:
        largest = counted = 0
        with SessionManager.open(path, sweep_every=None) as manager:
            for _ in range(commits // 4):
                manager.validate(manager.create("agent", scopes="a").token)
                largest = max(largest, log.stat().st_size)
                counted = max(counted, writer_queue_of(manager).commits())
        return largest, counted

    results = together(4, write, timeout=300)
    largest, counted = (max(each) for each in zip(*results, strict=True))
    report("checkpoints", commits=commits, largest_log_kib=largest // 1_024, most_commits_between=counted)
    assert counted <= EVERY * 2
    assert largest <= 24 * 1024 * 1024
    assert assert_whole(path) == commits


def log_after(path: Path, commits: int) -> int:
    """Return how large the log beside a database is after so many commits of one process, in bytes."""
    with SessionManager.open(path, sweep_every=None) as manager:
        for _ in range(commits):
            manager.create("agent", scopes="a")
        return path.with_name(path.name + "-wal").stat().st_size


@pytest.mark.control
def test_a_log_that_nobody_checkpoints_is_caught(tmp_path: Path) -> None:
    with checkpoints_every(50):
        kept = log_after(tmp_path / "one" / "clawguard.db", 200)
    with checkpoints_every(10**9):
        left = log_after(tmp_path / "other" / "clawguard.db", 200)
    report("checkpoints, control: none", log_kib=left // 1_024, with_checkpoints_kib=kept // 1_024)
    assert left > kept * 2


@contextmanager
def checkpoints_every(commits: int) -> Iterator[None]:
    """Have a checkpoint after so many commits."""
    with (
        patch("clawguard.store.transaction.CHECKPOINT_EVERY", commits),
        patch("clawguard.store.sqlite.CHECKPOINT_EVERY", commits),
    ):
        yield


class Checkpointed(NamedTuple):
    """Hold what was acknowledged under checkpoints without end, and what of it is there."""

    acknowledged: set[str]
    kept: set[str]
    checkpoints: int
    at_once: int


def checkpointed(path: Path, seconds: int) -> Checkpointed:
    """Create and revoke in four processes, with a checkpoint at every other commit."""

    def write(number: int) -> tuple[list[str], list[bool]]:
        acknowledged, over = [], time.monotonic() + seconds
        with watched(path) as alone, SessionManager.open(path, sweep_every=None) as manager:
            while time.monotonic() < over:
                acknowledged.append(manager.create("agent", scopes="a").id)
                manager.revoke(acknowledged[-1])
        return acknowledged, alone

    with checkpoints_every(2):
        told = together(4, write, timeout=seconds + 60)
    checkpoints = [each for _, alone in told for each in alone]
    acknowledged = {each for ids, _ in told for each in ids}
    return Checkpointed(acknowledged, revoked(path), len(checkpoints), checkpoints.count(False))


@contextmanager
def watched(path: Path) -> Iterator[list[bool]]:
    """Gather of each checkpoint of this process whether no other process was at one."""
    checkpoint, busy, alone = SQLiteStore._checkpoint, path.with_name("checkpoint-under-way"), list[bool]()

    def watch(*args: Any, **given: Any) -> None:
        try:
            busy.touch(exist_ok=False)
        except FileExistsError:
            alone.append(False)
            return checkpoint(*args, **given)
        alone.append(True)
        try:
            return checkpoint(*args, **given)
        finally:
            busy.unlink()

    with patch.object(SQLiteStore, "_checkpoint", watch):
        yield alone


def revoked(path: Path) -> set[str]:
    """Return the sessions that the file itself has as revoked."""
    return {each for (each,) in rows(path, "SELECT id FROM sessions WHERE cause = 'revoked'")}


@pytest.mark.parametrize("seconds", sizes(1, 30))
def test_checkpoints_at_every_other_commit_lose_none_of_them(tmp_path: Path, seconds: int) -> None:
    """SQLite before 3.51.3 may lose commits when two connections checkpoint at one instant."""
    path = founded(tmp_path / "db" / "clawguard.db")
    found = checkpointed(path, seconds)
    report(
        "WAL-reset", sqlite=sqlite_version(), may_lose_commits_by_itself=may_lose_checkpoints(), processes=4,
        acknowledged=len(found.acknowledged) * 2, lost=len(found.acknowledged - found.kept),
        checkpoints=found.checkpoints, at_one_instant=found.at_once,
    )  # fmt: skip
    assert found.acknowledged == found.kept
    assert found.checkpoints > 0
    assert found.at_once == 0
    assert_whole(path)


@pytest.mark.control
def test_checkpoints_without_the_lock_are_caught(tmp_path: Path) -> None:
    def checkpoint_apart(transaction: SQLiteTransaction) -> None:
        transaction._store._checkpoint("PASSIVE")

    path = founded(tmp_path / "db" / "clawguard.db")
    with patch.object(SQLiteTransaction, "_checkpoint_apart", checkpoint_apart):
        found = checkpointed(path, 1)
    report(
        "WAL-reset, control: checkpoints without the lock",
        checkpoints=found.checkpoints, at_one_instant=found.at_once,
    )  # fmt: skip
    assert found.at_once > 0


@pytest.mark.control
def test_commits_that_a_checkpoint_passes_over_are_caught(tmp_path: Path) -> None:
    """What SQLite does where two checkpoint at one instant, done by hand."""
    path = founded(tmp_path / "db" / "clawguard.db")
    acknowledged = set()
    with checkpoints_every(10**9), SessionManager.open(path, sweep_every=None) as manager:
        for _ in range(20):
            acknowledged.add(manager.create("agent", scopes="a").id)
        manager.revoke_where(everything=True)
        assert revoked(path) == acknowledged
        pass_over(path)
    lost = acknowledged - revoked(path)
    report("WAL-reset, control: frames passed over", acknowledged=len(acknowledged), lost=len(lost))
    assert lost


def pass_over(path: Path) -> None:
    """Have the index of the log say that all of it is in the database (SQLite's walformat.html, 2.1, 2.2)."""
    with path.with_name(path.name + "-shm").open("r+b") as index:
        index.seek(16)
        frames = index.read(4)
        index.seek(96)
        index.write(frames)


def test_a_reader_in_the_way_costs_no_call_and_the_log_shrinks_once_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "db" / "clawguard.db"
    log = path.with_name(path.name + "-wal")
    with SessionManager.open(path, sweep_every=None) as manager:
        manager.create("agent", scopes="a")
        reader = connect(path, query_only=True)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sessions").fetchone()
        for _ in range(EVERY + 20):
            manager.create("agent", scopes="a")
        pinned = log.stat().st_size
        reader.execute("COMMIT")
        reader.close()
        for _ in range(EVERY * 3):
            manager.create("agent", scopes="a")
        assert log.stat().st_size <= pinned * 3
    assert not log.exists() or log.stat().st_size == 0


def test_a_stopped_checkpoint_is_tried_again_after_a_quarter_of_the_commits(
    tmp_path: Path,
) -> None:
    path = tmp_path / "db" / "clawguard.db"
    with SessionManager.open(path, sweep_every=None) as manager:
        manager.create("agent", scopes="a")
        reader = connect(path, query_only=True)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sessions").fetchone()
        counts = []
        for _ in range(EVERY * 2):
            manager.create("agent", scopes="a")
            counts.append(writer_queue_of(manager).commits())
        reader.close()
    stopped = [number for number, count in enumerate(counts) if number and count < counts[number - 1]]
    assert {counts[number] for number in stopped} == {EVERY * 3 // 4}
    assert [later - sooner for sooner, later in pairwise(stopped)] == [EVERY // 4] * (len(stopped) - 1)
    assert len(stopped) >= 4


def test_a_commit_of_many_rows_counts_for_more(tmp_path: Path) -> None:
    with SessionManager.open(tmp_path / "db" / "clawguard.db", sweep_every=None) as manager:
        queue = writer_queue_of(manager)
        root = manager.create("agent", scopes="a")
        for _ in range(50):
            manager.delegate(root, "helper", scopes="a")
        before = queue.commits()
        manager.revoke(root)
        assert queue.commits() - before == 1 + 102 // 5
