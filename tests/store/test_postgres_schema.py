"""The schema on PostgreSQL: every statement fits it, it holds what SQLite's does, its ledger is minded."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import psycopg
import pytest

from clawguard import ConfigError, Verifier
from clawguard.errors import StoreUpgraded
from clawguard.events.log import SCHEMA_VERSION
from clawguard.store.catalog import Catalog, Statement
from clawguard.store.migrate import migrations_of
from tests.openers import open_manager, raw, rows
from tests.schemas import schema
from tests.store.test_catalog import FITTING

CATALOG = Catalog("postgres")
STEPS = migrations_of("postgres")
SEVERAL = {f"write.begin{how}{kind}" for how in ("", "_beside") for kind in ("", "_durable")}  # in one
UNLINKED = {"event.insert_unlinked", "event.unlinked", "event.link", "event.lag"}
NAMES = sorted(CATALOG._texts["name"])
FILTERED = [name for name in NAMES if "{filters}" in CATALOG._texts["name"][name]]
COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = current_schema() ORDER BY 1, 2
"""
MANY_SESSIONS = """
INSERT INTO sessions (id, version, generation, agent_id, subject, workspace_id, audience, scopes, actors,
    parent_id, root_id, depth, delegable, metadata, state, kid, jti, created_at, issued_at, token_expires_at,
    ttl, expires_at, absolute_expires_at, last_activity, ended_at, cause)
SELECT n, 1, 1, 'a', 's', 'w', 'x', '', '[]', CASE WHEN n % 10 > 0 THEN n - n % 10 END, n - n % 10,
    CASE WHEN n % 10 > 0 THEN 1 ELSE 0 END, 1, '{}', 'idle', 'k', 'j', n, n, n + 5, 5, n + 5, n + 5, n,
    CASE WHEN n % 3 = 0 THEN n END, CASE WHEN n % 3 = 0 THEN 'revoked' END
FROM generate_series(1, 3000) AS n
"""
NUMBERS = {"now", "limit", "before", "after", "until", "seen"}
TYPED = {"now", "tolerance", "seen", "limit", "at", "seq", "number", "generation", "count", "length"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with schema() as made:
        open_manager(made).close()
        yield made


@pytest.fixture(scope="module")
def server(url: str) -> Iterator[psycopg.Connection]:
    address, _, name = url.partition("?schema=")
    with psycopg.connect(address, autocommit=True, options=f"-c search_path={name}") as connection:
        connection.execute(MANY_SESSIONS)
        connection.execute("ANALYZE sessions")
        yield connection
        connection.execute("DELETE FROM sessions")


WRAPPER = "step.or_fail"  # another statement stands in it


def numbered(statement: Statement) -> str:
    places = iter(range(1, 1 + len(statement.params)))
    return re.sub(r"%s", lambda _: f"${next(places)}", statement.sql).replace("%%", "%")


def prepare(server: psycopg.Connection, statement: Statement) -> None:
    types = ["bigint" if each in TYPED else "unknown" for each in statement.params]
    listed = f"({', '.join(types)})" if types else ""
    server.execute(f"PREPARE tried {listed} AS {numbered(statement)}".encode())
    server.execute("DEALLOCATE tried")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {*FILTERED, *SEVERAL, WRAPPER}])
def test_every_statement_prepares(server: psycopg.Connection, name: str) -> None:
    assert "{" not in CATALOG[name].sql
    prepare(server, CATALOG[name])


def test_a_statement_that_has_to_return_a_row_prepares(server: psycopg.Connection) -> None:
    inner = CATALOG["session.insert"]
    prepare(server, replace(inner, sql=CATALOG[WRAPPER].sql.replace("{statement}", inner.sql)))


@pytest.mark.parametrize("name", FILTERED)
def test_every_pair_of_filters_prepares(server: psycopg.Connection, name: str) -> None:
    fitting = FITTING[name]
    for filters in [(), *combinations(fitting, 1), *combinations(fitting, 2), tuple(fitting)]:
        prepare(server, CATALOG.compose(name, filters))


def test_both_dialects_know_the_same_statements() -> None:
    of_sqlite = {"words.possible", "words.absent", "words.make"}
    own = {
        "connection.check",
        "connection.set_up",
        "connection.whose",
        "hint.send",
        "schema.find",
        "step.or_fail",
        "write.lock",
        *SEVERAL,
        *UNLINKED,
    }
    other = Catalog("sqlite")
    assert set(NAMES) - own == set(other._texts["name"]) - of_sqlite
    assert set(CATALOG._texts["filter"]) == set(other._texts["filter"])
    for name in set(NAMES) - own - set(FILTERED) - {"words.insert"}:
        assert sorted(set(CATALOG[name].params)) == sorted(set(other[name].params)), name


