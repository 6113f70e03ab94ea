"""Kill switches: all that is picked ends at once, nothing else does, and the log lists it by one cause id."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawguard import InvalidArgument, SessionEnded, SessionManager
from clawguard.checks import is_text
from clawguard.clock import to_datetime
from clawguard.errors import PolicyDenied
from clawguard.models import Ended, Page, Session
from clawguard.sessions.pages import cursor_of, digest_of
from clawguard.sessions.switches import KnownAgent
from tests.clocks import FakeClock
from tests.openers import open_manager


class World:
    """Hold sessions of several agents, subjects, roles and workspaces."""

    def __init__(self, manager: SessionManager, clock: FakeClock) -> None:
        create = manager.create
        self.old = create("ana", scopes="x", subject="user:una", role="lead")
        clock.advance(10)
        self.noon = to_datetime(clock.at)
        self.young = create("ana", scopes="x", subject="user:una")
        self.child = manager.delegate(self.young, "ben", scopes="x")
        self.other = create("ben", scopes="x", subject="user:dos", role="lead")
        manager.keys.rotate()
        self.rekeyed = create("cyd", scopes="x")
        self.foreign = create("ana", scopes="x", subject="user:una", role="lead", workspace_id="acme")
        self.short = create("ana", scopes="x", subject="user:una", ttl=5)
        clock.advance(5)

    def names(self, manager: SessionManager, *, cause: str | None = None) -> set[str]:
        """Return which of them have ended, with one cause where it is given."""
        held: dict[str, Session] = {
            name: each for name, each in vars(self).items() if isinstance(each, Session)
        }
        now = {name: manager.get_session(each) for name, each in held.items()}
        return {name for name, each in now.items() if each.cause and cause in (None, each.cause)}


PICKED: list[tuple[dict[str, Any], set[str]]] = [
    ({"subject": "user:una"}, {"old", "young", "child"}),
    ({"agent_id": "ben"}, {"child", "other"}),
    ({"agent_id": "ana"}, {"old", "young", "child"}),
    ({"role": "lead"}, {"old", "other"}),
    ({"role": "lead", "subject": "user:dos"}, {"other"}),
    ({"issued_before": None}, {"old"}),
    ({"key_id": None}, {"old", "young", "child", "other"}),
    ({"workspace_id": "acme"}, {"foreign"}),
    ({"workspace_id": "acme", "agent_id": "ben"}, set()),
    ({"everything": True}, {"old", "young", "child", "other", "rekeyed", "foreign"}),
]


@pytest.mark.parametrize(("given", "hit"), PICKED)
def test_what_is_picked_ends_with_all_below_it_and_nothing_else(
    manager: SessionManager, clock: FakeClock, given: dict[str, Any], hit: set[str]
) -> None:
    world = World(manager, clock)
    late: dict[str, Any] = {"issued_before": world.noon, "key_id": world.old.kid}
    given = {name: late.get(name, value) for name, value in given.items()}
    assert manager.revoke_where(**given, dry_run=True) == Ended(len(hit), None)
    assert world.names(manager) == set()
    ended = manager.revoke_where(**given, reason="incident 7")
    assert ended.count == len(hit)
    assert world.names(manager) - {"short"} == hit
    told = manager.events.read(cause_id=ended.cause_id)
    assert len(told) == len(hit)
    assert {each.type for each in told} <= {"session.expired"}
    assert {each.cause for each in told} <= {"revoked", "parent"}
    for name in hit:
        with pytest.raises(SessionEnded):
            manager.validate(getattr(world, name).token)
    again = manager.revoke_where(**given)
    assert (again.count, manager.events.read(cause_id=again.cause_id)) == (0, [])
    manager.create("ana", scopes="x")


def test_natural_ends_that_a_switch_meets_stay_natural(manager: SessionManager, clock: FakeClock) -> None:
    world = World(manager, clock)
    manager.revoke_where(everything=True)
    assert world.names(manager, cause="ttl") == {"short"}


def test_more_than_a_batch_shares_one_cause_id(manager: SessionManager) -> None:
    for _ in range(501):
        manager.create("a", scopes="x")
    ended = manager.revoke_where(agent_id="a")
    assert ended.count == 501
    assert len(manager.events.read(cause_id=ended.cause_id, limit=1_000)) == 501
    assert manager.active_count() == 0


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({}, "filters: at least one is needed"),
        ({"subject": None}, "subject"),
        ({"agent_id": None}, "agent_id"),
        ({"issued_before": None}, "issued_before"),
        ({"issued_before": datetime(2026, 1, 1)}, "issued_before"),  # noqa: DTZ001
        ({"role": ""}, "role"),
        ({"role": "a\n"}, "role"),
        ({"everything": True, "role": "lead"}, "stands alone"),
        ({"everything": 1}, "everything"),
        ({"everything": True, "reason": "x" * 256}, "reason"),
        ({"everything": True, "actor": ""}, "actor"),
    ],
)
def test_no_filter_or_a_bad_one_ends_nothing(
    manager: SessionManager, given: dict[str, Any], match: str
) -> None:
    manager.create("a", scopes="x")
    with pytest.raises(InvalidArgument, match=match):
        manager.revoke_where(**given)
    assert manager.active_count() == 1


def test_an_unknown_filter_ends_nothing(manager: SessionManager) -> None:
    manager.create("a", scopes="x")
    with pytest.raises(TypeError, match="colour"):
        manager.revoke_where(colour="red")  # type: ignore[call-arg]
    assert manager.active_count() == 1


def test_revoking_all_of_an_agent_tells_what_it_ended(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    manager.delegate(made, "b", scopes="x")
    assert manager.revoke_all_for_agent("a", dry_run=True) == Ended(2, None)
    manager.validate(made.token)
    ended = manager.revoke_all_for_agent("a")
    assert [each.cause for each in manager.events.read(cause_id=ended.cause_id)] == ["agent", "parent"]


def test_a_disabled_agent_has_no_session_and_gets_none(manager: SessionManager) -> None:
    mine = manager.create("mallory", scopes="x")
    host = manager.create("host", scopes="x")
    below = manager.delegate(host, "mallory", scopes="x")
    elsewhere = manager.create("mallory", scopes="x", workspace_id="acme")
    assert manager.agents.disable("mallory", dry_run=True) == Ended(2, None)
    assert manager.agents.disabled() == []
    ended = manager.agents.disable("mallory", reason="odd calls", actor="ana")
    assert ended.count == 2
    told = manager.events.read(cause_id=ended.cause_id)
    assert [(each.type, each.agent_id, each.actor, each.reason) for each in told] == [
        ("agent.disabled", "mallory", "ana", "odd calls"),
        ("session.expired", "mallory", "ana", "odd calls"),
        ("session.expired", "mallory", "ana", "odd calls"),
    ]
    refused: list[Callable[[], object]] = [
        lambda: manager.create("mallory", scopes="x"),
        lambda: manager.delegate(host, "mallory", scopes="x"),
    ]
    for call in refused:
        with pytest.raises(PolicyDenied, match="mallory is disabled"):
            call()
    for session in (mine, below):
        with pytest.raises(SessionEnded):
            manager.refresh(session)
        with pytest.raises(SessionEnded):
            manager.validate(session.token)
    manager.validate(elsewhere.token)
    manager.validate(host.token)
    (disabled,) = manager.agents.disabled()
    assert (disabled.agent_id, disabled.reason, disabled.disabled_by) == ("mallory", "odd calls", "ana")


def test_disabling_again_and_enabling_are_recorded_once(manager: SessionManager) -> None:
    manager.agents.disable("a")
    manager.agents.disable("a", reason="again")
    assert manager.agents.enable("a", dry_run=True) == Ended(0, None)
    with pytest.raises(PolicyDenied):
        manager.create("a", scopes="x")
    enabled = manager.agents.enable("a")
    assert enabled.count == 0
    assert [each.type for each in manager.events.read(cause_id=enabled.cause_id)] == ["agent.enabled"]
    manager.agents.enable("a")
    manager.create("a", scopes="x")
    assert [each.type for each in manager.events.read(types="agent.*")] == ["agent.disabled", "agent.enabled"]


@pytest.mark.parametrize("given", [{"agent_id": ""}, {"workspace_id": None}, {"reason": ""}, {"actor": "\n"}])
def test_disable_names_the_bad_argument_and_changes_nothing(
    manager: SessionManager, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        manager.agents.disable(**{"agent_id": "a", **given})
    assert manager.agents.disabled() == []


def test_a_session_created_while_its_agent_is_disabled_does_not_survive(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever commits first: the create is refused, or its session ends with the others."""
    clock = FakeClock()
    with open_manager(database, clock=clock) as manager, open_manager(database, clock=clock) as rival:
        guard = manager._parts.guard
        issue = guard.issue

        def disable_meanwhile(*given: Any) -> str:
            rival.agents.disable("a")
            return issue(*given)

        monkeypatch.setattr(guard, "issue", disable_meanwhile)
        with pytest.raises(PolicyDenied):
            manager.create("a", scopes="x")
        assert manager.active_count() == 0


