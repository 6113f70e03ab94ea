"""Hints: what voids a token is heard of elsewhere without a look at the log, and nothing else is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from clawguard import AccessDenied, IssuedSession, SessionManager
from clawguard.store.catalog import Statement
from clawguard.store.postgres import PostgresStore
from tests.clocks import FakeClock
from tests.faults.lab import crew
from tests.openers import open_manager
from tests.schemas import schema
from tests.servers import PATIENCE, postgres_url

NEVER = 86_400.0  # a bound whose third no test waits for: whatever is heard of is heard of by a hint


@pytest.fixture
def url() -> Iterator[str]:
    with schema() as made:
        yield made


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


def follows(manager: SessionManager) -> bool:
    freshness = manager.freshness
    return freshness is not None and freshness.lease > 0


@contextmanager
def following(url: str, clock: FakeClock) -> Iterator[SessionManager]:
    """Open a manager that answers from memory and hears of what is done elsewhere by hints alone."""
    with open_manager(url, clock=clock, max_staleness=NEVER) as manager:
        until(lambda: follows(manager))
        yield manager


def refuses(manager: SessionManager, token: str) -> bool:
    try:
        manager.validate(token, require="docs:read")
    except AccessDenied:
        return True
    return False


VOIDING: dict[str, Callable[[SessionManager, IssuedSession], object]] = {
    "revoke": lambda manager, session: manager.revoke(session),
    "end": lambda manager, session: manager.end(session),
    "refresh": lambda manager, session: manager.refresh(session),
    "disable": lambda manager, _: manager.agents.disable("planner"),
    "emergency rotation": lambda manager, _: manager.keys.rotate(emergency=True),
    "policy": lambda manager, _: manager.reload_policy({"roles": {"reader": {"scopes": "mail:read"}}}),
}


@pytest.mark.parametrize("change", VOIDING)
def test_what_voids_a_token_is_heard_of_elsewhere_at_once(url: str, clock: FakeClock, change: str) -> None:
    with open_manager(url, clock=clock) as elsewhere, following(url, clock) as here:
        session = elsewhere.create("planner", role="reader", scopes="docs:read")
        here.validate(session.token)
        VOIDING[change](elsewhere, session)
        until(lambda: refuses(here, session.token))


def test_the_same_in_a_process_that_was_forked(url: str, clock: FakeClock) -> None:
    with open_manager(url, clock=clock) as elsewhere, following(url, clock) as here, crew() as start:
        sessions = [elsewhere.create("planner", scopes="docs:read") for _ in range(2)]

        def child() -> None:
            until(lambda: follows(here))
            here.validate(sessions[0].token)
            elsewhere.revoke(sessions[1])
            until(lambda: refuses(here, sessions[0].token))

        here.validate(sessions[1].token)
        worker = start(child)
        until(lambda: refuses(here, sessions[1].token))  # the parent hears on too
        elsewhere.revoke(sessions[0])
        worker.result()


@contextmanager
def overhearing(url: str) -> Iterator[Callable[[], list[str]]]:
    """Listen for a schema's hints, and give a function that returns what has been told since it was asked."""
    with open_manager(url) as manager, psycopg.connect(postgres_url(), autocommit=True) as ear:
        store = manager._parts.store
        assert isinstance(store, PostgresStore)
        ear.execute(f'LISTEN "{store._address.channel}"')

        def told() -> list[str]:
            ear.execute("SELECT 1")  # what was sent before this was asked stands before its answer
            return [each.payload for each in ear.notifies(timeout=0.05)]

        yield told


def test_a_hint_says_nothing_and_one_does_for_a_whole_tree(url: str, clock: FakeClock) -> None:
    with open_manager(url, clock=clock) as manager, overhearing(url) as told:
        parent = manager.create("planner", scopes="a")
        for name in ("x", "y", "z"):
            manager.delegate(parent, name, scopes="a")
        manager.revoke(parent)
        assert told() == [""]


def test_nothing_is_told_of_what_voids_no_token(url: str, clock: FakeClock) -> None:
    with open_manager(url, clock=clock) as manager, overhearing(url) as told:
        session = manager.create("planner", scopes="docs:read", ttl=60)
        manager.activity.set_name(session, "one")
        manager.agents.disable("somebody else")
        assert refuses_mail(manager, session)
        clock.advance(61)
        assert manager.prune_expired() == 1  # whoever remembers its token knows when it ends
        assert told() == []


def refuses_mail(manager: SessionManager, session: IssuedSession) -> bool:
    try:
        manager.validate(session.token, require="mail:send")
    except AccessDenied:
        return True
    return False


def test_an_end_stands_though_no_hint_can_be_sent(
    url: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with open_manager(url, clock=clock) as manager:
        store = manager._parts.store
        assert isinstance(store, PostgresStore)
        refused = Statement.of("hint.send", "SELECT pg_notify('', '')")
        monkeypatch.setitem(store._catalog._statements, "hint.send", refused)
        sessions = [manager.create("planner", scopes="docs:read") for _ in range(2)]
        for session in sessions:
            assert manager.revoke(session)
            assert refuses(manager, session.token)
        assert caplog.text.count("no hint was sent") == 2
        assert [event.session_id for event in manager.events.read(types="session.expired")] == [
            session.id for session in sessions
        ]


def test_who_was_cut_off_hears_again(url: str, clock: FakeClock) -> None:
    with open_manager(url, clock=clock) as elsewhere, following(url, clock) as here:
        store = here._parts.store
        assert isinstance(store, PostgresStore)
        for _ in range(3):
            [connection] = store._follower.living()
            session = elsewhere.create("planner", scopes="docs:read")
            here.validate(session.token)
            with psycopg.connect(postgres_url(), autocommit=True) as server:
                server.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
            until(lambda gone=connection: gone.closed and store._follower.living())  # type: ignore[misc]
            elsewhere.revoke(session)
            until(lambda token=session.token: refuses(here, token))  # type: ignore[misc]


def test_who_follows_events_is_woken_too(url: str, clock: FakeClock) -> None:
    with open_manager(url, clock=clock) as elsewhere, following(url, clock) as here:
        follower = here.events.follow(types="session.expired", poll=NEVER)
        heard: list[object] = []
        thread = Thread(target=lambda: heard.append(next(follower)), daemon=True)
        thread.start()
        until(lambda: elsewhere.revoke(elsewhere.create("planner", scopes="a")) and heard)
        thread.join(PATIENCE)


def test_a_file_gives_no_hints(tmp_path: Path, clock: FakeClock) -> None:
    with open_manager(tmp_path / "data" / "clawguard.db", clock=clock, max_staleness=NEVER) as manager:
        assert manager._parts.store.hints(silence=1.0) is None
        assert manager.revoke(manager.create("planner", scopes="a"))
