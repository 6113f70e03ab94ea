"""Nobody checkpoints but a writer under the lock, and the log beside the database stays small."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import pytest

from clawguard import SessionManager
from clawguard.store.condition import may_lose_checkpoints, sqlite_version
from clawguard.store.connections import connect
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


@pytest.mark.parametrize("seconds", sizes(1, 30))
def test_checkpoints_at_every_other_commit_lose_none_of_them(tmp_path: Path, seconds: int) -> None:
    """SQLite before 3.51.3 may lose commits when two connections checkpoint at one instant."""
    path = founded(tmp_path / "db" / "clawguard.db")

    def write(number: int) -> list[str]:
        acknowledged, over = [], time.monotonic() + seconds
        with SessionManager.open(path, sweep_every=None) as manager:
            while time.monotonic() < over:
                acknowledged.append(manager.create("agent", scopes="a").id)
                manager.revoke(acknowledged[-1])
        return acknowledged

    with checkpoints_every(2):
        acknowledged = {each for told in together(4, write, timeout=seconds + 60) for each in told}
    kept = {each for (each,) in rows(path, "SELECT id FROM sessions WHERE cause = 'revoked'")}
    report(
        "WAL-reset", sqlite=sqlite_version(), may_lose_commits_by_itself=may_lose_checkpoints(), processes=4,
        acknowledged=len(acknowledged) * 2, lost=len(acknowledged - kept),
    )  # fmt: skip
    assert acknowledged == kept
    assert_whole(path)


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
