"""SQLite, done right: one writer connection behind the queue, pooled readers, explicit transactions.

SQLite 3.7.0 to 3.51.2 can lose commits when two connections checkpoint at one instant. So nothing here
checkpoints by itself: checkpoints, migrations and the first open happen only under the writers' queue.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from clawguard.clock import Clock
from clawguard.errors import ClawguardError, ConfigError, StoreUnavailable
from clawguard.forks import call_around_fork
from clawguard.private_files import absolute
from clawguard.store import Reach, Row
from clawguard.store.catalog import Catalog
from clawguard.store.connections import (
    Connection,
    connect,
    is_of_schema,
    make_file,
    translate,
)
from clawguard.store.files import (
    check_database_file,
    check_own,
    prepare_folder,
    remove_folder,
)
from clawguard.store.gate import Gate
from clawguard.store.marks import Marker
from clawguard.store.migrate import Ledger, check_steps, current_version, migrate, migrations_of
from clawguard.store.pool import Pool
from clawguard.store.shut import MoveState, state_of
from clawguard.store.transaction import CHECKPOINT_EVERY, SQLiteTransaction
from clawguard.store.writer_queue import WriterQueue

__all__ = ["SQLiteStore"]

_logger = logging.getLogger("clawguard.store")

_READERS = 16
_MOVING = ("moving", "moving_sqlite")


class SQLiteStore:
    """Keep rows in one SQLite file that any number of threads and processes share."""

    reads_wait = False
    feed_source = 0
    links_later = False

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        create: bool = True,
        lock_timeout: float = 5.0,
        temporary: bool = False,
        moves: bool = False,
        upgrades: bool = True,
    ) -> None:
        self._path = path = absolute(path, argument="url")
        self._clock = clock
        self._temporary = temporary
        self._moves = moves
        self._upgrades = upgrades
        self._is_shut = False
        self._catalog = Catalog("sqlite", *_MOVING) if moves else Catalog("sqlite")
        self._steps = migrations_of("sqlite")
        self._queue = WriterQueue(self.side_file("lock"), timeout=lock_timeout)
        self._closed = False
        self._inherited: tuple[Connection, ...] = ()
        self._begin_anew()
        try:
            self._open(create=create)
        except BaseException as error:
            self._discard_writer()
            self._queue.close()
            if isinstance(error, OSError):
                raise ConfigError(f"the files of {path} cannot be used ({error.strerror})") from None
            raise
        call_around_fork(self)

    @classmethod
    def in_memory(cls, *, clock: Clock, lock_timeout: float = 5.0) -> SQLiteStore:
        """Open a private database in a temporary folder that is removed at close."""
        try:
            folder = Path(tempfile.mkdtemp(prefix="clawguard-"))
        except OSError as error:
            raise ConfigError(f"there is no usable temporary folder ({error.strerror})") from None
        try:
            store = cls(folder / "clawguard.db", clock=clock, lock_timeout=lock_timeout, temporary=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        weakref.finalize(store, remove_folder, folder, owner=os.getpid())
        return store

    def side_file(self, name: str, /) -> Path:
        """Return the path of a file beside the database: `clawguard.db-NAME`."""
        return self._path.with_name(f"{self._path.name}-{name}")

    def hints(self, *, silence: float) -> None:
        """Give no hints: the log is next door."""

    def transaction(self, *, durable: bool, reach: Reach | None = None) -> SQLiteTransaction:
        """Write: see `Store.transaction`. There is one writer at a time, however far it reaches."""
        del reach
        self._check_open()
        return SQLiteTransaction(self, durable=durable)

    def read(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Read: see `Store.read`. Statements named `validate.*` have readers of their own."""
        statement = self._catalog[name] if filters is None else self._catalog.compose(name, filters)
        pool = self._validators if name.startswith("validate.") else self._readers
        try:
            connection = pool.take()
        except sqlite3.Error as error:
            raise translate(error) from None
        try:
            rows: list[Row] = connection.execute(statement.sql, statement.bind(params)).fetchall()
        except sqlite3.Error as error:
            failure = self._told(error, connection)
            pool.drop(connection)
            raise failure from None
        except BaseException:
            pool.drop(connection)
            raise
        pool.give(connection)
        return rows

    def close(self) -> None:
        """Checkpoint and close every connection, under the lock if it can be had."""
        if self._closed:
            return
        self._closed = True
        self._validators.close()
        self._readers.close()
        try:
            self._queue.acquire()
        except StoreUnavailable:
            # Whoever holds the lock has the file open, so ours is not the last connection; a thread of this
            # process that is still writing closes the writer as it lets go.
            if not self._queue.is_held_here():
                self._discard_writer()
        else:
            try:
                self._gate.enter()  # a fork in another thread would close the writer in the middle of this
                if self._writer is not None:
                    self._checkpoint("TRUNCATE")
                self._discard_writer()
            finally:
                self._gate.leave()
                self._queue.release()
        self._queue.close()
        if self._temporary:
            shutil.rmtree(self._path.parent, ignore_errors=True)

    def before_fork(self) -> None:
        """Close every connection and let none be opened until the fork is over."""
        if self._queue.is_mine():  # a block of this very thread: it cannot go on in two processes
            self._leave(spoilt=True)
        self._gate.shut()
        self._discard_writer()
        self._validators.come_to_rest()
        self._readers.come_to_rest()

    def after_fork_in_parent(self) -> None:
        """Go on in the parent; connections are opened anew when they are wanted."""
        self._validators.go_on()
        self._readers.go_on()
        self._gate.reopen()

    def after_fork(self) -> None:
        """Make everything anew in a forked child."""
        self._queue.after_fork()
        self._temporary = False
        # Closed here, they would checkpoint with what the parent knew: they are kept for good.
        self._inherited += (*self._validators.living(), *self._readers.living())
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._here = threading.local()
        self._writer: Connection | None = None
        self._marker: Marker
        self._synchronous = -1
        self._gate = Gate(self._queue.is_held_here)
        self._readers = Pool(self._open_reader, limit=_READERS)
        self._validators = Pool(self._open_reader, limit=_READERS)

    def _arrive(self, transaction: SQLiteTransaction) -> None:
        """Take the lock for a transaction and pass the gate.

        A signal's exception can leave a block without its `__exit__` being run. Then the transaction is
        forgotten without having let go, and its going is what lets go.
        """
        self._here.transaction = weakref.ref(transaction, lambda _: self._leave(spoilt=True))
        self._queue.acquire()
        self._gate.enter()

    def _leave(self, *, spoilt: bool) -> None:
        """Close a writer that must not be used again and let others write; again does nothing."""
        if self._queue.is_mine():
            try:
                writer = self._writer
                if writer is not None and (spoilt or self._closed or writer.in_transaction):
                    self._discard_writer()
            finally:
                try:
                    self._gate.leave()
                finally:
                    self._queue.release()
        self._here.transaction = None

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed", hint="open it again")

    def _check_not_in_a_write(self) -> None:
        """Raise StoreBusy for a write within a write.

        A block that a signal's exception tore down may still be held by that exception: then it is over.
        """
        if self._queue.is_mine():
            under_way = self._here.transaction and self._here.transaction()
            if under_way is not None and not under_way.is_left():
                self._queue.check_not_mine()
            self._leave(spoilt=True)

    def _open_reader(self) -> Connection:
        self._check_open()
        return connect(self._path, query_only=True)

    def _open(self, *, create: bool) -> None:
        if self._path.is_dir():
            raise ConfigError("the database path is a folder", hint="name a file in it, such as clawguard.db")
        prepare_folder(self._path.parent, create=create)
        if not create and not self._path.exists():
            raise ConfigError(
                f"there is no database at {self._path}", hint="open it once with SessionManager.open()"
            )
        self._queue.open()
        self._queue.acquire()
        try:
            check_own(self.side_file("lock"))
            if not self._path.exists():
                make_file(self._path, aside=self.side_file("new"))
            check_database_file(self._path)
            self._migrate()
        except BaseException as error:
            self._discard_writer()  # while the lock is held: the last connection to go makes a checkpoint
            if isinstance(error, sqlite3.Error):
                raise _unreadable(error) from None
            raise
        finally:
            self._queue.release()

    def _migrate(self) -> None:
        connection = self._open_writer()
        if self._is_shut:
            check_steps(current_version(connection), self._steps)
            return
        names = ("migration.add", "migration.list", "meta.set_schema")
        ledger = Ledger(*(self._catalog[name].sql for name in names))
        has_fts5 = bool(connection.execute(self._catalog["words.possible"].sql).fetchall())
        given: dict[str, Any] = {"now": self._clock.now(), "has_fts5": has_fts5, "upgrades": self._upgrades}
        migrate(connection, self._steps, ledger=ledger, **given)
        if not has_fts5:
            self._catalog = Catalog("sqlite", "sqlite_without_fts5")
        elif connection.execute(self._catalog["words.absent"].sql).fetchall():
            connection.execute(self._catalog["words.make"].sql)
            connection.execute(self._catalog["words.reach"].sql, [0])

    def _open_writer(self) -> Connection:
        if self._writer is None:
            connection = connect(self._path)
            try:
                self._take_over(connection)
            except BaseException:
                connection.close()
                raise
            self._writer = connection
            self._synchronous = -1
        return self._writer

    def _take_over(self, connection: Connection) -> None:
        """Make a connection the writer's, unless the file is an older copy of what was in use here."""
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise ConfigError("SQLite did not take journal_mode = WAL")
        self._look_whether_shut(connection)
        self._marker = Marker(connection, name=self._path.name, queue=self._queue, catalog=self._catalog)
        if 0 < current_version(connection) <= len(self._steps):  # in a newer schema it might stand otherwise
            self._marker.check()

    def _look_whether_shut(self, connection: Connection) -> None:
        """Raise what tells that the database was moved, or is a copy that is not whole."""
        state = self._move_state(connection)
        self._is_shut = state is not None and state.is_shut
        if state is None or not self._is_shut:
            return
        if not self._moves:
            raise state.refusal() or StoreUnavailable("the database is shut")
        self._catalog = Catalog("sqlite", *_MOVING, "shut")

    def _move_state(self, connection: Connection) -> MoveState | None:
        if not connection.execute(self._catalog["move.known"].sql).fetchall():
            return None
        return state_of(connection.execute(Catalog("sqlite", *_MOVING)["move.state"].sql).fetchall())

    def _told(
        self, error: sqlite3.Error, connection: Connection | None, *, committing: bool = False
    ) -> ClawguardError:
        """Return the typed error that a failure stands for; where a table is not there, it is asked why."""
        if connection is not None and is_of_schema(error):
            with suppress(sqlite3.Error):
                state = self._move_state(connection)
                refusal = None if state is None else state.refusal()
                if refusal is not None:
                    return refusal
        return translate(error, committing=committing)

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _drop_readers(self) -> None:
        self._validators.drop_idle()
        self._readers.drop_idle()

    def _checkpoint(self, mode: str, *, patience: int = 0) -> None:
        """Copy the log into the database file; where a reader stands in the way, try again a little later.

        With `patience`, in milliseconds, wait that long for those that read just now.
        """
        writer = self._open_writer()
        try:
            writer.execute(f"PRAGMA busy_timeout = {patience}")
            [(busy, _, _)] = writer.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            writer.execute("PRAGMA busy_timeout = 5000")
            self._queue.reset_commits(CHECKPOINT_EVERY * 3 // 4 if busy else 0)
        except (sqlite3.Error, StoreUnavailable):
            self._discard_writer()


def _unreadable(error: sqlite3.Error) -> ConfigError | StoreUnavailable:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return ConfigError("the file is not a whole SQLite database", hint="restore it from a backup")
    return translate(error)
