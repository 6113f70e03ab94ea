"""The SQLite store by itself: what becomes of its writer when the disk fails."""

from __future__ import annotations

import errno
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawguard import ConfigError, OutcomeUnknown, StoreBusy, StoreUnavailable
from clawguard.store.gate import Gate
from clawguard.store.sqlite import SQLiteStore
from tests.clocks import FakeClock


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    store = SQLiteStore(tmp_path / "data" / "clawguard.db", clock=FakeClock(), lock_timeout=1)
    yield store
    store.close()


class Failing:
    """Stand before a connection and let the disk fail at statements that begin with a word."""

    def __init__(self, connection: sqlite3.Connection, word: str) -> None:
        self._connection = connection
        self._word = word

    def execute(self, sql: str, *values: Any) -> Any:
        if sql.startswith(self._word):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_WRITE
            error.sqlite_errorname = "SQLITE_IOERR_WRITE"
            raise error
        return self._connection.execute(sql, *values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize(
    ("word", "kind"), [("UPDATE", StoreUnavailable), ("COMMIT", OutcomeUnknown), ("BEGIN", StoreUnavailable)]
)
def test_a_writer_that_met_an_io_error_is_not_used_again(
    store: SQLiteStore, word: str, kind: type[StoreUnavailable]
) -> None:
    with store.transaction(durable=True) as tx:
        tx.run("meta.found", schema_version=1, issuer="i", audience="a", now=1)
    first = store._writer
    assert first is not None
    store._writer = Failing(first, word)  # type: ignore[assignment]
    with pytest.raises(kind) as failure, store.transaction(durable=True) as tx:
        tx.run("meta.barrier")
    assert type(failure.value) is kind
    with store.transaction(durable=True) as tx:
        tx.run("meta.barrier")
    assert store._writer is not None
    assert not isinstance(store._writer, Failing)
    assert store._writer is not first
    assert store.read("meta.get") == [(1, "i", "a", 1, None)]


@pytest.mark.parametrize("call", ["pread", "pwrite", "fsync"])
def test_a_lock_file_that_fails_is_a_typed_error_and_keeps_nothing_open(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with store.transaction(durable=True) as tx:
        tx.run("meta.found", schema_version=1, issuer="i", audience="a", now=1)
    with store.transaction(durable=True):
        monkeypatch.setattr(os, call, fail)
        use = store._queue.sync_notes if call == "fsync" else store._queue.count_commit
        with pytest.raises(StoreUnavailable, match="lock file"):
            use()
    with store.transaction(durable=True) as tx:  # the commit stands, though it could not be counted
        tx.run("meta.bump")
    assert store.read("feed.head") == [(2, 0, "[]")]
    store.close()
    assert (store._writer, store._queue._fd) == (None, -1)


def test_a_block_that_was_left_without_its_exit_holds_nothing(store: SQLiteStore) -> None:
    """So a signal's exception leaves it, when it comes between the block and its `__exit__`."""
    with store.transaction(durable=True) as tx:
        tx.run("meta.found", schema_version=1, issuer="i", audience="a", now=1)
    left = store.transaction(durable=False)
    left.__enter__().run("meta.bump")
    with pytest.raises(StoreBusy, match="in the middle of a write"), store.transaction(durable=False):
        pytest.fail("wrote within a write")
    del left
    found: list[object] = []

    def write() -> None:
        with store.transaction(durable=True) as tx:
            tx.run("meta.barrier")
            found.extend(tx.run("meta.get"))

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()
    assert found == [(1, "i", "a", 1, None)]


def test_a_block_torn_down_by_an_exception_that_is_kept_stops_its_thread_from_writing_no_longer(
    store: SQLiteStore,
) -> None:
    def strike() -> None:
        tx = store.transaction(durable=True)
        tx.__enter__().run("meta.found", schema_version=1, issuer="i", audience="a", now=1)
        raise KeyboardInterrupt

    kept: list[BaseException] = []
    try:
        strike()
    except KeyboardInterrupt as error:
        kept.append(error)
    assert store._queue.is_mine()
    write(store)
    assert not store._queue.is_mine()
    assert store.read("meta.get") == [(1, "i", "a", 1, None)]


def write(store: SQLiteStore) -> None:
    with store.transaction(durable=True) as tx:
        tx.run("meta.found", schema_version=1, issuer="i", audience="a", now=1)


def test_a_fork_in_the_middle_of_a_write_undoes_it_and_does_not_wait_for_itself(store: SQLiteStore) -> None:
    write(store)
    transaction = store.transaction(durable=True)
    tx = transaction.__enter__()
    tx.run("meta.bump")
    store.before_fork()
    store.after_fork_in_parent()
    with pytest.raises(StoreUnavailable):
        tx.run("meta.bump")
    with pytest.raises(StoreUnavailable):
        transaction.__exit__(None, None, None)
    assert store.read("meta.get") == [(1, "i", "a", 1, None)]
    write_again = store.transaction(durable=True)
    with write_again as tx:
        tx.run("meta.barrier")


def test_a_gate_that_nobody_left_keeps_no_fork_waiting() -> None:
    """So a signal's exception leaves it, when it comes at the entry of `leave`."""
    holders = [True]
    gate = Gate(lambda: bool(holders))
    gate.enter()
    holders.clear()
    gate.shut()
    gate.reopen()
    gate.enter()
    gate.leave()


def test_a_gate_waits_for_whoever_is_inside_and_lets_nobody_in() -> None:
    gate, steps = Gate(lambda: True), []
    gate.enter()
    shutting = threading.Thread(target=lambda: (gate.shut(), steps.append("shut")))
    shutting.start()
    shutting.join(0.05)
    assert steps == []
    gate.leave()
    shutting.join(30)
    entering = threading.Thread(target=lambda: (gate.enter(), steps.append("in")))
    entering.start()
    entering.join(0.05)
    assert steps == ["shut"]
    gate.reopen()
    entering.join(30)
    assert steps == ["shut", "in"]


def test_the_lock_files_number_is_forgotten_before_it_is_free_again(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store)
    queue, seen = store._queue, []
    close = os.close

    def look_and_close(fd: int) -> None:
        seen.append(queue._fd)
        close(fd)

    monkeypatch.setattr(os, "close", look_and_close)
    queue.after_fork()
    assert seen == [-1]


def test_no_usable_temporary_folder_is_a_config_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="temporary folder"):
        SQLiteStore.in_memory(clock=FakeClock())


def test_a_private_database_that_cannot_be_opened_leaves_no_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(ConfigError, match="too old"):
        SQLiteStore.in_memory(clock=FakeClock())
    assert list(tmp_path.iterdir()) == []