@pytest.mark.parametrize("dry_run", [None, 0, "no"])
def test_dry_run_is_true_or_false(manager: SessionManager, dry_run: Any) -> None:
    manager.create("a", scopes="x")
    calls: list[Callable[[], object]] = [
        lambda: manager.revoke_where(agent_id="a", dry_run=dry_run),
        lambda: manager.revoke_all_for_agent("a", dry_run=dry_run),
        lambda: manager.agents.disable("a", dry_run=dry_run),
        lambda: manager.agents.enable("a", dry_run=dry_run),
        lambda: manager.keys.rotate(emergency=True, dry_run=dry_run),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument, match="dry_run"):
            call()
    with pytest.raises(InvalidArgument, match="emergency"):
        manager.keys.rotate(emergency=dry_run)
    assert manager.active_count() == 1


# Which agents there are.


def agents(page: Page[KnownAgent]) -> list[tuple[str, int, bool]]:
    return [(each.agent_id, each.live, each.disabled is not None) for each in page.items]


def test_the_agents_of_a_workspace_are_those_with_live_sessions_and_the_disabled(
    manager: SessionManager, clock: FakeClock
) -> None:
    world = World(manager, clock)
    manager.create("dot", scopes="x", max_uses=1)
    spent = manager.create("spent", scopes="x", max_uses=1)
    manager.delegate(spent, "dot", scopes="x", max_uses=1)
    manager.revoke(manager.create("gone", scopes="x"))
    manager.agents.disable("cyd", reason="runs wild", actor="user:una")
    manager.agents.disable("unheard", workspace_id="acme")
    page = manager.agents.page()
    assert agents(page) == [("ana", 2, False), ("ben", 2, False), ("cyd", 0, True), ("dot", 2, False)]
    assert sum(each.live for each in page.items) == manager.active_count()
    ana, _, cyd, _ = page.items
    assert ana.newest == manager.sessions.get(world.young)
    assert cyd.newest is None
    assert cyd.disabled == manager.agents.disabled()[0]
    assert (cyd.disabled.reason, cyd.disabled.disabled_by) == ("runs wild", "user:una")
    assert agents(manager.agents.page(workspace_id="acme")) == [("ana", 1, False), ("unheard", 0, True)]
    assert agents(manager.agents.page(workspace_id="empty")) == []


