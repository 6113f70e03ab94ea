"""The work done by hand: PyJWT and `sqlite3` on the library's own schema, statements and settings."""

from __future__ import annotations

import itertools
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from clawguard import Event, SessionManager
from clawguard.clock import SystemClock, new_id
from clawguard.store.catalog import Catalog
from clawguard.store.connections import connect

from .material import SCOPES

__all__ = ["SCOPES", "RawStore", "decoder", "open_manager"]


def _hear(_: Event) -> None:
    """Do nothing with what is heard."""


def open_manager(path: Path, *, max_staleness: float = 0) -> SessionManager:
    """Open a manager that does nothing by itself, with one live receiver."""
    manager = SessionManager.open(path, sweep_every=None, max_staleness=max_staleness)
    manager.on("session.*", _hear)
    return manager


def decoder(manager: SessionManager) -> Any:
    """Return what decodes a token of the manager's with PyJWT alone, its key already loaded."""
    active = next(key.kid for key in manager.keys.list() if key.state == "active")
    key = next(jwt.PyJWK(each).key for each in manager.keys.jwks()["keys"] if each["kid"] == active)
    issuer = manager.issuer

    def decode(token: str) -> object:
        return jwt.decode(token, key, algorithms=["ES256"], audience="clawguard", issuer=issuer)

    return decode


class RawStore:
    """Do by hand what create, refresh and revoke do, on a database of the same schema."""

    def __init__(self, path: Path) -> None:
        with open_manager(path) as manager:
            issued = manager.create("planner", scopes=SCOPES)
        self._claims = jwt.decode(issued.token, options={"verify_signature": False})
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._headers = {"typ": "at+jwt", "kid": issued.kid}
        self._catalog = Catalog("sqlite")
        self._connection = connect(path)
        self._row = _first(self._connection, "sessions")
        self._event = _first(self._connection, "events")
        self._seq = itertools.count(2)
        self._now = SystemClock().now()
        self._ids: Iterator[str] = iter(())

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def level(self, name: str) -> None:
        """Set the `synchronous` level: NORMAL or FULL."""
        self._connection.execute(f"PRAGMA synchronous = {name}")

    def checkpoint(self) -> None:
        """Copy the log back, as the library does between commits."""
        self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()

    def publish(self) -> None:
        """Insert an event in a transaction of its own."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._append("0190")
        self._connection.execute("COMMIT")

    def encode(self) -> str:
        """Sign the claims of a session with PyJWT."""
        return jwt.encode(self._claims, self._key, algorithm="ES256", headers=self._headers)

    def create(self) -> str:
        """Sign, then insert the session and its event in one transaction."""
        session_id = new_id(self._now)
        self.encode()
        self._connection.execute("BEGIN IMMEDIATE")
        self._run("session.insert", **self._row | {"id": session_id, "jti": str(uuid.uuid4())})
        self._append(session_id)
        self._connection.execute("COMMIT")
        return session_id

    def refresh(self, session_id: str, generation: int) -> None:
        """Read, sign, then advance the session and insert its event in one transaction."""
        self._run("session.get", id=session_id)
        self.encode()
        self._connection.execute("BEGIN IMMEDIATE")
        self._run("change.head")
        row = self._row | {"id": session_id, "generation": generation, "now": self._now}
        if not self._run("session.advance", **row):
            raise RuntimeError("the raw refresh changed nothing")
        self._append(session_id)
        self._connection.execute("COMMIT")

    def revoke(self, session_id: str) -> None:
        """End the session and insert its event in one transaction."""
        self._connection.execute("BEGIN IMMEDIATE")
        self._run("change.head")
        ended = self._run(
            "session.end_one", id=session_id, now=self._now, cause="revoked", reason=None, actor="host"
        )
        if not ended:
            raise RuntimeError("the raw revoke changed nothing")
        self._run("session.has_children", id=session_id)
        self._append(session_id)
        self._connection.execute("COMMIT")

    def _append(self, session_id: str) -> None:
        self._run("event.insert", **self._event | {"seq": next(self._seq), "session_id": session_id})

    def _run(self, name: str, /, **params: Any) -> list[Any]:
        statement = self._catalog[name]
        return self._connection.execute(statement.sql, statement.bind(params)).fetchall()


def _first(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    cursor = connection.execute(f"SELECT * FROM {table} LIMIT 1")
    return dict(zip((each[0] for each in cursor.description), cursor.fetchone(), strict=True))
