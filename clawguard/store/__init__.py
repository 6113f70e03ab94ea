"""The store: the only place that knows a database. It knows neither tokens nor keys.

`open_store(url)` gives a `Store`; every statement stands by name in `sql/`, every schema change in
`migrations/`. A new feature adds a statement, never a method.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from clawguard.clock import Clock
from clawguard.errors import ClawguardError, ConfigError, InvalidArgument

if TYPE_CHECKING:
    from clawguard.store.postgres import PostgresStore

__all__ = [
    "Hints",
    "Reach",
    "Row",
    "Store",
    "Transaction",
    "database_path",
    "is_on_server",
    "is_there",
    "open_store",
    "place_of",
]

Row = tuple[Any, ...]
_POSTGRES = ("postgresql://", "postgres://")
_WHERE = ("host", "hostaddr", "port", "service", "schema")  # parameters that say where, and hold no secret


class Reach(NamedTuple):
    """Name all that a write depends on besides keys, policy and what only grows: one tree, and names.

    The tree is that of `session_id`, known or not; a name is given out once, and says what it is a name of.
    """

    session_id: str | None = None
    names: tuple[str, ...] = ()


class Transaction(Protocol):
    """Run statements of one transaction; it holds the write lock, or shares it.

    `links` tells whether it may link events to the chain; else they are left to be linked later.
    """

    links: bool

    def run(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Run a named statement, narrowed by named filters where it takes some, and return all its rows."""

    def run_or_fail(self, otherwise: ClawguardError, name: str, /, **params: Any) -> None:
        """Run a named statement; where it returns no row raise an error, at the latest at the block's end."""

    def run_many(self, name: str, rows: Sequence[Sequence[Any]], /) -> None:
        """Run a named statement once for each row of values, given in the order of its parameters."""

    def on_commit(self, action: Callable[[], None], /) -> None:
        """Have an action of ours run right after the commit, in the order of commits; it must not wait."""

    def hint(self) -> None:
        """Have other processes told right behind the commit that there is something to read, if they rest.

        A hint holds nobody up and may be lost: see `Store.hints`.
        """


class Hints(Protocol):
    """Rest until there may be something to read."""

    def rest(self, seconds: float) -> None:
        """Return after so many seconds, or sooner: on a hint from another process, or on `wake`."""

    def wake(self) -> None:
        """End the rest that is being taken, or the next one; a signal's handler may call this."""

    def close(self) -> None:
        """Let go of what it takes."""


class Store(Protocol):
    """Keep rows: all or nothing, and visible to every process once acknowledged.

    `reads_wait` tells whether a read is a round trip to a server: then no event loop runs one itself.
    `feed_source` is another number when the last look at the log (`feed.…`) may have met another server.
    `links_later` tells whether events may be committed that have no place in the chain yet.
    """

    reads_wait: bool
    feed_source: int
    links_later: bool

    def transaction(
        self, *, durable: bool, reach: Reach | None = None
    ) -> AbstractContextManager[Transaction]:
        """Write: commit at the end of the block, roll back on any exception.

        With `durable` the commit survives power loss, else the death of the process. Where an engine can,
        writes go on beside each other that say how far they reach and do not meet; None reaches everything.
        Raises StoreBusy when the write lock is not had in time, OutcomeUnknown when the commit itself failed
        midway.
        """

    def read(self, name: str, filters: tuple[str, ...] | None = None, /, **params: Any) -> list[Row]:
        """Run a named query on a connection that never holds a transaction, and return all its rows."""

    def hints(self, *, silence: float) -> Hints | None:
        """Return where who follows the log rests between two looks, so that he hears of ends; None: nowhere.

        From now on a look (a statement `feed.…`) fails after so many seconds of a server's silence.
        """

    def close(self) -> None:
        """Let go of every connection; closing again does nothing."""

    def side_file(self, name: str, /) -> Path | None:
        """Return where a private file of that name belongs, beside the store's own, if it has files."""


def open_store(
    url: str,
    *,
    clock: Clock,
    create: bool = True,
    lock_timeout: float = 5.0,
    moves: bool = False,
    upgrades: bool = True,
) -> Store:
    """Open the store at a path, a `sqlite:///` or `postgresql://` URL, or `:memory:`; make it if `create`.

    With `moves` also one that is shut, for whoever moves it; without `upgrades` none of an earlier version,
    which opening would migrate. Raises ConfigError for a file, folder, mode or
    server that is not as it must be, StoreMoved, and InvalidArgument for a URL of another kind.
    """
    from clawguard.store.sqlite import SQLiteStore

    given: dict[str, Any] = {"create": create, "lock_timeout": lock_timeout}
    given |= {"moves": moves, "upgrades": upgrades}
    if is_on_server(url):
        return _postgres()(url, clock=clock, **given)
    path = database_path(url)
    if path is None and not create:
        raise ConfigError("':memory:' is private to its manager", hint="share a file, or the manager itself")
    if path is None:
        return SQLiteStore.in_memory(clock=clock, lock_timeout=lock_timeout)
    return SQLiteStore(path, clock=clock, **given)


def is_on_server(url: object) -> bool:
    """Tell whether a URL names a database on a server, and no file."""
    return isinstance(url, str) and url.startswith(_POSTGRES) and "\0" not in url


def is_there(url: str, *, lock_timeout: float = 5.0) -> bool:
    """Tell whether there is a database of ours at a URL, without making one. Raises as `open_store` does."""
    if not is_on_server(url):
        path = database_path(url)
        return path is not None and path.exists()
    return _postgres().is_there(url, lock_timeout=lock_timeout)


def place_of(url: str) -> str:
    """Return where a database is, as others may read it: without a user, a password or settings."""
    if not is_on_server(url):
        return os.path.realpath(database_path(url) or "")
    parts = urlsplit(url)
    said = dict(each.partition("=")[::2] for each in parts.query.split("&"))
    where = "&".join(f"{name}={said[name]}" for name in _WHERE if name in said)
    host = parts.netloc.rpartition("@")[2]
    return f"postgresql://{host}{parts.path}" + (where and f"?{where}")


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


def _postgres() -> type[PostgresStore]:
    try:
        from clawguard.store.postgres import PostgresStore
    except ImportError:
        raise ConfigError(
            "PostgreSQL needs psycopg", hint="pip install 'clawguard-sessions[postgres]'"
        ) from None
    return PostgresStore
