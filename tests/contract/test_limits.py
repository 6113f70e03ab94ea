"""Limits: uses are counted and the last one ends the session; an agent has at most so many sessions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawguard import (
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
    Verifier,
)
from clawguard.errors import LimitReached
from clawguard.sessions.issuing import Limits
from tests.clocks import FakeClock
from tests.openers import open_manager

# uses


def test_each_validated_token_spends_a_use_and_the_last_one_ends_the_session(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", max_uses=3)
    assert manager.events.read()[0].data["uses"] == 3
    for left in (2, 1):
        assert manager.validate(made.token).agent_id == "a"
        assert manager.get_session(made.id).uses_left == left
    assert manager.validate(made.token).agent_id == "a"
    ended = manager.get_session(made.id)
    assert (ended.uses_left, ended.cause, ended.ended_by) == (0, "uses", None)
    with pytest.raises(SessionEnded, match="uses"):
        manager.validate(made.token)
    assert [each.cause for each in manager.events.read(types="session.expired")] == ["uses"]


def test_only_an_accepted_token_spends_a_use(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", max_uses=2)
    with pytest.raises(InsufficientScope):
        manager.validate(made.token, require="y")
    with pytest.raises(InsufficientScope):
        manager.validate(made.token, any_of="y z")
    assert manager.inspect(made.token).verdict == "active"
    context = manager.validate(made.token)
    for _ in range(3):
        manager.validate(context)
        manager.recheck(context)
        manager.authorize(context, "x")
    assert manager.get_session(made.id).uses_left == 1
    with manager.use(made.token) as bound:
        assert bound.session_id == made.id
    assert manager.inspect(made.token).verdict == "ended"


def test_a_refresh_keeps_the_uses_that_are_left(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", max_uses=2)
    manager.validate(made.token)
    renewed = manager.refresh(made)
    assert renewed.uses_left == 1
    with pytest.raises(TokenSuperseded):
        manager.validate(made.token)
    manager.validate(renewed.token)
    with pytest.raises(SessionEnded, match="uses"):
        manager.refresh(renewed)


def test_the_last_use_takes_the_children_with_it(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", max_uses=3)
    child = manager.delegate(made, "b", scopes="x", max_uses=2)
    manager.validate(made.token)
    with pytest.raises(SessionEnded, match="parent"):
        manager.validate(child.token)


def test_a_childs_uses_are_taken_from_its_parents(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", max_uses=5)
    with pytest.raises(DelegationRefused, match="max_uses="):
        manager.delegate(made, "b", scopes="x")
    with pytest.raises(DelegationRefused, match="5 uses left"):
        manager.delegate(made, "b", scopes="x", max_uses=6)
    child = manager.delegate(made, "b", scopes="x", max_uses=3)
    assert manager.get_session(made.id).uses_left == 2
    grandchild = manager.delegate(child, "c", scopes="x", max_uses=1)
    assert [manager.get_session(each).uses_left for each in (made, child, grandchild)] == [2, 2, 1]
    manager.validate(grandchild.token)
    with pytest.raises(SessionEnded, match="uses"):
        manager.validate(grandchild.token)
    assert manager.get_session(child.id).cause is None
    free = manager.create("a", scopes="x")
    assert manager.delegate(free, "b", scopes="x", max_uses=1_000).uses_left == 1_000


def test_a_session_that_handed_all_its_uses_on_is_of_no_use_itself(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", max_uses=2)
    context = made.as_context()
    child = manager.delegate(made, "b", scopes="x", max_uses=2, request_id="one")
    assert manager.delegate(made, "b", scopes="x", max_uses=2, request_id="one").id == child.id
    calls: list[Callable[[], object]] = [
        lambda: manager.validate(made.token),
        lambda: manager.validate(context),
        lambda: manager.refresh(made),
    ]
    for call in calls:
        with pytest.raises(SessionEnded, match="uses"):
            call()
    with pytest.raises(DelegationRefused, match="0 uses left"):
        manager.delegate(made, "c", scopes="x", max_uses=1)
    assert manager.inspect(made.token).verdict == "ended"
    assert manager.active_count() == 1
    assert [each.id for each in manager.sessions.page(live=True).items] == [child.id]
    assert [each.id for each in manager.sessions.page(live=False).items] == [made.id]
    manager.validate(child.token)


def test_uses_are_counted_in_every_process(database: str) -> None:
    clock = FakeClock()
    with open_manager(database, clock=clock) as manager, Verifier.open(database, clock=clock) as verifier:
        made = manager.create("a", scopes="x", max_uses=4)
        for place in (manager, verifier, verifier, manager):
            place.validate(made.token)  # type: ignore[attr-defined]
        for place in (manager, verifier):
            with pytest.raises(SessionEnded, match="uses"):
                place.validate(made.token)  # type: ignore[attr-defined]


@pytest.mark.parametrize("max_uses", [0, -1, 1.0, True, "1", 2**53])
def test_max_uses_is_a_number_of_at_least_one(manager: SessionManager, max_uses: Any) -> None:
    parent = manager.create("a", scopes="x")
    with pytest.raises(InvalidArgument, match="max_uses"):
        manager.create("a", scopes="x", max_uses=max_uses)
    with pytest.raises(InvalidArgument, match="max_uses"):
        manager.delegate(parent, "b", scopes="x", max_uses=max_uses)
    assert manager.active_count() == 1


# sessions of an agent


@pytest.fixture
def capped(database: str, clock: FakeClock) -> Any:
    def open_capped(at_limit: str = "deny", most: int = 2) -> SessionManager:
        return open_manager(database, clock=clock, max_sessions_per_agent=most, at_limit=at_limit)

    return open_capped


def test_at_the_limit_a_further_session_is_refused(capped: Any, clock: FakeClock) -> None:
    with capped() as manager:
        first = manager.create("a", scopes="x", ttl=10)
        second = manager.create("a", scopes="x", request_id="one")
        host = manager.create("host", scopes="x")
        calls: list[Callable[[], object]] = [
            lambda: manager.create("a", scopes="x"),
            lambda: manager.delegate(host, "a", scopes="x"),
        ]
        for call in calls:
            with pytest.raises(LimitReached, match="a has 2 live sessions") as caught:
                call()
            assert caught.value.limit == 2
        assert manager.create("a", scopes="x", request_id="one").id == second.id
        manager.create("a", scopes="x", workspace_id="acme")
        manager.create("b", scopes="x")
        manager.validate(first.token)
        clock.advance(10)
        manager.create("a", scopes="x")
        manager.end(second)
        manager.delegate(host, "a", scopes="x")


def test_or_the_oldest_ends(capped: Any, clock: FakeClock) -> None:
    with capped("evict_oldest") as manager:
        made = []
        for _ in range(4):
            made.append(manager.create("a", scopes="x"))
            clock.advance(1)
        below = manager.delegate(made[2], "b", scopes="x")
        manager.create("a", scopes="x")
        assert [manager.get_session(each).cause for each in made] == ["limit", "limit", "limit", None]
        assert manager.get_session(below).cause == "parent"
        with pytest.raises(SessionEnded, match="limit"):
            manager.validate(made[0].token)
        assert manager.active_count() == 2
        assert manager.events.verify()


def test_an_ancestor_is_never_evicted_for_its_own_child(capped: Any) -> None:
    with capped("evict_oldest") as manager:
        root = manager.create("a", scopes="x")
        child = manager.delegate(root, "a", scopes="x")
        with pytest.raises(LimitReached):
            manager.delegate(child, "a", scopes="x")
        other = manager.create("a", scopes="x")
        assert manager.get_session(root).cause == "limit"
        assert manager.get_session(child).cause == "parent"
        manager.validate(other.token)


def test_a_lowered_limit_evicts_down_to_it(capped: Any) -> None:
    with capped(most=5) as manager:
        for _ in range(5):
            manager.create("a", scopes="x")
    with capped("evict_oldest", most=2) as manager:
        manager.create("a", scopes="x")
        assert manager.active_count() == 2


@pytest.mark.parametrize(
    ("most", "at_limit", "match"),
    [
        (0, "deny", "max_sessions"),
        (True, "deny", "max_sessions"),
        ("2", "deny", "max_sessions"),
        (2, "no", "at_limit"),
    ],
)
def test_limits_that_make_no_sense_are_refused(most: Any, at_limit: Any, match: str) -> None:
    with pytest.raises(InvalidArgument, match=match):
        Limits.of(most, at_limit, 60, 10)
    with pytest.raises(InvalidArgument, match=match):
        open_manager(max_sessions_per_agent=most, at_limit=at_limit)


def test_a_delegation_spends_no_use_whether_it_is_refused_or_repeated(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", max_uses=3)
    for given in ({"agent_id": ""}, {"scopes": "X"}, {"scopes": "y"}, {"max_uses": None}):
        asked: dict[str, Any] = {"agent_id": "b", "scopes": "x", "max_uses": 1, **given}
        with pytest.raises((InvalidArgument, DelegationRefused)):
            manager.delegate(made.token, asked.pop("agent_id"), **asked)
    assert manager.get_session(made.id).uses_left == 3
    for _ in range(3):
        manager.delegate(made.token, "b", scopes="x", max_uses=1, request_id="one")
    assert manager.get_session(made.id).uses_left == 2


def test_a_session_without_uses_takes_no_place(capped: Any) -> None:
    with capped(most=1) as manager:
        made = manager.create("a", scopes="x", max_uses=1)
        manager.delegate(made, "b", scopes="x", max_uses=1)
        manager.create("a", scopes="x")
