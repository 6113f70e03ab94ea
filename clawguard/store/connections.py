"""SQLite connections: how one is opened and checked, how its errors are told, how they are pooled."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from clawguard.errors import ConfigError, OutcomeUnknown, StoreBusy, StoreUnavailable
from clawguard.private_files import sync_folder

__all__ = [
    "APPLICATION_ID",
    "Connection",
    "connect",
    "is_io_error",
    "is_of_schema",
    "is_read_only",
    "make_file",
    "translate",
]

APPLICATION_ID = 0x434C4157  # "CLAW"
_FLOOR = (3, 37, 0)  # STRICT tables
_PRAGMAS = {
    "foreign_keys": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "secure_delete": 1,
    "busy_timeout": 5_000,
    "wal_autocheckpoint": 0,
    "fullfsync": 1,  # macOS: a plain fsync leaves the data in the drive's own cache
    "checkpoint_fullfsync": 1,
}
_WRITERS_CACHE, _READERS_CACHE = -16_384, -8_192  # KiB; by its own 2 MB SQLite misses scattered pages


class Connection(sqlite3.Connection):
    """A connection that can be counted without being held."""


def connect(path: Path, *, query_only: bool = False) -> Connection:
    """Open an existing database and read back every setting; raise ConfigError where one did not take."""
    if sqlite3.sqlite_version_info < _FLOOR:
        raise ConfigError(f"SQLite {sqlite3.sqlite_version} is too old", hint="use 3.37 or later")
    uri = f"{path.resolve().as_uri()}?mode=rw"
    connection = Connection(
        uri, uri=True, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        _set_up(connection, query_only=query_only)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, *, query_only: bool) -> None:
    cache = _READERS_CACHE if query_only else _WRITERS_CACHE
    wanted = _PRAGMAS | {"query_only": int(query_only), "cache_size": cache}
    for pragma, value in wanted.items():
        connection.execute(f"PRAGMA {pragma} = {value}")
        took = connection.execute(f"PRAGMA {pragma}").fetchone()
        if took != (value,):
            raise ConfigError(f"SQLite did not take {pragma} = {value}")
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION_ID:
        raise ConfigError("the file is another application's database", hint="name another path")


def make_file(path: Path, *, aside: Path) -> None:
    """Make a whole empty database aside and move it into place: an empty file is never seen."""
    aside.unlink(missing_ok=True)
    os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(aside, isolation_level=None)
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA user_version = 0")
    finally:
        connection.close()
    aside.replace(path)
    sync_folder(path.parent)


def is_io_error(error: sqlite3.Error) -> bool:
    """Tell whether the disk failed: after that, what a retried sync says proves nothing."""
    return _primary(error) == sqlite3.SQLITE_IOERR


def is_of_schema(error: sqlite3.Error) -> bool:
    """Tell whether a statement did not fit the schema: a table that is not there, among others."""
    return _primary(error) == sqlite3.SQLITE_ERROR


def is_read_only(error: sqlite3.Error) -> bool:
    """Tell whether the connection cannot write: opened when the file could not be written, it never will."""
    return _primary(error) == sqlite3.SQLITE_READONLY


def translate(error: sqlite3.Error, *, committing: bool = False) -> StoreUnavailable:
    """Return the typed error that a failure of SQLite stands for."""
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    if committing and is_io_error(error):
        return OutcomeUnknown(f"the commit failed midway ({name})", hint="repeat the call as it was")
    if _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"the database is locked ({name})", hint="repeat the call")
    return StoreUnavailable(f"the database did not answer ({name})")


def _primary(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
