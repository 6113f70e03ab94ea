"""Migrations: a ledger of what was applied; a newer or altered database is refused."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

from clawguard import ConfigError, SessionManager, StoreUnavailable, Verifier
from clawguard.errors import StoreUpgraded
from clawguard.store.migrate import Ledger, Migration, _statements, current_version, migrate, migrations_of
from tests.clocks import FakeClock
from tests.openers import open_manager, raw, rows

STEPS = migrations_of("sqlite")
RECORDS = Ledger(
    "INSERT INTO migrations (number, name, digest, applied_at) VALUES (?, ?, ?, ?)",
    "SELECT number, digest FROM migrations ORDER BY number",
    "UPDATE meta SET schema_version = ?",
)
LEDGER = "CREATE TABLE migrations (number INTEGER, name TEXT, digest TEXT, applied_at INTEGER);\n"
LEDGER += "CREATE TABLE meta (schema_version INTEGER);\nINSERT INTO meta VALUES (0);\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "clawguard.db"
    open_manager(path).close()
    return path


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [step.number for step in STEPS] == list(range(1, len(STEPS) + 1))
    assert all(re.fullmatch(r"[a-z_]+", step.name) for step in STEPS)


def test_a_new_database_has_every_migration_in_its_ledger(path: Path) -> None:
    assert rows(path, "SELECT number, name, digest FROM migrations") == [
        (step.number, step.name, step.digest) for step in STEPS
    ]
    assert rows(path, "PRAGMA user_version") == [(len(STEPS),)]
    assert rows(path, "SELECT schema_version FROM meta") == [(len(STEPS),)]


def test_every_table_is_strict_and_every_closed_set_is_checked(path: Path) -> None:
    listed = rows(path, "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    assert [name for name, strict in listed if not strict and not name.startswith("sqlite_")] == []
    with raw(path) as database:
        for statement in (
            "UPDATE signing_keys SET state = 'lost'",
            "UPDATE signing_keys SET algorithm = 'none'",
            "INSERT INTO meta SELECT 2, schema_version, issuer, audience, 1, 0, 0, NULL, 0 FROM meta",
        ):
            with pytest.raises(sqlite3.IntegrityError):
                database.execute(statement)


def test_opening_again_applies_nothing(path: Path) -> None:
    before = rows(path, "SELECT * FROM migrations"), rows(path, "SELECT * FROM meta")
    open_manager(path).close()
    assert (rows(path, "SELECT * FROM migrations"), rows(path, "SELECT * FROM meta")) == before


@pytest.mark.parametrize("opener", [open_manager, Verifier.open])
def test_a_newer_database_is_not_opened(path: Path, opener: type) -> None:
    with raw(path) as database:
        database.execute(f"PRAGMA user_version = {len(STEPS) + 1}")
    with pytest.raises(StoreUpgraded, match="upgrade clawguard"):
        opener(path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE migrations SET digest = 'x'",
        "DELETE FROM migrations",
        "INSERT INTO migrations VALUES (0, 'x', 'x', 0)",
    ],
)
def test_a_ledger_that_does_not_fit_is_refused(path: Path, change: str) -> None:
    with raw(path) as database:
        database.execute(change)
    with pytest.raises(ConfigError, match="ledger"):
        open_manager(path)


def upgrade_under(path: Path) -> None:
    """Leave what a newer clawguard leaves that migrates an open database."""
    with raw(path) as database:
        database.execute("UPDATE meta SET schema_version = schema_version + 1, revision = revision + 1")


def test_a_manager_that_was_overtaken_writes_nothing_more(path: Path) -> None:
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        upgrade_under(path)
        for call in (
            lambda: manager.create("a", scopes="x"),
            lambda: manager.revoke(made),
            lambda: manager.refresh(made),
            manager.keys.rotate,
            lambda: manager.activity.set_name(made, "n"),
            lambda: manager.history.append(made, {"role": "user", "content": "c"}),
            lambda: manager.history.milestones.set("k", "v"),
            manager.history.compact,
        ):
            with pytest.raises(StoreUpgraded):
                call()
        assert len(rows(path, "SELECT * FROM events")) == 1


def test_a_manager_that_was_overtaken_lets_nobody_in(path: Path) -> None:
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token)
        upgrade_under(path)
        with pytest.raises(StoreUnavailable):
            manager.validate(made.token)


def test_a_filled_database_of_the_schema_before_logs_had_a_key_is_upgraded_with_its_log(path: Path) -> None:
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        manager.revoke(manager.create("b", scopes="x"))
        before = manager.events.read()
    with raw(path) as database:
        database.execute("DROP TABLE turns")
        database.execute("DROP TABLE content_keys")
        database.execute("DROP TABLE log_keys")
        database.execute("DROP INDEX events_archived")
        for made_later in ("entries", "entry_index", "entry_words", "import_receipts", "milestones"):
            database.execute(f"DROP TABLE {made_later}")
        database.execute("DROP INDEX sessions_conversations")
        database.execute("ALTER TABLE sessions DROP COLUMN entry_count")
        database.execute("DELETE FROM migrations WHERE number >= 5")
        database.execute("UPDATE meta SET schema_version = 4")
        database.execute("PRAGMA user_version = 4")
    with Verifier.open(path, clock=FakeClock()) as verifier:
        assert verifier.events.verify().count == 3
        with pytest.raises(ConfigError, match="no key yet"):
            verifier.events.verify("a checkpoint")
    with open_manager(path) as manager:
        assert manager.events.read() == before
        assert manager.validate(made.token).session_id == made.id
        assert manager.events.verify(manager.events.checkpoint()).count == 3


# the steps by themselves


def step(number: int, text: str) -> Migration:
    return Migration(number, f"step{number}", text)


def test_steps_are_applied_in_order_and_once() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    one, two = step(1, LEDGER + "CREATE TABLE a (x);\n"), step(2, "INSERT INTO a VALUES (1);\n")
    migrate(connection, (one,), ledger=RECORDS, now=7)
    migrate(connection, (one, two), ledger=RECORDS, now=8)
    migrate(connection, (one, two), ledger=RECORDS, now=9)
    assert current_version(connection) == 2
    assert connection.execute("SELECT schema_version FROM meta").fetchone() == (2,)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1,)]
    assert connection.execute("SELECT applied_at FROM migrations").fetchall() == [(7,), (8,)]
    connection.close()


def test_a_step_that_fails_leaves_nothing_of_itself_or_of_those_beside_it() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    first, good = step(1, LEDGER), step(2, "CREATE TABLE b (x);\n")
    bad = step(3, "CREATE TABLE a (x);\nINSERT INTO missing VALUES (1);\n")
    migrate(connection, (first,), ledger=RECORDS, now=7)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (first, good, bad), ledger=RECORDS, now=7)
    assert current_version(connection) == 1
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("migrations",), ("meta",)]
    assert connection.execute("SELECT schema_version FROM meta").fetchone() == (1,)
    assert not connection.in_transaction
    connection.close()


def test_a_text_is_cut_into_whole_statements() -> None:
    text = "-- a; comment;\nCREATE TABLE a (\n    x TEXT DEFAULT ';'\n);\n\nINSERT INTO a VALUES ('a;\nb');\n"
    assert len(_statements(text)) == 2


def test_opening_in_the_ordinary_way_still_works(path: Path) -> None:
    with SessionManager.open(path, kek=bytes(range(32)), clock=FakeClock(), sweep_every=None) as manager:
        assert manager.active_count() == 0
