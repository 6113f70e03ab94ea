"""openai-agents: `SQLiteSession` as it comes, and told not to wait for the disk, as clawguard does not."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agents import SQLiteSession

from benchmarks.material import MESSAGE

from .measures import Works, awaiting, expect

__all__ = ["works"]

_SAID, _READ = 500, 100


class _Relaxed(SQLiteSession):
    """Be the same at `synchronous = NORMAL`."""

    @staticmethod
    def _configure_connection(conn: sqlite3.Connection) -> None:
        SQLiteSession._configure_connection(conn)
        conn.execute("PRAGMA synchronous = NORMAL")


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Append a message, and read the last hundred."""
    item: Any = dict(MESSAGE)
    shipped, relaxed = SQLiteSession("one", folder / "one.db"), _Relaxed("one", folder / "two.db")
    with asyncio.Runner() as runner:
        for session in (shipped, relaxed):
            runner.run(session.add_items([item] * _SAID))
            found = runner.run(session.get_items(_READ))
            expect("messages of SQLiteSession", found=found, expected=[MESSAGE] * _READ)
        yield {
            "append": awaiting(runner, lambda: shipped.add_items([item])),
            "append_relaxed": awaiting(runner, lambda: relaxed.add_items([item])),
            "read": awaiting(runner, lambda: shipped.get_items(_READ)),
        }
    shipped.close()
    relaxed.close()
