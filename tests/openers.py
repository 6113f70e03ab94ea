"""Open managers as tests want them: nothing happens by itself, and receivers are called at once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from clawguard import SessionManager
from clawguard.store.postgres.connections import read_url
from tests.clocks import FakeClock

KEK = bytes(range(32))


def open_manager(
    url: str | os.PathLike[str] = ":memory:", *, clock: FakeClock | None = None, **settings: Any
) -> SessionManager:
    """Open a manager that sweeps only when told to."""
    wanted: dict[str, Any] = {"kek": KEK, "sweep_every": None, "dispatch": "inline", **settings}
    return SessionManager.open(url, clock=clock or FakeClock(), **wanted)


@contextmanager
def raw(database: str | Path) -> Iterator[Any]:
    """Open a database behind the library's back; what is executed there stands at once."""
    if "://" not in str(database):
        with closing(sqlite3.connect(database, isolation_level=None)) as connection:
            yield connection
        return
    url, _, schema = str(database).partition("?schema=")
    lock = read_url(str(database), lock_timeout=0).lock
    options = f"-c search_path={schema or 'clawguard'} -c clawguard.write_lock={lock}"
    with psycopg.connect(url, autocommit=True, options=options) as server:
        _link(server, lock)
        yield _Server(server)


def _link(server: psycopg.Connection, lock: int) -> None:
    """Have the log whole, as whoever reads it finds it, unless somebody is writing."""
    asked = "SELECT to_regclass('unlinked_events') IS NOT NULL AND pg_try_advisory_xact_lock(%s)"
    with server.transaction():
        if server.execute(asked, (lock,)).fetchone() == (True,):
            server.execute("SELECT link_events(1000000)")


class _Server:
    """Take statements as SQLite does, with question marks."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(self, query: str, values: tuple[Any, ...] | None = None) -> Any:
        return self._connection.execute(query if values is None else query.replace("?", "%s"), values)


def rows(database: str | Path, query: str) -> list[tuple[Any, ...]]:
    with raw(database) as connection:
        return list(connection.execute(query).fetchall())
