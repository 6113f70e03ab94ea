"""Bring a schema of a PostgreSQL database up to date, in one transaction under the write lock."""

from __future__ import annotations

from clawguard.errors import ConfigError
from clawguard.store.catalog import Catalog, Statement
from clawguard.store.migrate import Migration, steps_beyond
from clawguard.store.postgres.connections import Connection, fetch

__all__ = ["migrate"]


def migrate(
    connection: Connection,
    schema: str,
    steps: tuple[Migration, ...],
    *,
    catalog: Catalog,
    create: bool,
    now: int,
    upgrades: bool = True,
) -> None:
    """Apply what is missing, all of it or nothing; whoever comes at the same moment waits.

    Raises as `steps_beyond` does, and ConfigError for a schema that is not there and may not be made.
    """
    connection.silence = None
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        fetch(connection, catalog["write.lock"], {})
        missing = _missing(connection, schema, steps, catalog=catalog, create=create, upgrades=upgrades)
        for step in missing:
            connection.execute(step.text, prepare=False)
            values = {"number": step.number, "name": step.name, "digest": step.digest, "now": now}
            _run(connection, catalog["migration.add"], values)
        if missing:
            _run(connection, catalog["meta.set_schema"], {"schema_version": missing[-1].number})
    connection.silence = Connection.silence


def _missing(
    connection: Connection,
    schema: str,
    steps: tuple[Migration, ...],
    *,
    catalog: Catalog,
    create: bool,
    upgrades: bool,
) -> tuple[Migration, ...]:
    [(has_ledger, has_schema)] = fetch(connection, catalog["schema.find"], {"schema": schema})
    if has_ledger:
        found = [(number, digest) for number, digest in fetch(connection, catalog["migration.list"], {})]
        return steps_beyond(found[-1][0] if found else 0, found, steps, upgrades=upgrades)
    if not create:
        raise ConfigError(
            f"there is nothing of clawguard's in the schema {schema}",
            hint="open it once with SessionManager.open()",
        )
    if not has_schema:
        connection.execute(f"CREATE SCHEMA {schema}")
    return steps


def _run(connection: Connection, statement: Statement, params: dict[str, object]) -> None:
    connection.execute(statement.sql, statement.bind(params), prepare=False)
