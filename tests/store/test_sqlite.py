"""The SQLite store by itself: what becomes of its writer when the disk fails."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawguard import OutcomeUnknown, StoreBusy, StoreUnavailable
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
    assert store.read("meta.get") == [(1, "i", "a", 1)]


def test_a_block_that_was_left_without_its_exit_holds_nothing(store: SQLiteStore) -> None:
    """So a signal's exception leaves it, when it comes between the block and its `__exit__`."""
    with store.transaction(durable=True) as tx:
        tx.run("meta.found", schema_version=1, issuer="i", audience="a", now=1)
    left = store.transaction(durable=False)
    left.__enter__().run("meta.bump_keys")
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
    assert found == [(1, "i", "a", 1)]
