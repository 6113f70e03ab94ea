"""Databases of many sessions, each with its event, filled by hand in seconds."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from clawguard.clock import SECOND, SystemClock, new_id
from clawguard.events.chain import link
from clawguard.models import IssuedSession
from clawguard.sessions.parts import open_parts
from clawguard.store.catalog import Catalog
from clawguard.store.connections import connect

from .raw import SCOPES, open_manager

__all__ = ["HOUR", "Filler", "mint", "sample"]

HOUR = 3_600 * SECOND
_BATCH = 20_000
_AGENTS = 1_000


class Filler:
    """Fill a database founded by the library; times are microseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with open_manager(path) as manager:
            self._first: IssuedSession = manager.create("planner", scopes=SCOPES, ttl=7 * 86_400)
        catalog = Catalog("sqlite")
        self._session, self._event = catalog["session.insert"], catalog["event.insert"]
        self._connection = connect(path)
        self._connection.execute("PRAGMA synchronous = OFF")
        self._seq, self._head = self._connection.execute("SELECT seq, hash FROM events").fetchone()
        self._now = SystemClock().now()

    def __enter__(self) -> Filler:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()

    def roots(self, count: int, *, end: Callable[[int, int], int] | None = None) -> list[str]:
        """Add live root sessions over the last two hours; `end(i, created)` says when each is due."""
        start, step = self._now - 2 * HOUR, 2 * HOUR // (count + 1)
        rows = []
        for index in range(count):
            at = start + index * step
            due = at + 24 * HOUR if end is None else end(index, at)
            rows.append((new_id(at), at, due, index % _AGENTS))
        self._insert(self._root(*row) for row in rows)
        return [row[0] for row in rows]

    def tree(self, size: int, *, width: int = 100) -> str:
        """Add a tree of `size` sessions, three deep, and return its root's id."""
        at, due = self._now - HOUR, self._now + HOUR
        ids = [new_id(at + index) for index in range(size)]
        root = ids[0]
        changes = [self._root(root, at, due, 0)]
        for index in range(1, size):
            parent, depth = (root, 1) if index <= width else (ids[1 + index % width], 2)
            row = self._root(ids[index], at + index, due, index % _AGENTS)
            changes.append(row | {"parent_id": parent, "root_id": root, "depth": depth})
        self._insert(iter(changes))
        return root

    def _root(self, session_id: str, at: int, due: int, agent: int) -> dict[str, Any]:
        name = f"agent-{agent}"
        return {
            "id": session_id,
            "root_id": session_id,
            "jti": session_id,
            "agent_id": name,
            "subject": f"agent:{name}",
            "created_at": at,
            "issued_at": at,
            "last_activity": at,
            "ttl": due - at,
            "token_expires_at": due,
            "expires_at": due,
            "absolute_expires_at": due,
        }

    def _insert(self, changes: Iterator[dict[str, Any]]) -> None:
        template = self._template("sessions", self._session.params)
        body = self._template("events", ("body",))["body"]
        while batch := list(islice(changes, _BATCH)):
            self._connection.execute("BEGIN IMMEDIATE")
            sessions = [self._session.bind(template | change) for change in batch]
            self._connection.executemany(self._session.sql, sessions)
            self._connection.executemany(self._event.sql, [self._created(body, change) for change in batch])
            self._connection.execute("COMMIT")
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _created(self, body: str, change: dict[str, Any]) -> list[Any]:
        at, session_id = change["created_at"], change["id"]
        text = body.replace(self._first.id, session_id).replace('"planner"', f'"{change["agent_id"]}"')
        text = text.replace(self._at(body), f'"at":{at},')
        self._head = link(self._head, text.encode())
        self._seq += 1
        named = {"seq": self._seq, "hash": self._head, "type": "session.created", "at": at}
        return self._event.bind(named | {"session_id": session_id, "cause_id": None, "body": text})

    def _at(self, body: str) -> str:
        start = body.index('"at":')
        return body[start : body.index(",", start) + 1]

    def _template(self, table: str, columns: tuple[str, ...]) -> dict[str, Any]:
        self._connection.row_factory = sqlite3.Row
        row = self._connection.execute(f"SELECT * FROM {table} ORDER BY rowid LIMIT 1").fetchone()
        self._connection.row_factory = None
        return {name: row[name] for name in columns}


def sample(ids: list[str], count: int) -> list[str]:
    """Return ids from all over, in no order, the same ones in every run."""
    return random.Random(7).sample(ids, min(count, len(ids)))


def mint(path: Path, ids: list[str]) -> list[str]:
    """Return a token for each session, signed without touching its row."""
    parts = open_parts(
        path,
        issuer=None,
        audience=None,
        audiences=(),
        kek=None,
        signs=True,
        max_staleness=0,
        create=False,
        lock_timeout=5.0,
        dispatch="thread",
        clock=None,
    )
    try:
        from clawguard.models import Session

        rows = [parts.store.read("session.get", id=each)[0] for each in ids]
        signer = parts.guard.ring.require_signer()
        return [parts.guard.issue(Session.from_tuple(row), signer) for row in rows]
    finally:
        parts.close()
