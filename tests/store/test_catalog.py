"""The named SQL: every statement is found, filled and understood by the database."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest

from clawguard.store.catalog import Catalog, Statement
from clawguard.store.connections import connect
from tests.openers import open_manager

CATALOG = Catalog("sqlite")
NAMES = sorted(CATALOG._texts["name"])
FILTERED = [name for name in NAMES if "{filters}" in CATALOG._texts["name"][name]]
ENDS = ["agent_id", "issued_before", "key_id", "role", "subject", "walked_workspace_id", "workspace_id"]
OF_OTHERS = ("of_", "entry_", "below_activity")
OF_SESSIONS = sorted(each for each in CATALOG._texts["filter"] if not each.startswith(OF_OTHERS))
FITTING = {
    "session.page": OF_SESSIONS,
    "session.unended": ENDS,
    "session.count_hit": ENDS,
    "event.page": sorted(each for each in CATALOG._texts["filter"] if each.startswith("of_")),
    "conversation.page": [*OF_SESSIONS, "below_activity"],
    "words.search": sorted(each for each in CATALOG._texts["filter"] if each.startswith("entry_")),
}


def test_placeholders_become_question_marks_in_their_order() -> None:
    made = Statement.of("x", "SELECT :b, :a, :b, 'x'::text WHERE c = :a_b")
    assert made.sql == "SELECT ?, ?, ?, 'x'::text WHERE c = ?"
    assert made.params == ("b", "a", "b", "a_b")
    assert made.bind({"a": 1, "b": 2, "a_b": 3, "more": 4}) == [2, 1, 2, 3]
    with pytest.raises(KeyError):
        made.bind({"a": 1})


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(KeyError):
        CATALOG["session.unknown"]
    with pytest.raises(KeyError):
        CATALOG.compose("session.page", ("unknown",))


def test_a_composed_statement_is_made_once() -> None:
    assert CATALOG.compose("session.page", ("agent_id",)) is CATALOG.compose("session.page", ("agent_id",))
    assert "1 = 1" in CATALOG.compose("session.page", ()).sql


def test_each_name_stands_once_and_each_statement_says_what_it_is() -> None:
    folder = Path(__file__).resolve().parents[2] / "clawguard" / "store" / "sql"
    lines = [
        line
        for file in ("shared.sql", "sqlite.sql")
        for line in (folder / file).read_text("utf-8").splitlines()
    ]
    heads = [line for line in lines if line.startswith(("-- name: ", "-- filter: ", "-- fragment: "))]
    assert len(heads) == len(set(heads))
    assert set(FILTERED) == set(FITTING)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "data" / "clawguard.db"
    open_manager(path).close()
    return path


@pytest.mark.parametrize("name", [name for name in NAMES if name not in FILTERED])
def test_every_statement_prepares(path: Path, name: str) -> None:
    statement = CATALOG[name]
    assert "{" not in statement.sql
    connection = connect(path)
    connection.execute("EXPLAIN " + statement.sql, [None] * len(statement.params)).fetchall()
    connection.close()


@pytest.mark.parametrize("name", FILTERED)
def test_every_pair_of_filters_prepares(path: Path, name: str) -> None:
    connection = connect(path)
    for filters in [
        (),
        *combinations(FITTING[name], 1),
        *combinations(FITTING[name], 2),
        tuple(FITTING[name]),
    ]:
        statement = CATALOG.compose(name, filters)
        connection.execute("EXPLAIN " + statement.sql, [None] * len(statement.params)).fetchall()
    connection.close()


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("session.any_due", "sessions_live_due"),
        ("session.claim_due", "sessions_live_due"),
        ("session.has_children", "sessions_parent"),
        ("session.by_key", "sessions_live_key"),
        ("session.by_request", "sessions_request"),
        ("session.running", "sessions_live_running"),
        ("agent.page", "sessions_live_agent"),
        ("session.get", "sqlite_autoindex_sessions_1"),
        ("conversation.get", "sqlite_autoindex_sessions_1"),
        ("conversation.stale", "sessions_conversations"),
        ("entry.tail", "entries_session"),
        ("entry.page", "entries_session"),
        ("words.delete_all", "entries_session"),
    ],
)
def test_what_is_asked_often_is_read_by_an_index(path: Path, name: str, index: str) -> None:
    assert index in plan_of(path, CATALOG[name])


def test_a_page_of_conversations_is_read_in_its_order(path: Path) -> None:
    for filters in ((), ("below_activity",), ("agent_id", "below_activity")):
        plan = plan_of(path, CATALOG.compose("conversation.page", filters))
        assert "sessions_conversations" in plan
        assert "TEMP B-TREE" not in plan


def test_a_mass_end_finds_an_agents_sessions_by_index_and_walks_all_others_by_id(path: Path) -> None:
    of_agent = plan_of(path, CATALOG.compose("session.unended", ("workspace_id", "agent_id")))
    others = plan_of(path, CATALOG.compose("session.unended", ("walked_workspace_id", "subject")))
    assert "sessions_live_agent" in of_agent
    assert "sqlite_autoindex_sessions_1" in others
    assert "TEMP B-TREE" not in others


def plan_of(path: Path, statement: Statement) -> str:
    connection = connect(path)
    plan = connection.execute(
        "EXPLAIN QUERY PLAN " + statement.sql, [None] * len(statement.params)
    ).fetchall()
    connection.close()
    return "\n".join(row[3] for row in plan)
