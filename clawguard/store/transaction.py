"""One transaction on the writer connection: the lock is held for it, and let go whatever happens."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from clawguard.errors import ClawguardError, StoreUnavailable
from clawguard.store import Row
from clawguard.store.blocks import entered_block, is_running
from clawguard.store.connections import is_io_error, is_read_only

if TYPE_CHECKING:
    from clawguard.store.sqlite import SQLiteStore

__all__ = ["CHECKPOINT_EVERY", "SQLiteTransaction"]

_logger = logging.getLogger("clawguard.store")

CHECKPOINT_EVERY = 256
_WATCHED = frozenset({"event.mark", "event.remove", "content_keys.retire"})
_ROWS_A_COMMIT = 5  # a commit of many rows counts for more, so that the log stays small under a sweep


class SQLiteTransaction:
    """Run one transaction on the writer connection; a context manager that holds the write lock."""

    __slots__ = (
        "__weakref__",
        "_action",
        "_block",
        "_catalog",
        "_changes",
        "_connection",
        "_durable",
        "_entry",
        "_is_spoilt",
        "_removes",
        "_retires",
        "_store",
        "links",
    )

    def __init__(self, store: SQLiteStore, *, durable: bool) -> None:
        self.links = True
        self._store = store
        self._durable = durable
        self._catalog = store._catalog
        self._action: Callable[[], None] | None = None
        self._entry: Sequence[Any] | None = None
        self._is_spoilt = False
        self._removes = False
        self._retires = False

    def __enter__(self) -> SQLiteTransaction:
        store = self._store
        store._check_not_in_a_write()
        self._block = entered_block()
        try:
            store._arrive(self)
            store._check_open()
            self._connection = store._open_writer()
            self._begin()
        except sqlite3.Error as error:
            failure = self._failed(error)
            self._let_go()
            raise failure from None
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        due = False
        try:
            if kind is None:
                self._commit()
                due = self._after_commit()
            else:
                self._roll_back()
        finally:
            self._let_go()
        if due:
            self._checkpoint_apart()

    def is_left(self) -> bool:
        """Tell whether the function with the block is over."""
        return not is_running(self._block)

    def _begin(self) -> None:
        level = 2 if self._durable else 1  # FULL or NORMAL; it cannot change inside a transaction
        if self._store._synchronous != level:
            self._connection.execute(f"PRAGMA synchronous = {level}")
            self._store._synchronous = level
        self._connection.execute("BEGIN IMMEDIATE")
        self._changes = self._connection.total_changes

    def run(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Run a named statement: see `Transaction.run`."""
        statement = self._catalog[name] if filters is None else self._catalog.compose(name, filters)
        try:
            cursor = self._connection.execute(statement.sql, statement.bind(params))
            rows: list[Row] = cursor.fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from None
        if name in _WATCHED:
            self._watch(name, rows)
        return rows

    def _watch(self, name: str, rows: list[Row]) -> None:
        if name == "event.remove":
            self._removes = True
        elif name == "content_keys.retire":
            self._retires = True
        elif rows:
            self._entry = rows[0]

    def run_or_fail(self, otherwise: ClawguardError, name: str, /, **params: Any) -> None:
        """Run a named statement that has to return a row: see `Transaction.run_or_fail`."""
        if not self.run(name, **params):
            raise otherwise

    def run_many(self, name: str, rows: Sequence[Sequence[Any]], /) -> None:
        """Run a named statement for each row: see `Transaction.run_many`."""
        try:
            self._connection.executemany(self._catalog[name].sql, rows)
        except sqlite3.Error as error:
            raise self._failed(error) from None
        if name == "event.insert" and rows:
            self._entry = rows[-1]

    def on_commit(self, action: Callable[[], None], /) -> None:
        """Run an action right after the commit: see `Transaction.on_commit`."""
        self._action = action

    def hint(self) -> None:
        """Tell nobody: whoever follows a file looks by himself. See `Transaction.hint`."""

    def _commit(self) -> None:
        try:
            if self._removes:
                self._store._marker.outlast()
            self._connection.execute("COMMIT")
        except StoreUnavailable:
            self._roll_back()
            raise
        except sqlite3.Error as error:
            failure = self._failed(error, committing=True)
            self._roll_back()
            raise failure from None

    def _after_commit(self) -> bool:
        """Do what follows a commit and tell whether a checkpoint is due; the commit stands whatever fails."""
        due = False
        try:
            if self._durable and self._entry is not None:
                seq, digest, *_ = self._entry
                self._store._marker.note(seq, digest)
            rows = self._connection.total_changes - self._changes
            weight = 1 + rows // _ROWS_A_COMMIT
            due = self._store._queue.count_commit(weight) >= CHECKPOINT_EVERY or self._retires
            if self._action is not None:
                self._action()
        except Exception:
            _logger.exception("what follows a commit failed; the commit stands")
        return due

    def _let_go(self) -> None:
        """Leave nothing half done and nothing held, wherever the transaction was interrupted."""
        self._store._leave(spoilt=self._is_spoilt)

    def _failed(self, error: sqlite3.Error, *, committing: bool = False) -> ClawguardError:
        if is_read_only(error):
            self._store._drop_readers()  # SQLite opens none to write beside one that was opened read-only
        self._is_spoilt = self._is_spoilt or is_io_error(error) or is_read_only(error)
        return self._store._told(error, getattr(self, "_connection", None), committing=committing)

    def _roll_back(self) -> None:
        """Undo what was done; after an I/O error the connection is not trusted any further."""
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._is_spoilt = True

    def _checkpoint_apart(self) -> None:
        """Checkpoint in a lock hold of its own, so that no writer waits for a commit and a checkpoint."""
        store = self._store
        try:
            store._arrive(self)
            if self._retires and not store._closed:
                store._checkpoint("TRUNCATE", patience=1_000)  # what a key protected is not left in the log
            elif not store._closed and store._queue.commits() >= CHECKPOINT_EVERY:
                store._checkpoint("RESTART")
        except StoreUnavailable:
            return  # the next commit tries again
        except Exception:
            _logger.exception("a checkpoint failed; the next commit tries again")
        finally:
            self._let_go()
