"""One transaction on the writer connection, under the write lock of all machines or beside others."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq.abc import PGresult

from clawguard.errors import ClawguardError, StoreUnavailable
from clawguard.store import Reach, Row
from clawguard.store.blocks import entered_block, is_running
from clawguard.store.postgres.connections import Connection, is_idle, translate
from clawguard.store.postgres.pipeline import Step, failure_of
from clawguard.store.postgres.words import adapted, adapted_row, restored

if TYPE_CHECKING:
    from clawguard.store.postgres.store import PostgresStore

__all__ = ["PostgresTransaction"]

_logger = logging.getLogger("clawguard.store")


_FIRST = "change.head"  # what a change begins with is asked for with the lock, which saves a round trip


class PostgresTransaction:
    """Run one transaction; a context manager that holds the write lock, of this process and of all.

    One that says how far it reaches shares the lock of all, and locks what it reaches.
    """

    __slots__ = (
        "__weakref__",
        "_action",
        "_block",
        "_catalog",
        "_connection",
        "_durable",
        "_first",
        "_held",
        "_hints",
        "_reach",
        "_store",
        "links",
    )

    def __init__(self, store: PostgresStore, *, durable: bool, reach: Reach | None) -> None:
        self.links = reach is None
        self._reach = reach
        self._store = store
        self._durable = durable
        self._catalog = store._catalog
        self._action: Callable[[], None] | None = None
        self._connection: Connection
        self._first: list[Row] | None = None
        self._held: list[Step] = []
        self._hints = False

    def __enter__(self) -> PostgresTransaction:
        store = self._store
        store._check_not_in_a_write()
        self._block = entered_block()
        try:
            store._arrive(self)
            store._check_open()
            self._connection = self._begun()
        except BaseException:
            store._leave(spoilt=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._commit()
                self._after_commit()
            else:
                self._roll_back()
        finally:
            self._store._leave(spoilt=False)

    def is_left(self) -> bool:
        """Tell whether the function with the block is over."""
        return not is_running(self._block)

    def run(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Run a named statement: see `Transaction.run`."""
        first, self._first = self._first, None
        if name == _FIRST and first is not None:
            self._mine()
            return first
        self._run_held()
        statement = self._catalog[name] if filters is None else self._catalog.compose(name, filters)
        try:
            rows = self._mine().ask(statement, statement.bind(adapted(name, params)))
        except psycopg.Error as error:
            raise self._store._told(error) from None
        return restored(name, rows)

    def run_many(self, name: str, rows: Sequence[Sequence[Any]], /) -> None:
        """Run a named statement for each row: see `Transaction.run_many`.

        A single row gives nothing back to wait for: it goes with what is sent next, the commit at the latest.
        """
        self._first = None
        rows = [adapted_row(name, row) for row in rows]
        try:
            if len(rows) == 1:
                self._held.append(Step(self._catalog[name].sql, rows[0]))
            elif rows:
                self._run_held()
                self._mine().cursor().executemany(self._catalog[name].sql, rows)
        except psycopg.Error as error:
            raise self._store._told(error) from None

    def run_or_fail(self, otherwise: ClawguardError, name: str, /, **params: Any) -> None:
        """Run a named statement that has to return a row: see `Transaction.run_or_fail`.

        It goes with what is sent next, the commit at the latest.
        """
        self._first = None
        statement = self._catalog[name]
        sql = self._catalog["step.or_fail"].sql.replace("{statement}", statement.sql)
        self._held.append(Step(sql, statement.bind(adapted(name, params)), otherwise))

    def on_commit(self, action: Callable[[], None], /) -> None:
        """Run an action right after the commit: see `Transaction.on_commit`."""
        self._action = action

    def hint(self) -> None:
        """Tell others behind the commit that there is something to read: see `Transaction.hint`."""
        self._hints = True

    def _run_held(self) -> None:
        if not self._held:
            return
        held, self._held = self._held, []
        try:
            told = self._mine().send(held)
        except psycopg.Error as error:
            raise self._store._told(error) from None
        self._check(told, held)

    def _check(self, told: Sequence[PGresult], steps: Sequence[Step]) -> None:
        """Raise what the last of some steps came to, if it failed."""
        failure = failure_of(told[-1], steps[len(told) - 1])
        if isinstance(failure, psycopg.Error):
            raise self._store._told(failure)
        if failure is not None:
            raise failure

    def _mine(self) -> Connection:
        """Return the connection, which a forked child has not: it was its parent's."""
        if self._connection is not self._store._writer:
            raise StoreUnavailable("the write was its parent's, before the process was forked")
        return self._connection

    def _begun(self) -> Connection:
        """Return the writer in a new transaction, with the lock; after a restart of the server it is new."""
        try:
            return self._begin()
        except psycopg.Error as error:
            if not isinstance(error, psycopg.OperationalError) or not self._store._is_cut_off():
                raise self._store._told(error) from None
        try:
            return self._begin()
        except psycopg.Error as error:
            raise self._store._told(error) from None

    def _begin(self) -> Connection:
        connection = self._store._open_writer()
        told = connection.execute(self._beginning(connection), prepare=False)
        while told.nextset():
            pass
        self._first = told.fetchall()
        return connection

    def _beginning(self, connection: Connection) -> str:
        """Return all that a write begins with, in one text: that is a single round trip."""
        reach, kind = self._reach, "_durable" if self._durable else ""
        if reach is None:
            return "; ".join(self._catalog[name].sql for name in (f"write.begin{kind}", _FIRST))
        names = json.dumps(reach.names) if reach.names else None
        return connection.merged(self._catalog[f"write.begin_beside{kind}"], [names, reach.session_id])

    def _commit(self) -> None:
        """Send what is held, the commit and the hint at once; each of them fails in its own way.

        What comes behind a COMMIT is a transaction of its own: the commit stands, whatever becomes of it.
        """
        commit, hint = Step("COMMIT"), Step(self._catalog["hint.send"].sql)
        steps = [*self._held, commit, *([hint] if self._hints else [])]
        try:
            told = self._mine().send(steps)
        except psycopg.Error as error:  # any but an OperationalError is of before anything was sent
            raise translate(error, committing=isinstance(error, psycopg.OperationalError)) from None
        at, last = len(self._held), len(told) - 1
        if last < at:
            self._roll_back()
            self._check(told, steps)
        failure = failure_of(told[-1], steps[last])
        if isinstance(failure, psycopg.Error) and last == at:
            raise translate(failure, committing=True)
        if told[at].command_status != b"COMMIT":
            raise StoreUnavailable("the transaction was undone by the database")
        if isinstance(failure, psycopg.Error):
            _logger.warning("no hint was sent, others will look by themselves: %s", translate(failure))

    def _after_commit(self) -> None:
        try:
            if self._action is not None:
                self._action()
        except Exception:
            _logger.exception("what follows a commit failed; the commit stands")

    def _roll_back(self) -> None:
        """Undo what was done; a connection that cannot say so is not used any further."""
        try:
            if not is_idle(self._mine()):
                self._mine().execute("ROLLBACK", prepare=False)
        except (psycopg.Error, ClawguardError):
            return