def test_it_has_the_tables_and_columns_that_sqlite_has(url: str, tmp_path: Path) -> None:
    path = tmp_path / "data" / "clawguard.db"
    open_manager(path).close()
    with sqlite3.connect(path) as file:
        listed = (
            "SELECT t.name, c.name FROM pragma_table_list t JOIN pragma_table_xinfo(t.name) c ORDER BY 1, 2"
        )
        there = {each for each in file.execute(listed) if not each[0].startswith(("sqlite_", "entry_words"))}
    file.close()
    here = {each for each in rows(url, COLUMNS) if each[0] not in ("entry_words", "unlinked_events")}
    assert here == there


def test_its_version_is_everybodys(url: str) -> None:
    assert STEPS[-1].number == SCHEMA_VERSION == migrations_of("sqlite")[-1].number
    assert rows(url, "SELECT number, name, digest FROM migrations") == [
        (step.number, step.name, step.digest) for step in STEPS
    ]
    assert rows(url, "SELECT schema_version FROM meta") == [(SCHEMA_VERSION,)]


def test_a_log_of_any_length_is_read_without_workers_that_could_not(server: psycopg.Connection) -> None:
    with server.transaction(force_rollback=True):
        for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
            server.execute(f"SET LOCAL {setting} = 0".encode())
        counted = "SELECT count(*) FROM sessions WHERE as_json(metadata) IS NOT NULL"
        [(count,)] = server.execute(counted).fetchall()
    assert count >= 3_000


def test_closed_sets_are_checked(server: psycopg.Connection) -> None:
    for statement in (
        "UPDATE signing_keys SET state = 'lost'",
        "UPDATE signing_keys SET algorithm = 'none'",
        "INSERT INTO meta SELECT 2, schema_version, issuer, audience, 1, 0, 0, NULL, 0 FROM meta",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            server.execute(statement.encode())


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("session.any_due", "sessions_live_due"),
        ("session.claim_due", "sessions_live_due"),
        ("session.has_children", "sessions_parent"),
        ("session.by_key", "sessions_live_key"),
        ("session.by_request", "sessions_request"),
        ("session.running", "sessions_live_running"),
        ("session.get", "sessions_pkey"),
        ("validate.pulse", "sessions_pkey"),
        ("validate.standing", "sessions_pkey"),
        ("conversation.stale", "sessions_conversations"),
        ("entry.tail", "entries_pkey"),
        ("entry.page", "entries_pkey"),
        ("entry.stretch", "entries_id"),
        ("refresh.wipe", "refresh_tokens_sealed"),
        ("event.cut", "events_archived"),
    ],
)
def test_what_is_asked_often_is_read_by_an_index(server: psycopg.Connection, name: str, index: str) -> None:
    statement = CATALOG.compose(name, ()) if name in FILTERED else CATALOG[name]
    server.execute("SET enable_seqscan = off")
    plan = server.execute(f"EXPLAIN {statement.sql}".encode(), [_example(each) for each in statement.params])
    assert index in "\n".join(line for (line,) in plan.fetchall())


def test_words_are_found_by_their_index(server: psycopg.Connection) -> None:
    server.execute("SET enable_seqscan = off")
    plan = server.execute("EXPLAIN SELECT part FROM entry_words WHERE document @@ CAST('a' AS tsquery)")
    assert "entry_words_document" in "\n".join(line for (line,) in plan.fetchall())


def _example(param: str) -> Any:
    return 1 if param in NUMBERS else "x"


def test_a_newer_schema_and_a_ledger_that_does_not_fit_are_refused() -> None:
    with schema() as url:
        for number in (SCHEMA_VERSION + 1, 0):
            with raw(url) as inside:
                inside.execute(f"INSERT INTO migrations VALUES ({number}, 'x', 'x', 0)")
            for opener in (open_manager, Verifier.open):
                with pytest.raises(
                    StoreUpgraded if number else ConfigError, match=r"upgrade clawguard|ledger"
                ):
                    opener(url)
            with raw(url) as inside:
                inside.execute(f"DELETE FROM migrations WHERE number = {number}")
        open_manager(url).close()


def test_opening_again_applies_nothing(url: str) -> None:
    before = rows(url, "SELECT * FROM migrations"), rows(url, "SELECT * FROM meta")
    open_manager(url).close()
    assert (rows(url, "SELECT * FROM migrations"), rows(url, "SELECT * FROM meta")) == before


def test_a_step_that_fails_leaves_nothing_of_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from clawguard.errors import StoreUnavailable
    from clawguard.store.migrate import Migration
    from clawguard.store.postgres import store

    bad = Migration(
        SCHEMA_VERSION + 1, "bad", "CREATE TABLE more (x BIGINT);\nINSERT INTO missing VALUES (1);\n"
    )
    with schema() as url:
        monkeypatch.setattr(store, "migrations_of", lambda dialect: (*STEPS, bad))
        with pytest.raises(StoreUnavailable):
            open_manager(url)
        monkeypatch.undo()
        assert rows(url, "SELECT to_regclass('more')") == [(None,)]
        open_manager(url).close()
