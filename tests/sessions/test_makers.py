"""What is made for somebody goes by what that one may: its end, its life, and whom it may push out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from clawguard import SessionEnded, SessionManager
from clawguard.clock import SECOND, to_microseconds
from clawguard.errors import LimitReached
from clawguard.sessions.makers import Maker, made_for, maker_here, who_makes
from clawguard.store import Reach
from tests.clocks import FakeClock
from tests.openers import open_manager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def manager(clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(clock=clock, max_sessions_per_agent=1, at_limit="evict_oldest") as opened:
        yield opened


def test_it_is_made_in_the_makers_name_and_by_nobody_afterwards(manager: SessionManager) -> None:
    caller = manager.create("caller", scopes="x")
    with made_for(Maker(caller.id)):
        with made_for(Maker("inner")):
            assert who_makes() == "session:inner"
        assert maker_here() == Maker(caller.id)
        made = manager.create("a", scopes="x")
    assert maker_here() is None
    assert who_makes() is None
    assert who_makes(by_token_of="s") == "session:s"
    with manager.use(caller.token):
        assert who_makes(by_token_of="s") == f"session:{caller.id}"
    (told,) = (each for each in manager.events.read(types="session.created") if each.session_id == made.id)
    assert told.actor == f"session:{caller.id}"


def test_no_root_outlasts_whom_it_is_made_for(manager: SessionManager, clock: FakeClock) -> None:
    caller = manager.create("caller", scopes="x")
    end = clock.at + 100 * SECOND
    with made_for(Maker(caller.id, ends_at=end)):
        made = manager.create("a", scopes="x", ttl=600)
        again = manager.create("b", scopes="x", ttl=50, request_id="one")
        assert manager.create("b", scopes="x", ttl=50, request_id="one").id == again.id
        clock.advance(100)
        with pytest.raises(SessionEnded) as refused:
            manager.create("c", scopes="x")
    assert refused.value.cause == "ttl"
    assert to_microseconds(made.expires_at) == to_microseconds(made.absolute_expires_at) == end
    assert to_microseconds(again.absolute_expires_at) == end


@pytest.mark.parametrize("cause", ["revoked", "ttl"])
def test_nothing_is_made_for_whom_has_ended(manager: SessionManager, clock: FakeClock, cause: str) -> None:
    caller, parent = manager.create("caller", scopes="x", ttl=60), manager.create("parent", scopes="x")
    if cause == "revoked":
        manager.revoke(caller, reason="stolen")
    else:
        clock.advance(60)
    with made_for(Maker(caller.id)):
        calls: tuple[Callable[[], object], ...] = (
            lambda: manager.create("a", scopes="x"),
            lambda: manager.delegate(parent, "a", scopes="x"),
        )
        for call in calls:
            with pytest.raises(SessionEnded) as refused:
                call()
            assert refused.value.cause == cause
            assert refused.value.reason == ("stolen" if cause == "revoked" else None)
    assert [each.agent_id for each in manager.sessions.page(agent_id="a").items] == []


def test_at_the_limit_only_a_maker_that_evicts_ends_the_oldest(manager: SessionManager) -> None:
    caller, oldest = manager.create("caller", scopes="x"), manager.create("a", scopes="x")
    with made_for(Maker(caller.id)), pytest.raises(LimitReached):
        manager.create("a", scopes="x")
    assert manager.get_session(oldest).cause is None
    with made_for(Maker(caller.id, evicts=True)):
        newer = manager.create("a", scopes="x")
    gone = manager.get_session(oldest)
    assert (gone.cause, gone.ended_by) == ("limit", f"session:{caller.id}")
    elsewhere = manager.create("a", scopes="x", workspace_id="acme")
    manager.create("a", scopes="x")
    gone = manager.get_session(newer)
    assert (gone.cause, gone.ended_by) == ("limit", "host")
    assert manager.get_session(elsewhere).cause is None


def test_an_agent_whose_live_sessions_are_all_spared_is_at_its_limit(manager: SessionManager) -> None:
    top = manager.create("a", scopes="x")
    with pytest.raises(LimitReached) as refused:
        manager.delegate(top, "a", scopes="x")
    assert (refused.value.agent_id, refused.value.limit) == ("a", 1)
    assert manager.get_session(top).cause is None


def test_what_is_made_for_somebody_reaches_its_tree_too() -> None:
    with open_manager() as manager:
        issuing = manager._issuing
        row = {"parent_id": None, "key": None, "request_id": None, "workspace_id": "default"}
        assert issuing._reach(row) == Reach(None)
        with made_for(Maker("m")):
            assert issuing._reach(row) == Reach("m")
            assert issuing._reach({**row, "parent_id": "m"}) == Reach("m")
            assert issuing._reach({**row, "parent_id": "other"}) is None
        assert issuing._reach({**row, "parent_id": "other"}) == Reach("other")
