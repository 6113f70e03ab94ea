"""The store on PostgreSQL: what a URL says, who waits for whom, what is told of a fault, and recovery."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from clawguard import (
    ClawguardError,
    ConfigError,
    InvalidArgument,
    OutcomeUnknown,
    SessionManager,
    StoreBusy,
    StoreUnavailable,
    Verifier,
)
from clawguard.clock import SystemClock
from clawguard.store import is_there, open_store
from clawguard.store.postgres import PostgresStore, connections
from clawguard.store.postgres import store as store_module
from tests.openers import KEK, open_manager, raw, rows
from tests.schemas import schema
from tests.servers import postgres_url, unique

PASSWORD = os.urandom(8).hex()


@pytest.fixture
def url() -> Iterator[str]:
    with schema() as made:
        yield made


def store_of(manager: SessionManager) -> PostgresStore:
    store = manager._parts.store
    assert isinstance(store, PostgresStore)
    return store


@contextmanager
def elsewhere(url: str, *statements: str) -> Iterator[Any]:
    """Leave a transaction of somebody else's open for a block."""
    with raw(url) as server:
        server.execute("BEGIN")
        for statement in statements:
            server.execute(statement)
        yield server
        server.execute("ROLLBACK")


def cut_off(manager: SessionManager) -> None:
    """Have the server end every connection of a manager's."""
    store = store_of(manager)
    living = [*store._readers.living(), *store._validators.living()]
    living += [] if store._writer is None else [store._writer]
    pids = [each.info.backend_pid for each in living if not each.closed]
    with psycopg.connect(postgres_url(), autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) AS pid", (pids,))


def bump(manager: SessionManager, meanwhile: Callable[[], object], *, once_more: bool = False) -> None:
    """Write, and have something happen before the commit."""
    with store_of(manager).transaction(durable=True) as tx:
        tx.run("meta.bump")
        meanwhile()
        if once_more:
            tx.run("meta.bump")


# what a URL says


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h/d?nonsense=hunter2",
        "postgresql://u:hunter2%zz@h/d",
        "postgresql://u:hunter2@h:port/d",
        "postgresql://u:hunter2@h/d?schema=hunter2-x",
        "postgresql://u:hunter2@h/d?schema=pg_hunter2",
        "postgresql://u:hunter2@h/d?schema=",
        "postgres://u:hunter2@[::1/d",
    ],
)
def test_a_url_that_will_not_do_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        SessionManager.open(url, kek=KEK)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value, chain=False))
    assert caught.value.argument == "url"


