"""Schemas of a PostgreSQL database for tests: each test has one to itself, and hands it on empty."""

from __future__ import annotations

import atexit
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from clawguard.clock import SystemClock
from clawguard.store import open_store
from tests.servers import postgres_url

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %s AND tablename <> ALL(%s)"
_KEPT = ["migrations", "entry_index"]
_SHAPE = """
SELECT (SELECT count(*) FROM information_schema.columns WHERE table_schema = %(schema)s),
    (SELECT count(*) FROM pg_indexes WHERE schemaname = %(schema)s),
    (SELECT count(*) FROM {schema}.migrations)
"""


class Schemas:
    """Make schemas with all migrations, lend them out, and empty them: making one takes half a second."""

    def __init__(self) -> None:
        self._free: list[str] = []
        self._made: list[str] = []
        self._connection: psycopg.Connection | None = None
        self._shape: object = None

    def take(self) -> str:
        """Return the URL of a schema that nothing has been founded in."""
        schema = self._free.pop() if self._free else self._make()
        return f"{postgres_url()}?schema={schema}"

    def give(self, url: str) -> None:
        """Take a schema back: one that was damaged is thrown away."""
        schema = url.rpartition("=")[2]
        if self._shape_of(schema) == self._shape:
            self._empty(schema)
            self._free.append(schema)

    def drop_all(self) -> None:
        """Remove every schema that was made."""
        if self._connection is not None:
            for schema in self._made:
                self._connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
            self._connection.close()

    def _make(self) -> str:
        schema = f"test_{secrets.token_hex(6)}"
        if self._connection is None:
            self._connection = psycopg.connect(postgres_url(), autocommit=True)
            self._connection.execute("SET synchronous_commit = off")
            self._connection.execute("SET client_min_messages = warning")
            self._connection.execute("SET lock_timeout = '20s'")
            atexit.register(self.drop_all)
        self._made.append(schema)
        open_store(f"{postgres_url()}?schema={schema}", clock=SystemClock()).close()
        self._shape = self._shape_of(schema)
        return schema

    def _shape_of(self, schema: str) -> object:
        assert self._connection is not None
        try:
            return self._connection.execute(_SHAPE.format(schema=schema), {"schema": schema}).fetchone()
        except psycopg.errors.UndefinedTable:
            return None

    def _empty(self, schema: str) -> None:
        assert self._connection is not None
        tables = [name for (name,) in self._connection.execute(_TABLES, (schema, _KEPT))]
        statements = [f"DELETE FROM {schema}.{name}" for name in tables]
        statements += [f"UPDATE {schema}.entry_index SET until = 0"]
        statements += [f"ALTER TABLE {schema}.{name} ALTER {column} RESTART" for name, column in
                       (("entries", "id"), ("turns", "number"))]  # fmt: skip
        self._connection.execute("; ".join(statements))


schemas = Schemas()


@contextmanager
def schema() -> Iterator[str]:
    """Lend the URL of a schema for a block."""
    url = schemas.take()
    try:
        yield url
    finally:
        schemas.give(url)
