"""Databases to be moved: filled with something in every table, and read whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from clawguard import SessionManager
from clawguard.models import IssuedSession
from clawguard.sessions.moving import copy_database
from clawguard.store.tables import TABLES, Table
from tests.clocks import FakeClock
from tests.openers import KEK, raw, rows
from tests.schemas import schema

Places = Callable[[str], str]

POLICY = {"roles": {"lead": {"scopes": ["docs:*", "mail:send"]}}}
_RARE = (
    ("INSERT INTO proof_ids (digest, until) VALUES (?, ?)", (b"\1" * 32, 5)),
    (
        "INSERT INTO event_cursors (name, incarnation, pattern, position, created_at) VALUES (?, ?, ?, ?, ?)",
        ("siem", "first", "session.*", 2, 7),
    ),
    (
        "INSERT INTO parked_events (name, seq, error, tries, parked_at) VALUES (?, ?, ?, ?, ?)",
        ("siem", 1, "RuntimeError", 2, 9),
    ),
    (
        "INSERT INTO turns (session_id, turn_id, lease_until, leased_for) VALUES (?, ?, ?, ?)",
        ("none", "t", 3, 4),
    ),
)


@contextmanager
def making_places(folder: Path) -> Iterator[Places]:
    """Give what makes places for databases: a file's path or the URL of an empty schema."""
    with ExitStack() as stack:
        files = (str(folder / f"db-{number}" / "clawguard.db") for number in range(99))
        yield lambda engine: next(files) if engine == "file" else stack.enter_context(schema())


def move(old: str, new: str, **given: Any) -> Any:
    """Move one database to another."""
    return copy_database(old, new, **{"kek": KEK, "clock": FakeClock(), **given})


def contents(database: str | Path) -> dict[str, list[tuple[Any, ...]]]:
    """Return every row of every table, in one form for both engines."""
    return {table.name: sorted(_rows(database, table), key=repr) for table in TABLES}


def _rows(database: str | Path, table: Table) -> list[tuple[Any, ...]]:
    found = rows(database, f"SELECT {', '.join(table.columns)} FROM {table.name}")
    on_a_server = "://" in str(database)
    return [tuple(_plain(each) if on_a_server else each for each in row) for row in found]


def _plain(value: Any) -> Any:
    if isinstance(value, str):  # what PostgreSQL has no room for stands escaped in it
        return value.replace("\ufdd0\ufdd2", "\0").replace("\ufdd0\ufdd1", "\ufdd0")
    return bytes(value) if isinstance(value, memoryview) else value


def fill(manager: SessionManager, database: str | Path, tmp_path: Path) -> IssuedSession:
    """Put something into every table; return a live session with a child and a conversation."""
    planner = manager.create(
        "planner", scopes="docs:read mail:send", key="telegram", refreshable=True, role="lead"
    )
    manager.delegate(planner, "helper", scopes="docs:read", request_id="once")
    for text in ("a NUL \0 and \ufdd0", "häuser", "three"):
        manager.history.append(planner.id, {"role": "user", "content": text})
    manager.history.remove_last(planner.id)
    manager.history.export_jsonl(planner.id, tmp_path / "talk.jsonl")
    other = manager.create("reader", scopes="docs:read", metadata={"nul": "\0", "ümlaut": "ß"})
    manager.history.import_jsonl(other.id, tmp_path / "talk.jsonl")
    manager.history.milestones.set("welcome", "shown \0 and \ufdd0")
    manager.agents.disable("rogue", reason="lost")
    manager.revoke(manager.create("gone", scopes="docs:read", key="was"), reason="done")
    with raw(database) as connection:
        for statement, values in _RARE:
            connection.execute(statement, values)
    return planner
