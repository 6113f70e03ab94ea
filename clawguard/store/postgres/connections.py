"""PostgreSQL connections: what a URL says, how one is opened and checked, how its errors are told.

Of what libpq says of a failed connection nothing is passed on: it may repeat parts of the URL.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.types.numeric import Int8Dumper

from clawguard.errors import (
    ClawguardError,
    ConfigError,
    InvalidArgument,
    OutcomeUnknown,
    StoreBusy,
    StoreUnavailable,
)
from clawguard.store import Row
from clawguard.store.catalog import Catalog, Statement
from clawguard.store.postgres.pipeline import Pipeline, Step

__all__ = [
    "Address",
    "Connection",
    "check_sessions",
    "fetch",
    "is_idle",
    "is_of_schema",
    "read_url",
    "translate",
]

_FLOOR = 130_000
_DEFAULT_SCHEMA = "clawguard"
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_QUERY_TIMEOUT = 30  # seconds
_IDLE = 4.0  # seconds between two steps of a write; less than others wait: who is cut off fails none of them
_DEFAULTS = {
    "fallback_application_name": "clawguard",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "15000",
}
_SILENCE = 35.0  # seconds; more than the server takes to give a query up itself
_PATIENCE, _SHORTEST_PATIENCE = 5, 2  # seconds to connect; psycopg takes no less than two
_LOOKS_AT_A_POOLER = 5
_BUSY = frozenset({"55P03", "57014", "40001", "40P01"})  # lock, time, serialization, deadlock
_TORN_DOWN = "25P03"  # idle for too long within a transaction: the server has undone it


T = TypeVar("T")


class Connection(psycopg.Connection[Row]):
    """A connection that gives up on a server which says nothing, and goes without a warning."""

    silence: float | None = _SILENCE
    _cursor: psycopg.Cursor[Row] | None = None
    _merging: psycopg.ClientCursor[Row] | None = None
    _sending: Pipeline | None = None
    hints: list[psycopg.Notify]
    is_pooled = False  # somebody between here and the server made out to be it

    def listen_on(self, channel: str) -> None:
        """Gather what is sent on a channel from now on in `hints`, whenever the server is read from."""
        self.hints = []
        self.add_notify_handler(self.hints.append)
        self.execute(f'LISTEN "{channel}"', prepare=False)

    def listen(self) -> None:
        """Gather what has arrived unasked; raises OperationalError where the server is gone."""
        self.pgconn.consume_input()
        while self.pgconn.notifies():
            pass  # that there is one is all it says

    def ask(self, statement: Statement, values: Sequence[Any]) -> list[Row]:
        """Run a statement and return all its rows; one cursor does for all, as none is left half read."""
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = self.cursor()
        cursor.execute(statement.sql, values)
        return cursor.fetchall() if cursor.description else []

    def merged(self, statement: Statement, values: Sequence[Any]) -> str:
        """Return statements with their values in them, to be sent as one text."""
        merging = self._merging
        if merging is None:
            merging = self._merging = psycopg.ClientCursor(self)
        return merging.mogrify(statement.sql, values)

    def send(self, steps: Sequence[Step]) -> list[PGresult]:
        """Run steps in one round trip and return what came of each, up to one that failed."""
        pipeline = self._sending
        if pipeline is None:
            pipeline = self._sending = Pipeline(self.pgconn, self)
        with self.lock:
            return self.wait(pipeline.sent(steps))

    def _deallocate(self, name: bytes | None) -> PQGen[None]:
        """Prepare anew what is sent where psycopg has the server forget all: behind a DROP or a ROLLBACK."""
        if name is None and self._sending is not None:
            self._sending.forget()
        return super()._deallocate(name)

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """Wait for an answer, for so many seconds at most."""
        return super().wait(gen, interval, self.silence if timeout is None else timeout)

    def __del__(self, *_: object) -> None:
        """Warn of nothing: libpq lets go of what an exception tore away, and of none that a parent has."""


class _Flag(Int8Dumper):
    """Write True and False as the numbers that the columns hold."""

    def dump(self, obj: object) -> bytes:
        return b"1" if obj else b"0"


@dataclass(frozen=True, repr=False)
class Address:
    """Hold where a database is, and in which schema of it: the parts of a URL, its secrets too."""

    parts: dict[str, str]
    schema: str
    lock_timeout: float

    @property
    def lock(self) -> int:
        """The number of the advisory lock that whoever writes in the schema holds."""
        return int.from_bytes(hashlib.sha256(f"clawguard:{self.schema}".encode()).digest()[:8], signed=True)

    @property
    def channel(self) -> str:
        """What is listened on for ends in the schema."""
        return f"clawguard:{self.lock}"

    def connect(self, catalog: Catalog, *, silence: float = _SILENCE, idle: float = _IDLE) -> Connection:
        """Open a connection, set it up and check the server; it gives up after so long a silence.

        The server undoes a write of its that has not gone on for the `idle` seconds.

        Raises StoreUnavailable where the server does not answer, lets nobody in or only reads, ConfigError
        where it is not one to be used.
        """
        patience = self._patience(silence)
        parts = _DEFAULTS | self.parts | {"client_encoding": "utf8", "connect_timeout": str(patience)}
        try:
            connection = Connection.connect(make_conninfo(**parts), autocommit=True)
        except (psycopg.Error, OSError):
            raise StoreUnavailable(
                "PostgreSQL cannot be reached, or lets nobody in",
                hint="try host, port, database, user and password of the URL with psql",
            ) from None
        connection.silence = patience
        try:
            self._set_up(connection, catalog, idle=idle)
        except psycopg.Error as error:
            connection.close()
            raise translate(error) from None
        except BaseException:
            connection.close()
            raise
        connection.silence = silence
        return connection

    def _patience(self, silence: float) -> int:
        """Return the seconds in which a host must let us in: as the URL has it, less where less is borne."""
        given = int(self.parts.get("connect_timeout", "0"))
        return max(_SHORTEST_PATIENCE, min(given if given > 0 else _PATIENCE, math.ceil(silence)))

    def _set_up(self, connection: Connection, catalog: Catalog, *, idle: float) -> None:
        connection.adapters.register_dumper(int, Int8Dumper)  # else each size is prepared by itself
        connection.adapters.register_dumper(bool, _Flag)
        connection.prepare_threshold = 2
        connection.prepared_max = 300
        settings = {
            "schema": self.schema,
            "lock": str(self.lock),
            "lock_timeout": f"{max(1, round(self.lock_timeout * 1_000))}ms",
            "statement_timeout": f"{_QUERY_TIMEOUT}s",
            "idle_timeout": f"{round(idle * 1_000)}ms",
        }
        fetch(connection, catalog["connection.set_up"], settings)
        [(version, encoding, reads_only, pid)] = fetch(connection, catalog["connection.check"], {})
        connection.is_pooled = pid != connection.pgconn.backend_pid
        if version < _FLOOR:
            raise ConfigError("the PostgreSQL server is too old", hint="use 13 or later")
        if encoding != "UTF8":
            raise ConfigError(f"the database's encoding is {encoding}", hint="make one with ENCODING 'UTF8'")
        if reads_only:
            raise StoreUnavailable(
                "the PostgreSQL server only reads: it is a standby, or set to",
                hint="name the primary in the URL",
            )


def read_url(url: str, *, lock_timeout: float) -> Address:
    """Take a URL apart; `schema` among its parameters is ours, the others are libpq's.

    Raises InvalidArgument, which repeats nothing of it.
    """
    head, _, query = url.partition("?")
    given = [each for each in query.split("&") if each]
    ours = [unquote(each.partition("=")[2]) for each in given if each.startswith("schema=")]
    schema = ours[-1] if ours else _DEFAULT_SCHEMA
    if not _SCHEMA.fullmatch(schema) or schema.startswith("pg_"):
        raise InvalidArgument("url", "names a schema that will not do", hint="use a-z, 0-9 and _, at most 63")
    rest = "&".join(each for each in given if not each.startswith("schema="))
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(f"{head}?{rest}").items() if value}
        numbers = [*parts.get("port", "0").split(","), parts.get("connect_timeout", "0")]
        _ = [int(each) for each in numbers]
    except (psycopg.Error, ValueError):
        raise InvalidArgument(
            "url", "is not a URL that PostgreSQL takes", hint="write postgresql://user@host:5432/database"
        ) from None
    return Address(parts, schema, lock_timeout)


def check_sessions(one: Connection, connect: Callable[[], Connection], catalog: Catalog) -> None:
    """Raise ConfigError where a pooler gives each transaction another connection: there no setting stays.

    Two connections that are open at once are answered by two processes of the server, and always the same.
    """
    if not one.is_pooled:
        return
    other = connect()
    try:
        seen = [
            {pid for (pid,) in fetch(each, catalog["connection.whose"], {})}
            for _ in range(_LOOKS_AT_A_POOLER)
            for each in (one, other)
        ]
    finally:
        other.close()
    if set.union(*seen[::2]) & set.union(*seen[1::2]):
        raise ConfigError(
            "a pooler gives each transaction another connection to PostgreSQL",
            hint="name PostgreSQL itself in the URL, or a pool with pool_mode=session",
        )


def fetch(connection: Connection, statement: Statement, params: dict[str, Any]) -> list[Row]:
    """Run a statement that is seldom run, and return its rows."""
    return connection.execute(statement.sql, statement.bind(params), prepare=False).fetchall()


def is_idle(connection: Connection) -> bool:
    """Tell whether a connection is whole and in the middle of nothing."""
    pgconn = connection.pgconn
    return pgconn.transaction_status == TransactionStatus.IDLE and not pgconn.pipeline_status


def is_of_schema(error: psycopg.Error) -> bool:
    """Tell whether a statement named a table that is not there."""
    return error.sqlstate == "42P01"


def translate(error: psycopg.Error, *, committing: bool = False) -> ClawguardError:
    """Return the typed error that a failure of PostgreSQL stands for."""
    state = error.sqlstate
    name = state or type(error).__name__
    if committing and state != _TORN_DOWN and not isinstance(error, psycopg.IntegrityError):
        return OutcomeUnknown(f"the commit was not answered ({name})", hint="repeat the call as it was")
    if state in _BUSY:
        return StoreBusy(f"the database is locked or too slow ({name})", hint="repeat the call")
    if state == "25006":
        return StoreUnavailable("the PostgreSQL server only reads by now", hint="name the primary in the URL")
    if state == "42501":
        hint = "grant it the schema, and to read and write its tables; who moves a database is to own both"
        return StoreUnavailable("the PostgreSQL role may not do that", hint=hint)
    return StoreUnavailable(f"the database did not answer ({name})")
