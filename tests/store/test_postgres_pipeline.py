"""Steps in one round trip: all of them or none, prepared once, and each failure told as its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import psycopg
import pytest

from clawguard import OutcomeUnknown, PolicyDenied, SessionManager, StoreUnavailable
from clawguard.store.catalog import Catalog
from clawguard.store.postgres import PostgresStore
from clawguard.store.postgres.connections import Connection, is_idle, read_url
from clawguard.store.postgres.pipeline import Pipeline, Step, failure_of
from tests.openers import open_manager
from tests.schemas import schema
from tests.servers import PATIENCE, postgres_url

INSERT = "INSERT INTO pairs (number, text) VALUES (%s, %s)"
GIVE = Catalog("postgres")["step.or_fail"].sql.replace(
    "{statement}", "INSERT INTO pairs (number, text) SELECT %s, %s WHERE %s <> 'unwanted' RETURNING number"
)
COMMIT = Step("COMMIT")


@pytest.fixture
def connection() -> Iterator[Connection]:
    with closing(read_url(postgres_url(), lock_timeout=5).connect(Catalog("postgres"))) as made:
        made.execute("CREATE TEMPORARY TABLE pairs (number BIGINT PRIMARY KEY, text TEXT)")
        yield made


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with schema() as url, open_manager(url) as made:
        yield made


def store_of(manager: SessionManager) -> PostgresStore:
    store = manager._parts.store
    assert isinstance(store, PostgresStore)
    return store


def pairs(connection: Connection) -> list[Any]:
    return connection.execute("SELECT number, text FROM pairs ORDER BY number").fetchall()


def roll_back(connection: Connection) -> None:
    connection.execute("ROLLBACK", prepare=False)


def prepared(connection: Connection) -> int:
    names = connection.execute("SELECT name FROM pg_prepared_statements", prepare=False).fetchall()
    return sum(name.startswith("clawguard") for (name,) in names)


def test_steps_are_done_in_their_order_and_prepared_once(connection: Connection) -> None:
    for number in range(0, 10, 2):
        connection.execute("BEGIN")
        told = connection.send([Step(INSERT, [number, "é"]), Step(INSERT, [number + 1, None]), COMMIT])
        assert [each.command_status for each in told] == [b"INSERT 0 1", b"INSERT 0 1", b"COMMIT"]
    assert pairs(connection) == [(n, None if n % 2 else "é") for n in range(10)]
    assert prepared(connection) == 1
    assert is_idle(connection)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_step_that_fails_is_the_last_and_nothing_is_committed(connection: Connection, at: int) -> None:
    connection.execute("INSERT INTO pairs VALUES (7, 'there')")
    steps = [Step(INSERT, [number, "new"]) for number in range(3)]
    steps[at] = Step(INSERT, [7, "twice"])
    connection.execute("BEGIN")
    told = connection.send([*steps, COMMIT])
    failure = failure_of(told[-1], steps[at])
    assert (len(told), isinstance(failure, psycopg.errors.UniqueViolation)) == (at + 1, True)
    roll_back(connection)
    assert pairs(connection) == [(7, "there")]


def test_a_step_that_must_return_a_row_fails_as_it_says(connection: Connection) -> None:
    refusal = PolicyDenied("a pair", "it is unwanted")
    wanted, unwanted = (Step(GIVE, [n, "x", word], refusal) for n, word in ((1, "wanted"), (2, "unwanted")))
    connection.execute("BEGIN")
    told = connection.send([wanted, unwanted, COMMIT])
    assert (len(told), failure_of(told[0], wanted), failure_of(told[1], unwanted)) == (2, None, refusal)
    roll_back(connection)
    assert pairs(connection) == []


def test_what_a_rollback_has_the_server_forget_is_prepared_anew(connection: Connection) -> None:
    for _ in range(3):
        connection.execute("SELECT number FROM pairs WHERE number = %s", [1])  # psycopg prepares this one
    for number in range(4):
        connection.execute("BEGIN")
        connection.send([Step(INSERT, [number, "new"])])
        roll_back(connection)
        assert is_idle(connection)
    connection.execute("BEGIN")
    told = connection.send([Step(INSERT, [9, "new"]), COMMIT])
    assert told[-1].command_status == b"COMMIT"
    assert pairs(connection) == [(9, "new")]


def test_what_is_prepared_does_not_grow_with_what_is_rolled_back(connection: Connection) -> None:
    for number in range(20):
        connection.execute("BEGIN")
        connection.send([Step(INSERT, [number, "new"])])
        roll_back(connection)
    assert prepared(connection) == 1


def test_what_is_prepared_before_a_step_that_fails_is_kept(connection: Connection) -> None:
    connection.execute("INSERT INTO pairs VALUES (7, 'there')")
    for _ in range(20):
        connection.execute("BEGIN")
        told = connection.send([Step(INSERT, [7, "twice"]), Step(f"{INSERT} -- behind", [8, "new"]), COMMIT])
        assert len(told) == 1
        roll_back(connection)
    assert prepared(connection) == 1


def test_what_a_drop_has_the_server_forget_is_prepared_anew(connection: Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE others (number BIGINT)")
    for _ in range(4):
        connection.execute("SELECT number FROM pairs WHERE number = %s", [1])  # psycopg prepares this one
    connection.execute("BEGIN")
    connection.send([Step(INSERT, [1, "before"])])
    connection.execute("DROP TABLE others")
    told = connection.send([Step(INSERT, [2, "behind"]), COMMIT])
    assert told[-1].command_status == b"COMMIT"


@pytest.mark.parametrize("away", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_what_somebody_else_has_the_server_forget_fails_once(connection: Connection, away: str) -> None:
    step = Step("SELECT %s", [1])
    connection.send([step])
    connection.pgconn.exec_(away.encode())
    [told] = connection.send([step, COMMIT])
    assert isinstance(failure_of(told, step), psycopg.errors.InvalidSqlStatementName)
    [told] = connection.send([step])
    assert (failure_of(told, step), told.get_value(0, 0)) == (None, b"1")


def test_an_interrupted_pipeline_is_neither_gone_on_with_nor_taken_for_idle(connection: Connection) -> None:
    assert is_idle(connection)
    connection.pgconn.enter_pipeline_mode()
    assert not is_idle(connection)
    with pytest.raises(psycopg.InterfaceError):
        connection.send([COMMIT])


def test_what_fails_at_the_very_end_is_the_last_steps_failure(connection: Connection) -> None:
    connection.execute("CREATE TEMPORARY TABLE late (number BIGINT UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    add = Step("INSERT INTO late VALUES (1), (1)")
    [told] = connection.send([add])
    assert isinstance(failure_of(told, add), psycopg.errors.UniqueViolation)
    assert is_idle(connection)
    [told] = connection.send([Step("INSERT INTO late VALUES (2)")])
    assert told.command_status == b"INSERT 0 1"


def test_a_value_that_will_not_do_leaves_the_connection_in_its_transaction(connection: Connection) -> None:
    connection.execute("BEGIN")
    with pytest.raises(psycopg.DataError):
        connection.send([Step(INSERT, [1, "good"]), Step(INSERT, [2, "a\0b"]), COMMIT])
    told = connection.send([Step(INSERT, [3, "after"]), COMMIT])
    assert told[-1].command_status == b"COMMIT"
    assert pairs(connection) == [(3, "after")]


def test_what_follows_a_commit_fails_alone(connection: Connection) -> None:
    connection.execute("BEGIN")
    told = connection.send([Step(INSERT, [1, "kept"]), COMMIT, Step("SELECT 1 / 0")])
    assert told[1].command_status == b"COMMIT"
    assert isinstance(failure_of(told[2], COMMIT), psycopg.errors.DivisionByZero)
    assert pairs(connection) == [(1, "kept")]


def test_why_the_server_went_away_before_the_commit_is_told(connection: Connection) -> None:
    connection.execute("SET idle_in_transaction_session_timeout = '50ms'")
    connection.execute("BEGIN")
    time.sleep(0.5)
    step = Step(INSERT, [1, "lost"])
    [told] = connection.send([step, COMMIT])
    failure = failure_of(told, step)
    assert isinstance(failure, psycopg.errors.IdleInTransactionSessionTimeout)
    assert not is_idle(connection)


def test_a_percent_sign_is_one(connection: Connection) -> None:
    connection.execute("BEGIN")
    connection.send([Step("INSERT INTO pairs SELECT %s, 'a%%b' WHERE 'ab' LIKE 'a%%'", [1]), COMMIT])
    assert pairs(connection) == [(1, "a%b")]


def test_beyond_so_many_statements_none_is_prepared_any_more(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clawguard.store.postgres.pipeline._MOST", 2)
    for number in range(5):
        connection.execute("BEGIN")
        told = connection.send([Step(f"{INSERT} -- {number}", [number, "new"]), COMMIT])
        assert told[-1].command_status == b"COMMIT"
    assert prepared(connection) == 2


LARGE = Step(INSERT, [2, "x" * (32 << 20)])


@pytest.mark.parametrize("before", [[], [Step(INSERT, [1, "small"])]])
def test_who_stands_still_in_the_middle_of_a_large_value_is_given_up(
    connection: Connection, before: list[Step]
) -> None:
    connection.execute("SET idle_in_transaction_session_timeout = '500ms'")
    connection.execute("BEGIN")
    sending = Pipeline(connection.pgconn, connection).sent([*before, LARGE, COMMIT])
    next(sending)
    with psycopg.connect(postgres_url(), autocommit=True) as server:
        alive, until = "SELECT 1 FROM pg_stat_activity WHERE pid = %s", time.monotonic() + PATIENCE
        while server.execute(alive, [connection.info.backend_pid]).fetchone():
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_no_step_is_done_behind_a_large_one_that_fails(connection: Connection, at: int) -> None:
    connection.execute("INSERT INTO pairs VALUES (7, 'there')")
    steps = [Step(INSERT, [number, "x" * 10_000]) for number in range(3)]
    steps[at] = Step(INSERT, [7, "y" * 10_000])
    for _ in range(2):
        connection.execute("BEGIN")
        told = connection.send([*steps, COMMIT])
        failure = failure_of(told[-1], steps[at])
        assert (len(told), isinstance(failure, psycopg.errors.UniqueViolation)) == (at + 1, True)
        roll_back(connection)
        assert is_idle(connection)
    assert pairs(connection) == [(7, "there")]


# a write's last statements


def test_a_refusal_told_with_the_commit_keeps_the_connection(manager: SessionManager) -> None:
    manager.agents.disable("bad")
    writer = store_of(manager)._writer
    with pytest.raises(PolicyDenied, match="the agent bad is disabled"):
        manager.create("bad", scopes="x")
    assert store_of(manager)._writer is writer
    assert manager.create("good", scopes="x")


def test_a_value_that_will_not_do_is_known_to_have_changed_nothing(manager: SessionManager) -> None:
    refusal, values = PolicyDenied("a session", "no"), {"workspace_id": "a\0b", "request_id": "x"}
    with pytest.raises(StoreUnavailable) as caught, store_of(manager).transaction(durable=True) as tx:
        tx.run_or_fail(refusal, "session.by_request", **values)
    assert not isinstance(caught.value, OutcomeUnknown)


def test_a_write_goes_on_with_nothing_that_was_interrupted_in_a_pipeline(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object, gen: Iterator[Any], *__: object) -> None:
        next(gen)
        raise InterruptedError

    store = store_of(manager)

    def write() -> None:
        with store.transaction(durable=True) as tx:
            tx.run_or_fail(PolicyDenied("a change", "no"), "meta.bump")
            with monkeypatch.context() as patched, suppress(InterruptedError):
                patched.setattr(Connection, "wait", interrupted)
                tx.run("meta.get")

    with pytest.raises(StoreUnavailable) as caught:
        write()
    assert not isinstance(caught.value, OutcomeUnknown)
    assert manager.create("good", scopes="x")  # it waits for what the server still has of the write
    assert store.read("meta.get")[0][3] == 1
