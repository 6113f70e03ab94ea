"""Bring a database's schema up to date: a ledger of what was applied, the rest in one transaction.

The steps and what they are held against are every engine's; applying them is SQLite's here.
"""

from __future__ import annotations

import hashlib
import sqlite3
from dataclasses import dataclass
from importlib.resources import files
from typing import NamedTuple

from clawguard.errors import ConfigError, StoreUpgraded

__all__ = [
    "Ledger",
    "Migration",
    "check_steps",
    "current_version",
    "migrate",
    "migrations_of",
    "steps_beyond",
]


@dataclass(frozen=True)
class Migration:
    """Hold one step: its number, its name, its text and the text's digest."""

    number: int
    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hex: an applied step may never be edited."""
        return hashlib.sha256(self.text.encode()).hexdigest()


class Ledger(NamedTuple):
    """Hold the statements that keep the ledger: add a step, list the steps, tell running processes."""

    add: str
    list: str
    announce: str


def migrations_of(dialect: str) -> tuple[Migration, ...]:
    """Return a dialect's migrations in order."""
    folder = files("clawguard.store").joinpath("migrations", dialect)
    found = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return tuple(
        Migration(int(name[:4]), name[5:-4], folder.joinpath(name).read_text("utf-8")) for name in found
    )


def current_version(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration that the database has seen."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def migrate(
    connection: sqlite3.Connection,
    steps: tuple[Migration, ...],
    *,
    ledger: Ledger,
    now: int,
    has_fts5: bool = True,
    upgrades: bool = True,
) -> None:
    """Apply what is missing; the writer lock must be held. Without FTS5 there will be no index for searches.

    Raises as `steps_beyond` does.
    """
    version = current_version(connection)
    found = connection.execute(ledger.list).fetchall() if version else []
    missing = steps_beyond(version, found, steps, upgrades=upgrades)
    if missing:
        _apply(connection, missing, ledger=ledger, now=now, has_fts5=has_fts5)


def check_steps(version: int, steps: tuple[Migration, ...]) -> None:
    """Refuse a database that is shut, and so cannot be migrated, where its schema is another than ours."""
    if version != steps[-1].number:
        raise ConfigError(
            f"the database is shut, with schema {version}; this clawguard has {steps[-1].number}",
            hint="go on with the version that began the copy, or begin anew with an empty database",
        )


def steps_beyond(
    version: int, found: list[tuple[int, str]], steps: tuple[Migration, ...], *, upgrades: bool = True
) -> tuple[Migration, ...]:
    """Return the steps that a database at a version lacks, given the numbers and digests of its ledger.

    Raises StoreUpgraded for a newer database, ConfigError for one whose ledger does not fit the steps, and
    for one of an earlier version that is not to be upgraded.
    """
    if version > steps[-1].number:
        raise StoreUpgraded(
            f"the database has schema {version}, this clawguard knows {steps[-1].number}",
            hint="upgrade clawguard",
        )
    if found != [(step.number, step.digest) for step in steps if step.number <= version]:
        raise ConfigError(
            "the database's ledger of migrations does not fit this clawguard",
            hint="open it with the version that made it, or restore a backup",
        )
    if 0 < version < steps[-1].number and not upgrades:
        raise ConfigError(
            f"the database has schema {version}, of an earlier clawguard; this one has {steps[-1].number}",
            hint="open it once with this version, which migrates it, or name another one",
        )
    return tuple(step for step in steps if step.number > version)


def _apply(
    connection: sqlite3.Connection,
    steps: tuple[Migration, ...],
    *,
    ledger: Ledger,
    now: int,
    has_fts5: bool,
) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps:
            for statement in _statements(step.text):
                if has_fts5 or "USING fts5" not in statement:
                    connection.execute(statement)
            connection.execute(ledger.add, (step.number, step.name, step.digest, now))
        connection.execute(ledger.announce, (steps[-1].number,))
        connection.execute(f"PRAGMA user_version = {steps[-1].number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _statements(text: str) -> list[str]:
    found, pending = [], ""
    for line in text.splitlines(keepends=True):
        pending += line
        if line.rstrip().endswith(";") and sqlite3.complete_statement(pending):
            found.append(pending)
            pending = ""
    return found
