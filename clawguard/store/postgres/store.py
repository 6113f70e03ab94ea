"""The store on PostgreSQL: one writer connection a process, pooled readers, each read a statement by itself.

Whoever writes holds one advisory lock from the first statement to the end of the commit: alone, as on SQLite,
and then the chain is linked in the commit itself; or shared, by a write that says how far it reaches. Those
that share it lock what they reach, and leave their events to be linked later.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg

from clawguard.clock import Clock
from clawguard.errors import ClawguardError, StoreBusy, StoreUnavailable
from clawguard.forks import call_around_fork
from clawguard.store import Reach, Row
from clawguard.store.catalog import Catalog, Statement
from clawguard.store.migrate import check_steps, migrations_of
from clawguard.store.pool import Pool
from clawguard.store.postgres.connections import (
    Connection,
    check_sessions,
    is_idle,
    is_of_schema,
    read_url,
    translate,
)
from clawguard.store.postgres.hints import Hints
from clawguard.store.postgres.schema import migrate
from clawguard.store.postgres.transaction import PostgresTransaction
from clawguard.store.postgres.words import adapted, restored
from clawguard.store.shut import MoveState, state_of

__all__ = ["PostgresStore"]

_READERS = 8
_MOVING = ("moving", "moving_postgres")
_LONGEST_LOOK = 5.0  # seconds that a look at the log may take
_IDLE_MOVING = 30.0  # seconds: whoever moves a database writes another one meanwhile
_BEYOND_LOCKS = 2.0  # seconds: a keyed read that waited for a lock is told of it by the server first


class PostgresStore:
    """Keep rows in one schema of a PostgreSQL database that any number of machines share."""

    reads_wait = True
    links_later = True

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        create: bool = True,
        lock_timeout: float = 5.0,
        moves: bool = False,
        upgrades: bool = True,
    ) -> None:
        self._address = read_url(url, lock_timeout=lock_timeout)
        self._moves = moves
        self._catalog = Catalog("postgres", *_MOVING) if moves else Catalog("postgres")
        self._closed = False
        self._silence = _LONGEST_LOOK
        self.feed_source = 0
        self._inherited: tuple[Connection, ...] = ()
        self._begin_anew()
        try:
            self._open(create=create, upgrades=upgrades, now=clock.now())
        except psycopg.Error as error:
            self._discard_writer()
            raise translate(error) from None
        except BaseException:
            self._discard_writer()
            raise
        call_around_fork(self)

    @classmethod
    def is_there(cls, url: str, *, lock_timeout: float) -> bool:
        """Tell whether the schema that a URL names has a database of ours, founded or moved."""
        address, catalog = read_url(url, lock_timeout=lock_timeout), Catalog("postgres")
        with closing(address.connect(catalog)) as connection:
            found = catalog["schema.find"]
            try:
                if not connection.ask(found, found.bind({"schema": address.schema}))[0][0]:
                    return False
                is_moving = connection.ask(catalog["move.known"], [])
                return bool(is_moving or connection.ask(catalog["meta.get"], []))
            except psycopg.Error as error:
                raise translate(error) from None

    def _open(self, *, create: bool, upgrades: bool, now: int) -> None:
        writer, steps = self._open_writer(), migrations_of("postgres")
        check_sessions(writer, self._open_reader, self._catalog)
        state = self._move_state(writer)
        if state is not None and state.is_shut:
            if not self._moves:
                raise state.refusal() or StoreUnavailable("the database is shut")
            self._catalog = Catalog("postgres", *_MOVING, "shut")
            found = writer.ask(self._catalog["migration.list"], [])
            check_steps(found[-1][0], steps)
            return
        given: dict[str, Any] = {"create": create, "upgrades": upgrades, "now": now}
        migrate(writer, self._address.schema, steps, catalog=self._catalog, **given)

    def side_file(self, _name: str, /) -> Path | None:
        """Return None: there is no folder that all machines share."""
        return None

    def transaction(self, *, durable: bool, reach: Reach | None = None) -> PostgresTransaction:
        """Write: see `Store.transaction`."""
        self._check_open()
        return PostgresTransaction(self, durable=durable, reach=reach)

    def read(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Read: see `Store.read`. A connection that a restart cut off is opened anew, once."""
        statement = self._catalog[name] if filters is None else self._catalog.compose(name, filters)
        pool = self._pools.get(name.partition(".")[0], self._readers)
        values = statement.bind(adapted(name, params))
        try:
            rows = self._fetch(pool, statement, values)
        except psycopg.Error as error:
            if not isinstance(error, psycopg.OperationalError) or error.sqlstate == "57014":
                raise self._told(error) from None
            pool.drop_idle()  # what was cut off with this one would fail as it did
            try:
                rows = self._fetch(pool, statement, values)
            except psycopg.Error as again:
                raise self._told(again) from None
        return restored(name, rows)

    def hints(self, *, silence: float) -> Hints:
        """Return where to rest between two looks at the log: see `Store.hints`."""
        self._silence = min(silence, self._silence)
        return Hints(lambda: self._follower)

    def _fetch(self, pool: Pool[Connection], statement: Statement, values: list[Any]) -> list[Row]:
        connection = pool.take()
        try:
            rows = connection.ask(statement, values)
        except BaseException:
            pool.drop(connection)
            raise
        pool.give(connection)
        return rows

    def close(self) -> None:
        """Close every connection; one that a thread is writing on is closed as it lets go."""
        if self._closed:
            return
        self._closed = True
        for pool in self._all_pools():
            pool.close()
        if not self._is_mine() and self._writing.acquire(timeout=self._address.lock_timeout):
            self._leave(spoilt=True)

    def before_fork(self) -> None:
        """Let no connection be opened until the fork is over: the child could not know of it."""
        for pool in self._all_pools():
            pool.hold()
        self._opening.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on in the parent with what there is: the child leaves its copies alone."""
        self._opening.release()
        for pool in self._all_pools():
            pool.go_on()

    def after_fork(self) -> None:
        """Make everything anew in a forked child.

        The parent's connections are cut off here without a word to the server: it must not take the child's
        going for the parent's, nor the parent's death for a life that goes on. Their objects are kept.
        """
        writer = () if self._writer is None else (self._writer,)
        mine = (*(each for pool in self._all_pools() for each in pool.living()), *writer)
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for connection in mine:
            if not connection.closed:
                os.dup2(nothing, connection.pgconn.socket, inheritable=False)
        os.close(nothing)
        self._inherited += mine
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._here = threading.local()
        self._writing = threading.RLock()  # it knows its holder: an interrupted call can tell what it holds
        self._opening = threading.Lock()
        self._writer: Connection | None = None
        patience = self._address.lock_timeout
        self._readers = Pool(self._open_reader, limit=_READERS, timeout=patience)
        self._validators = Pool(self._open_validator, limit=_READERS, timeout=patience)
        self._follower = Pool(self._open_follower, limit=1, timeout=patience)
        self._pools = {"validate": self._validators, "feed": self._follower}

    def _all_pools(self) -> tuple[Pool[Connection], ...]:
        return self._readers, self._validators, self._follower

    def _arrive(self, transaction: PostgresTransaction) -> None:
        """Let no other thread of this process write.

        A signal's exception can leave a block without its `__exit__` being run. Then the transaction is
        forgotten without having let go, and its going is what lets go.
        """
        self._here.transaction = weakref.ref(transaction, lambda _: self._leave(spoilt=True))
        if not self._writing.acquire(timeout=self._address.lock_timeout):
            raise StoreBusy("the write lock was not had in time", hint="repeat the call")

    def _leave(self, *, spoilt: bool) -> None:
        """Close a writer that must not be used again and let others write; again does nothing."""
        if self._is_mine():
            try:
                writer = self._writer
                if writer is not None and (spoilt or self._closed or not is_idle(writer)):
                    self._discard_writer()
            finally:
                self._writing.release()
        self._here.transaction = None

    def _is_mine(self) -> bool:
        """Tell whether this thread is writing."""
        return bool(self._writing._is_owned())  # type: ignore[attr-defined]  # what Condition asks it too

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed", hint="open it again")

    def _check_not_in_a_write(self) -> None:
        """Raise StoreBusy for a write within a write.

        A block that a signal's exception tore down may still be held by that exception: then it is over.
        """
        if self._is_mine():
            under_way = self._here.transaction and self._here.transaction()
            if under_way is not None and not under_way.is_left():
                raise StoreBusy(
                    "this thread is in the middle of a write", hint="call again when that has ended"
                )
            self._leave(spoilt=True)

    def _open_reader(self) -> Connection:
        self._check_open()
        return self._address.connect(self._catalog)

    def _open_validator(self) -> Connection:
        self._check_open()
        return self._address.connect(self._catalog, silence=self._address.lock_timeout + _BEYOND_LOCKS)

    def _open_follower(self) -> Connection:
        self._check_open()
        connection = self._address.connect(self._catalog, silence=self._silence)
        try:
            connection.listen_on(self._address.channel)
        except psycopg.Error as error:
            connection.close()
            raise translate(error) from None
        self.feed_source += 1
        return connection

    def _open_writer(self) -> Connection:
        if self._writer is None:
            with self._opening:
                idle = {"idle": _IDLE_MOVING} if self._moves else {}
                self._writer = self._address.connect(self._catalog, **idle)
        return self._writer

    def _move_state(self, connection: Connection) -> MoveState | None:
        if not connection.ask(self._catalog["move.known"], []):
            return None
        return state_of(connection.ask(Catalog("postgres", *_MOVING)["move.state"], []))

    def _told(self, error: psycopg.Error, *, committing: bool = False) -> ClawguardError:
        """Return the typed error that a failure stands for; where a table is not there, it is asked why."""
        if is_of_schema(error):
            with suppress(psycopg.Error, StoreUnavailable), closing(self._open_reader()) as connection:
                state = self._move_state(connection)
                refusal = None if state is None else state.refusal()
                if refusal is not None:
                    return refusal
        return translate(error, committing=committing)

    def _is_cut_off(self) -> bool:
        """Close a writer that lost its server; True says that another may be tried."""
        if self._writer is None or not self._writer.broken:
            return False
        self._discard_writer()
        return True

    def _discard_writer(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