@pytest.mark.parametrize(
    "where", ["127.0.0.1:1/test", "127.0.0.1:5432/no-such-database", "no-such-host.invalid/x"]
)
def test_a_server_that_cannot_be_reached_is_told_without_its_password(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(StoreUnavailable, match="cannot be reached") as caught, caplog.at_level(logging.DEBUG):
        SessionManager.open(f"postgresql://postgres:{PASSWORD}@{where}", kek=KEK)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(caught.value)
    assert PASSWORD not in shown + repr(caught.value.__context__)


def test_nothing_shows_the_password_of_a_store_that_is_open(url: str) -> None:
    secret = url.replace("postgres@", "postgres:hunter2@")
    with open_manager(secret) as manager:
        store = store_of(manager)
        store.read("meta.get")
        shown = [
            repr(each) for each in (manager, store, store._address, store._writer, *store._readers.living())
        ]
        assert "hunter2" not in "".join(shown)


def test_without_psycopg_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("clawguard.store.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(ConfigError, match=r"pip install 'clawguard-sessions\[postgres\]'"):
        SessionManager.open("postgresql://localhost/x")


def test_a_key_encryption_key_is_asked_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAWGUARD_KEK", raising=False)
    with pytest.raises(ConfigError, match=r"no key-encryption key.*kek="):
        open_manager(url, kek=None)
    assert rows(url, "SELECT count(*) FROM meta") == [(0,)]


def test_schemas_of_one_database_have_nothing_to_do_with_each_other(url: str) -> None:
    with schema() as second, open_manager(url) as one, open_manager(second) as other:
        made = one.create("a", scopes="x")
        assert one.issuer != other.issuer
        assert (one.active_count(), other.active_count()) == (1, 0)
        with store_of(one).transaction(durable=True):
            other.create("b", scopes="x")  # they do not wait for each other either
        assert one.validate(made.token)


def test_a_verifier_makes_nothing() -> None:
    nowhere = f"{postgres_url()}?schema=nothing_is_here"
    with pytest.raises(ConfigError, match="nothing of clawguard's in the schema nothing_is_here"):
        Verifier.open(nowhere)
    with psycopg.connect(postgres_url()) as server:
        assert server.execute("SELECT to_regnamespace('nothing_is_here')").fetchone() == (None,)


def test_a_server_that_only_reads_is_refused(url: str) -> None:
    open_manager(url).close()
    with pytest.raises(StoreUnavailable, match="only reads"):
        open_manager(f"{url}&options=-c%20default_transaction_read_only%3Don")


def test_a_server_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(connections, "_FLOOR", 990_000)
    with pytest.raises(ConfigError, match="too old"):
        open_manager(url)


@pytest.fixture
def role() -> Iterator[str]:
    """Make a role that may log in and nothing else."""
    name = unique("poor").replace("-", "_")
    with psycopg.connect(postgres_url(), autocommit=True) as server:
        server.execute(f"CREATE ROLE {name} LOGIN")
        try:
            yield name
        finally:
            server.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("granted", ["", "GRANT USAGE ON SCHEMA {schema} TO {role}"])
def test_a_role_that_may_not_is_told_so(url: str, role: str, granted: str) -> None:
    open_manager(url).close()
    with raw(url) as server:
        server.execute(granted.format(schema=url.rpartition("=")[2], role=role) or "SELECT 1")
    theirs = url.replace("postgres@", f"{role}@")
    calls = (lambda: open_manager(theirs), lambda: Verifier.open(theirs), lambda: is_there(theirs))
    for call in calls:
        with pytest.raises(StoreUnavailable, match="role may not"):
            call()


def test_a_url_may_carry_what_libpq_knows(url: str) -> None:
    with open_manager(f"{url}&application_name=mine&connect_timeout=3") as manager:
        [(name,)] = store_of(manager)._open_writer().execute("SHOW application_name").fetchall()
        assert name == "mine"


# who waits for whom


def test_who_waits_too_long_for_the_write_lock_is_told_and_nothing_happened(url: str) -> None:
    with open_manager(url) as holder, open_manager(url, lock_timeout=0.1) as manager:
        made = manager.create("a", scopes="x")
        with store_of(holder).transaction(durable=True), pytest.raises(StoreBusy):
            manager.revoke(made)
        assert manager.validate(made.token)
        assert manager.revoke(made)


def test_a_thread_of_the_same_process_waits_no_longer_either(url: str) -> None:
    with open_manager(url, lock_timeout=0.1) as manager:
        told: list[BaseException] = []

        def write() -> None:
            try:
                manager.create("a", scopes="x")
            except ClawguardError as error:
                told.append(error)

        with store_of(manager).transaction(durable=False):
            thread = threading.Thread(target=write)
            thread.start()
            thread.join(60)
        assert [type(each) for each in told] == [StoreBusy]
        assert manager.create("a", scopes="x")


def test_a_write_within_a_write_is_told_at_once(url: str) -> None:
    with (
        open_manager(url, lock_timeout=60) as manager,
        store_of(manager).transaction(durable=True),
        pytest.raises(StoreBusy, match="in the middle of a write"),
    ):
        manager.create("a", scopes="x")


def test_a_sweep_passes_over_what_somebody_holds(url: str) -> None:
    with open_manager(url, lock_timeout=0.2) as manager:
        made = [manager.create("a", scopes="x", ttl=5) for _ in range(3)]
        manager._parts.clock.advance(10)  # type: ignore[attr-defined]
        with elsewhere(url, f"SELECT 1 FROM sessions WHERE id = '{made[1].id}' FOR UPDATE"):
            assert manager.prune_expired() == 2
        assert manager.prune_expired() == 1


def test_a_revoke_that_meets_a_row_somebody_holds_gives_up(url: str) -> None:
    with open_manager(url, lock_timeout=0.2) as manager:
        made = manager.create("a", scopes="x")
        held = elsewhere(url, f"SELECT 1 FROM sessions WHERE id = '{made.id}' FOR UPDATE")
        with held, pytest.raises(StoreBusy):
            manager.revoke(made)
        assert manager.revoke(made)


def test_a_read_that_waits_too_long_denies(url: str) -> None:
    with open_manager(url, lock_timeout=0.2) as manager:
        made = manager.create("a", scopes="x")
        with elsewhere(url, "LOCK TABLE sessions"), pytest.raises(StoreBusy):
            manager.validate(made.token)
        assert manager.validate(made.token)


def test_a_writer_that_was_stopped_fails_nobody_who_waits_as_long_as_usual(url: str) -> None:
    with open_manager(url) as stopped, open_manager(url) as other:
        # The other one waits until the server lets go of the stopped one's lock.
        made: list[object] = []
        with pytest.raises(StoreUnavailable):
            bump(stopped, lambda: made.append(other.create("a", scopes="x")))
        assert len(made) == 1
        before = rows(url, "SELECT revision FROM meta")
        assert stopped.create("b", scopes="x")
        assert rows(url, "SELECT revision FROM meta") == before == [(1,)]


def test_threads_write_and_their_events_are_heard_in_the_logs_order(url: str) -> None:
    heard: list[str] = []
    with open_manager(url, lock_timeout=60) as manager:
        manager.on("session.*", lambda event: heard.append(event.id))

        def work() -> None:
            for _ in range(10):
                manager.revoke(manager.create("a", scopes="x"))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        manager.events.flush(10)
        assert manager.events.verify().count == 120
        assert heard == [each.id for each in manager.events.read(limit=1_000)]


def test_many_that_open_at_once_found_one_database() -> None:
    url = f"{postgres_url()}?schema=test_{os.urandom(6).hex()}"
    issuers: list[str] = []

    def work() -> None:
        with open_manager(url, lock_timeout=60) as manager:
            issuers.append(manager.issuer)

    threads = [threading.Thread(target=work) for _ in range(6)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert len(issuers) == 6
        assert len(set(issuers)) == 1
        assert rows(url, "SELECT count(*) FROM log_keys") == [(1,)]
    finally:
        with psycopg.connect(postgres_url(), autocommit=True) as server:
            server.execute(f"DROP SCHEMA {url.rpartition('=')[2]} CASCADE")


# what is told of a fault, and recovery


def test_connections_that_were_cut_off_are_opened_anew(url: str) -> None:
    with open_manager(url) as manager:
        made = manager.create("a", scopes="x")
        assert manager.validate(made.token)
        cut_off(manager)
        assert manager.validate(made.token)
        cut_off(manager)
        assert manager.revoke(made)
        cut_off(manager)
        assert manager.events.verify().count == 2


def test_a_change_that_is_cut_off_changed_nothing(url: str) -> None:
    with open_manager(url) as manager:
        with pytest.raises(StoreUnavailable) as caught:
            bump(manager, lambda: cut_off(manager), once_more=True)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert rows(url, "SELECT revision FROM meta") == [(1,)]
        assert manager.create("a", scopes="x")


def test_a_commit_that_is_not_answered_has_an_unknown_outcome(url: str) -> None:
    with open_manager(url) as manager:
        with pytest.raises(OutcomeUnknown, match="repeat the call"):
            bump(manager, lambda: cut_off(manager))
        assert manager.create("a", scopes="x")


def test_a_change_that_rested_for_too_long_is_known_to_have_changed_nothing(url: str) -> None:
    with open_manager(url) as manager:

        def rest() -> None:
            writer: Any = manager._parts.store
            writer._writer.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
            time.sleep(0.5)

        with pytest.raises(StoreUnavailable) as caught:
            bump(manager, rest)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert rows(url, "SELECT revision FROM meta") == [(1,)]
        assert manager.create("a", scopes="x")


_REFUSING = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$"
_THEN = "FOR EACH ROW EXECUTE FUNCTION refuse()"
_LAST = f"DEFERRABLE INITIALLY DEFERRED {_THEN}"
_REFUSED = {
    "the event": (f"CREATE TRIGGER no BEFORE INSERT ON unlinked_events {_THEN}", StoreUnavailable),
    "the commit": (f"CREATE CONSTRAINT TRIGGER no AFTER INSERT ON unlinked_events {_LAST}", OutcomeUnknown),
}


@pytest.mark.parametrize("what", _REFUSED)
def test_what_is_sent_with_the_commit_and_refused_undoes_the_change(url: str, what: str) -> None:
    trigger, told = _REFUSED[what]
    with open_manager(url) as manager:
        made = manager.create("a", scopes="x")
        with raw(url) as server:
            server.execute(_REFUSING)
            server.execute(trigger)
        for change in (lambda: manager.create("b", scopes="x"), lambda: manager.revoke(made)):
            with pytest.raises(StoreUnavailable) as caught:
                change()
            assert type(caught.value) is told
        with raw(url) as server:
            server.execute("DROP FUNCTION refuse CASCADE")
        assert manager.validate(made.token)
        assert rows(url, "SELECT id FROM sessions") == [(made.id,)]
        assert manager.revoke(made)
        assert manager.events.verify().count == 2


def test_a_server_that_says_nothing_is_given_up(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_BEYOND_LOCKS", -4.7)  # sooner than the server gives it up
    with open_manager(url) as manager:
        made = manager.create("a", scopes="x")
        with elsewhere(url, "LOCK TABLE sessions"), pytest.raises(StoreUnavailable) as caught:
            manager.validate(made.token)
        assert not isinstance(caught.value, StoreBusy)
        assert manager.validate(made.token)


def test_a_store_that_is_closed_says_so_and_leaves_no_connection(url: str) -> None:
    store = open_store(f"{url}&application_name=closing-{os.getpid()}", clock=SystemClock())
    store.read("meta.get")
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        store.read("meta.get")
    with pytest.raises(StoreUnavailable, match="closed"):
        store.transaction(durable=True)
    deadline = time.monotonic() + 10
    query = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'closing-{os.getpid()}'"
    while rows(url, query) != [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_durable_and_what_is_not_is_said_to_the_server(url: str) -> None:
    with open_manager(url) as manager:
        for durable, level in ((True, "on"), (False, "local")):
            with store_of(manager).transaction(durable=durable) as tx:
                told = tx._connection.execute("SHOW synchronous_commit").fetchall()  # type: ignore[attr-defined]
                assert told == [(level,)]


def test_what_a_change_begins_with_is_as_it_stands_each_time_it_is_asked_for(url: str) -> None:
    with open_manager(url) as manager, store_of(manager).transaction(durable=True) as tx:
        [(_, revision, *_)] = tx.run("change.head")
        tx.run("meta.bump")
        assert tx.run("change.head")[0][1] == revision + 1
    with open_manager(url) as manager, store_of(manager).transaction(durable=True) as tx:
        tx.run("meta.bump")
        assert tx.run("change.head")[0][1] == revision + 2
