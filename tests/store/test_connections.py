"""Connections: each with the settings it must have, and a reader that fails costs nobody a place."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clawguard import ConfigError, OutcomeUnknown, StoreBusy, StoreUnavailable
from clawguard.store.connections import connect, is_io_error, translate
from tests.openers import open_manager


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "clawguard.db"
    open_manager(path).close()
    return path


def test_every_connection_has_its_settings(path: Path) -> None:
    wanted = {"foreign_keys": 1, "trusted_schema": 0, "cell_size_check": 1, "secure_delete": 1}
    wanted |= {"wal_autocheckpoint": 0, "busy_timeout": 5_000}
    for query_only in (False, True):
        connection = connect(path, query_only=query_only)
        for pragma, value in (wanted | {"query_only": int(query_only)}).items():
            assert connection.execute(f"PRAGMA {pragma}").fetchone() == (value,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        connection.close()


def test_a_reader_cannot_write(path: Path) -> None:
    connection = connect(path, query_only=True)
    with pytest.raises(sqlite3.OperationalError):
        connection.execute("UPDATE meta SET barrier = 0")
    connection.close()


def test_an_old_sqlite_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(ConfigError, match="too old"):
        connect(path)


def error_of(code: int, name: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("text of the database")
    error.sqlite_errorcode = code
    error.sqlite_errorname = name
    return error


def test_each_failure_of_sqlite_has_its_typed_error() -> None:
    disk = error_of(sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC")
    locked = error_of(sqlite3.SQLITE_BUSY_SNAPSHOT, "SQLITE_BUSY_SNAPSHOT")
    full = error_of(sqlite3.SQLITE_FULL, "SQLITE_FULL")
    assert is_io_error(disk)
    assert not is_io_error(full)
    assert type(translate(disk, committing=True)) is OutcomeUnknown
    assert type(translate(disk)) is StoreUnavailable
    assert type(translate(locked, committing=True)) is StoreBusy
    assert type(translate(full, committing=True)) is StoreUnavailable
    assert type(translate(sqlite3.ProgrammingError("x"))) is StoreUnavailable
    assert "text of the database" not in str(translate(full))


@pytest.mark.parametrize("pool", ["_readers", "_validators"])
def test_bad_text_costs_no_reader(path: Path, pool: str) -> None:
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "_readers": (lambda: manager.events.read(session_id="\ud800"), manager.active_count),
            "_validators": (
                lambda: manager.validate(replace(made.as_context(), session_id="\ud800")),
                lambda: manager.validate(made.token),
            ),
        }
        bad, good = calls[pool]
        for _ in range(16):
            with pytest.raises((ValueError, StoreUnavailable)):
                bad()
        good()
