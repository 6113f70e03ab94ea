"""How a database's surroundings are: the SQLite it runs on, its files and their modes, the room it has."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
from pathlib import Path
from typing import NamedTuple

__all__ = ["FilesFound", "has_full_text_search", "look_at_files", "may_lose_checkpoints", "sqlite_version"]

_FIXED = (3, 51, 3)
_FIXED_BRANCHES = {50: 7, 44: 6}  # by the second number
_SIDES = ("", "-kek", "-lock", "-wal", "-shm")


class FilesFound(NamedTuple):
    """Hold which files of a database others may read or write, and how much room there is, in bytes."""

    open_to_others: tuple[Path, ...]
    write_ahead: int
    free: int


def sqlite_version() -> str:
    """Return the version of SQLite that this Python has."""
    return sqlite3.sqlite_version


def may_lose_checkpoints(version: tuple[int, int, int] = sqlite3.sqlite_version_info[:3]) -> bool:
    """Tell whether two connections that checkpoint at one instant may lose commits (SQLite before 3.51.3)."""
    _, branch, patch = version
    return version < _FIXED and patch < _FIXED_BRANCHES.get(branch, patch + 1)


def has_full_text_search() -> bool:
    """Tell whether this SQLite has FTS5."""
    connection = sqlite3.connect(":memory:")
    try:
        options = [text for (text,) in connection.execute("PRAGMA compile_options")]
    finally:
        connection.close()
    return "ENABLE_FTS5" in options


def look_at_files(path: Path) -> FilesFound:
    """Look at a database's files, without opening any of them."""
    beside = [path.with_name(path.name + side) for side in _SIDES]
    found = [each for each in beside if each.exists()]
    loose = tuple(each for each in found if stat.S_IMODE(each.lstat().st_mode) & 0o077)
    ahead = path.with_name(f"{path.name}-wal")
    size = ahead.stat().st_size if ahead.exists() else 0
    return FilesFound(loose, size, shutil.disk_usage(os.fspath(path.parent)).free)
