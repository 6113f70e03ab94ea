"""The store: the only place that knows a database. It knows neither tokens nor keys.

`open_store(url)` gives a `Store`; every statement stands by name in `sql/`, every schema change in
`migrations/`. A new feature adds a statement, never a method.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from clawguard.clock import Clock
from clawguard.errors import ConfigError, InvalidArgument

__all__ = ["Row", "Store", "Transaction", "database_path", "is_on_server", "open_store"]

Row = tuple[Any, ...]
_POSTGRES = ("postgresql://", "postgres://")


class Transaction(Protocol):
    """Run statements of one transaction; it holds the write lock."""

    def run(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Run a named statement, narrowed by named filters where it takes some, and return all its rows."""

    def run_many(self, name: str, rows: Sequence[Sequence[Any]], /) -> None:
        """Run a named statement once for each row of values, given in the order of its parameters."""

    def on_commit(self, action: Callable[[], None], /) -> None:
        """Have an action of ours run right after the commit, in the order of commits; it must not wait."""


class Store(Protocol):
    """Keep rows: all or nothing, and visible to every process once acknowledged.

    `reads_wait` tells whether a read is a round trip to a server: then no event loop runs one itself.
    """

    reads_wait: bool

    def transaction(self, *, durable: bool) -> AbstractContextManager[Transaction]:
        """Write: commit at the end of the block, roll back on any exception.

        With `durable` the commit survives power loss, else the death of the process. Raises StoreBusy
        when the write lock is not had in time, OutcomeUnknown when the commit itself failed midway.
        """

    def read(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Run a named query on a connection that never holds a transaction, and return all its rows."""

    def close(self) -> None:
        """Let go of every connection; closing again does nothing."""

    def side_file(self, name: str, /) -> Path | None:
        """Return where a private file of that name belongs, beside the store's own, if it has files."""


def open_store(url: str, *, clock: Clock, create: bool = True, lock_timeout: float = 5.0) -> Store:
    """Open the store at a path, a `sqlite:///` or `postgresql://` URL, or `:memory:`; make it if `create`.

    Raises ConfigError for a file, folder, mode or server that is not as it must be, InvalidArgument for a URL
    of another kind.
    """
    from clawguard.store.sqlite import SQLiteStore

    if is_on_server(url):
        return _postgres_store(url, clock=clock, create=create, lock_timeout=lock_timeout)
    path = database_path(url)
    if path is None and not create:
        raise ConfigError("':memory:' is private to its manager", hint="share a file, or the manager itself")
    if path is None:
        return SQLiteStore.in_memory(clock=clock, lock_timeout=lock_timeout)
    return SQLiteStore(path, clock=clock, create=create, lock_timeout=lock_timeout)


def is_on_server(url: object) -> bool:
    """Tell whether a URL names a database on a server, and no file."""
    return isinstance(url, str) and url.startswith(_POSTGRES) and "\0" not in url


def database_path(url: str) -> Path | None:
    """Return the file that a path or a `sqlite:///` URL names; None for `:memory:`.

    Raises InvalidArgument for a URL of another kind.
    """
    if not isinstance(url, str) or not url or "\0" in url:
        raise InvalidArgument("url", "must be a path, a sqlite:/// or postgresql:// URL, or ':memory:'")
    if url == ":memory:":
        return None
    scheme, separator, rest = url.partition("://")
    if not separator and not url.startswith(("sqlite:", "file:")):
        return Path(url)
    if scheme == "sqlite" and rest.startswith("/") and "?" not in rest:
        return Path(rest[1:])
    raise InvalidArgument(
        "url",
        f"is of a kind that is not supported: {(scheme if separator else url.partition(':')[0])[:32]!r}",
        hint="write a path, sqlite:///relative.db, sqlite:////absolute.db, or postgresql://host/database",
    )


def _postgres_store(url: str, *, clock: Clock, create: bool, lock_timeout: float) -> Store:
    try:
        from clawguard.store.postgres import PostgresStore
    except ImportError:
        raise ConfigError(
            "PostgreSQL needs psycopg", hint="pip install 'clawguard-sessions[postgres]'"
        ) from None
    return PostgresStore(url, clock=clock, create=create, lock_timeout=lock_timeout)
