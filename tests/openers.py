"""Open managers as tests want them: nothing happens by itself, and receivers are called at once."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from clawguard import SessionManager
from tests.clocks import FakeClock

KEK = bytes(range(32))


def open_manager(
    url: str | os.PathLike[str] = ":memory:", *, clock: FakeClock | None = None, **settings: Any
) -> SessionManager:
    """Open a manager that sweeps only when told to."""
    wanted: dict[str, Any] = {"kek": KEK, "sweep_every": None, "dispatch": "inline", **settings}
    return SessionManager.open(url, clock=clock or FakeClock(), **wanted)


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the database behind the library's back; commit at the end of the block."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with raw(path) as connection:
        return connection.execute(query).fetchall()
