"""Linking: whoever reads finds all that was acknowledged, numbered; who does it is nobody's concern."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from clawguard import SessionManager
from clawguard.clock import SECOND
from clawguard.events import linking
from clawguard.events.linking import Lag
from clawguard.sessions import issuing
from clawguard.sessions.drafts import write_created
from clawguard.store.postgres.connections import read_url
from tests.clocks import START, FakeClock
from tests.openers import open_manager

NONE = Lag(0, 0.0)


def test_whoever_reads_finds_all_that_was_acknowledged(url: str, clock: FakeClock) -> None:
    with open_manager(url, clock=clock) as manager:
        assert manager.events.lag() == NONE
        manager.create("a", scopes="x")
        clock.advance(7)
        assert manager.events.lag() in (NONE, Lag(1, 7.0))
        assert [each.seq for each in manager.events.read()] == [1]
        assert manager.events.lag() == NONE


def test_what_nobody_reads_is_linked_by_a_sweep(manager: SessionManager) -> None:
    manager.create("a", scopes="x")
    manager.prune_expired()
    assert manager.events.lag() == NONE


def test_much_that_nobody_reads_is_linked_by_who_writes_it(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "_LINK_EVERY", 5)
    for _ in range(13):
        manager.create("a", scopes="x")
        assert manager.events.lag().events < 5


def test_what_is_left_is_linked_at_close(database: str) -> None:
    with open_manager(database) as manager:
        manager.create("a", scopes="x")
    with open_manager(database) as manager:
        assert manager.events.lag() == NONE
        assert manager.events.verify().count == 1


def test_a_change_that_is_alone_follows_all_before_it(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    manager.refresh(made)
    manager.agents.disable("a")
    assert [each.type for each in manager.events.read(session_id=made.id)] == [
        "session.created",
        "session.refreshed",
        "session.expired",
    ]


@pytest.mark.parametrize("alone", [False, True])
def test_no_session_ends_before_it_began_whosever_clock_told(
    postgres: str, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    """One machine's clock is ahead; another's event, of the same moment, comes behind its own."""
    with (
        open_manager(postgres, clock=FakeClock(START + 3 * SECOND)) as ahead,
        open_manager(postgres) as other,
    ):

        def and_beside_it(*args: Any, **given: Any) -> None:
            monkeypatch.setattr(issuing, "write_created", write_created)
            write_created(*args, **given)
            other.create("beside", scopes="x")

        monkeypatch.setattr(issuing, "write_created", and_beside_it)
        made = ahead.create("a", scopes="x")
        ended = other.revoke_where(agent_id="a").count if alone else other.revoke(made)
        assert ended == 1
        told = other.events.read(session_id=made.id)
        assert told[0].at <= told[-1].at
        assert made.created_at <= (other.sessions.get(made.id).ended_at or made.created_at - timedelta(1))


def test_in_stretches_too_each_event_has_its_place(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "_AT_ONCE", 3)
    made = [manager.create("a", scopes="x").id for _ in range(10)]
    assert [each.session_id for each in manager.events.read()] == made
    assert manager.events.verify()


def test_a_transaction_of_somebody_elses_holds_no_event_back(postgres: str) -> None:
    address = postgres.partition("?schema=")[0]
    with open_manager(postgres) as manager, psycopg.connect(address) as other:
        other.execute("SELECT pg_current_xact_id()")
        made = manager.create("a", scopes="x")
        assert [each.session_id for each in manager.events.read()] == [made.id]
        manager.revoke(made)
        assert len(manager.events.read()) == 2
        other.rollback()


def test_who_dies_while_linking_has_linked_nothing(postgres: str) -> None:
    address, _, name = postgres.partition("?schema=")
    lock = read_url(postgres, lock_timeout=1).lock
    with open_manager(postgres) as manager:
        for _ in range(5):
            manager.create("a", scopes="x")
        with psycopg.connect(
            address, options=f"-c search_path={name} -c clawguard.write_lock={lock}"
        ) as dying:
            assert dying.execute("SELECT link_events(3)").fetchone() == (3,)
            assert manager.events.lag().events == 5
            dying.pgconn.finish()
        assert len(manager.events.read()) == 5
        assert manager.events.verify()
