"""SQLAlchemy's engines on SQLite, set as clawguard sets its own connections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

__all__ = ["engine", "set_pragmas"]


def engine(path: Path, *, power_safe: bool = False) -> AsyncEngine:
    """Make an engine whose commits wait for the disk, or do not."""
    made = create_async_engine(f"sqlite+aiosqlite:///{path}")
    set_pragmas(made, power_safe=power_safe)
    return made


def set_pragmas(made: AsyncEngine, *, power_safe: bool) -> None:
    """Have each connection of an engine write ahead, and its commits wait for the disk or not."""

    @event.listens_for(made.sync_engine, "connect")
    def set_each(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute(f"PRAGMA synchronous = {'FULL' if power_safe else 'NORMAL'}")
        cursor.close()