@given(
    live=st.dictionaries(st.text("abé😀 ", min_size=1, max_size=3), st.integers(1, 3), max_size=5),
    forbidden=st.sets(st.text("abé😀 ", min_size=1, max_size=3), max_size=5),
    limit=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_pages_of_agents_have_each_of_them_once_and_in_order(
    live: dict[str, int], forbidden: set[str], limit: int
) -> None:
    live = {name: count for name, count in live.items() if is_text(name)}
    forbidden = {name for name in forbidden if is_text(name)}
    with open_manager() as manager:
        for name, count in live.items():
            for _ in range(count):
                manager.create(name, scopes="x")
        for name in forbidden - live.keys():
            manager.agents.disable(name)
        found, cursor = [], None
        while True:
            page = manager.agents.page(limit=limit, cursor=cursor)
            assert len(page.items) <= limit
            found += agents(page)
            cursor = page.next_cursor
            if cursor is None:
                break
        expected = {name: (live.get(name, 0), name not in live) for name in live.keys() | forbidden}
        assert found == [(name, *expected[name]) for name in sorted(expected, key=str.encode)]


def test_pages_of_agents_go_on_behind_any_name(manager: SessionManager) -> None:
    names = sorted(("é", "😀" * 249, "a b", "'; DROP TABLE sessions; --", "z"), key=str.encode)
    for name in names[::2]:
        manager.create(name, scopes="x")
    for name in names[1::2]:
        manager.agents.disable(name)
    found, cursor = [], None
    for _ in names:
        page = manager.agents.page(limit=1, cursor=cursor)
        found += [each.agent_id for each in page.items]
        cursor = page.next_cursor
    assert (found, cursor) == (names, None)


@pytest.mark.parametrize("given", [{"limit": 0}, {"limit": 1_001}, {"limit": True}, {"cursor": "x"}])
def test_a_page_of_agents_that_cannot_be_is_refused(manager: SessionManager, given: dict[str, Any]) -> None:
    manager.create("a", scopes="x")
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        manager.agents.page(**given)


@pytest.mark.parametrize("position", ["", "\0", "a\0", "a" * 256])
def test_a_cursor_of_agents_that_was_made_up_is_refused(manager: SessionManager, position: str) -> None:
    with pytest.raises(InvalidArgument, match="cursor"):
        manager.agents.page(cursor=cursor_of(position, digest_of("agents", "default")))
    with pytest.raises(InvalidArgument, match="cursor"):
        manager.agents.page(workspace_id="acme", cursor=cursor_of("a", digest_of("agents", "default")))
