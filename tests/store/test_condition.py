"""What is told of SQLite and of a database's files."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from clawguard import SessionManager
from clawguard.store.condition import (
    has_full_text_search,
    look_at_files,
    may_lose_checkpoints,
    sqlite_version,
)


@pytest.mark.parametrize(
    ("version", "may"),
    [
        ((3, 37, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 53, 0), False),
        ((4, 0, 0), False),
    ],
)
def test_versions_that_may_lose_commits_are_known(version: tuple[int, int, int], may: bool) -> None:
    assert may_lose_checkpoints(version) is may


def test_this_sqlite_is_told() -> None:
    assert sqlite_version() == sqlite3.sqlite_version
    assert has_full_text_search()


def test_files_that_others_can_reach_are_told(tmp_path: Path) -> None:
    path = tmp_path / "db" / "clawguard.db"
    with SessionManager.open(path) as manager:
        manager.create("agent", scopes="a")
        found = look_at_files(path)
        assert found.open_to_others == ()
        assert found.write_ahead > 0
        assert found.free > 0
    key = path.with_name("clawguard.db-kek")
    key.chmod(0o640)
    assert look_at_files(path).open_to_others == (key,)
