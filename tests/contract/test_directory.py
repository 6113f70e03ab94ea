"""Find, list, walk and purge, on every store."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from clawguard import InvalidArgument, Session, SessionManager, SessionNotFound
from clawguard.sessions.pages import cursor_of, digest_of
from tests.clocks import FakeClock
from tests.openers import open_manager


def ids(sessions: Any) -> list[str]:
    return [each.id for each in sessions]


def walk(manager: SessionManager, **filters: Any) -> list[Session]:
    """Page through a listing by its cursors."""
    found: list[Session] = []
    cursor = None
    while True:
        page = manager.sessions.page(cursor=cursor, **filters)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_listings_are_newest_first_and_whole_at_every_page_size(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = []
    for _ in range(12):
        made.append(manager.create("a", scopes="x").id)
        clock.advance(1)
    for limit in (1, 2, 5, 11, 12, 13, 1_000):
        assert ids(walk(manager, limit=limit)) == made[::-1]
        assert ids(manager.sessions.iter(limit=limit)) == made[::-1]
    last = manager.sessions.last()
    assert last is not None
    assert last.id == made[-1]


def test_sessions_of_one_instant_page_without_loss(manager: SessionManager) -> None:
    made = {manager.create("a", scopes="x").id for _ in range(50)}
    found = ids(walk(manager, limit=7))
    assert len(found) == 50
    assert set(found) == made


def test_each_filter_gives_what_it_names(manager: SessionManager) -> None:
    wanted = manager.create(
        "a", scopes="x", role="r", subject="user:ana", channel_id="c", room_id="o", sender_id="s"
    )
    manager.activity.set_state(wanted, "running")
    other = manager.create("b", scopes="x")
    child = manager.delegate(other, "c", scopes="x")
    filters = {"agent_id": "a", "role": "r", "subject": "user:ana", "channel_id": "c", "room_id": "o"}
    filters |= {"sender_id": "s", "state": "running"}
    for name, value in filters.items():
        assert ids(manager.sessions.iter(**{name: value})) == [wanted.id]
    assert ids(manager.sessions.iter(**filters)) == [wanted.id]
    assert ids(manager.sessions.iter(parent_id=other.id)) == [child.id]
    assert ids(manager.sessions.children(other).items) == [child.id]
    assert manager.sessions.last(agent_id="nobody") is None


def test_live_and_ended_are_told_apart_before_any_sweep(manager: SessionManager, clock: FakeClock) -> None:
    due = manager.create("a", scopes="x", ttl=10)
    revoked = manager.create("a", scopes="x")
    live = manager.create("a", scopes="x")
    manager.revoke(revoked)
    clock.advance(10)
    assert ids(manager.sessions.iter(live=True)) == [live.id]
    assert set(ids(manager.sessions.iter(live=False))) == {due.id, revoked.id}
    assert len(list(manager.sessions.iter())) == 3


def test_a_listing_shows_one_workspace_only(manager: SessionManager) -> None:
    here = manager.create("a", scopes="x")
    there = manager.create("a", scopes="x", workspace_id="w")
    assert ids(manager.sessions.iter()) == [here.id]
    assert ids(manager.sessions.iter(workspace_id="w")) == [there.id]
    assert ids(manager.sessions.children(there).items) == []


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1_001}),
        ("limit", {"limit": True}),
        ("limit", {"limit": "5"}),
        ("agent_id", {"agent_id": None}),
        ("agent_id", {"agent_id": ""}),
        ("state", {"state": "asleep"}),
        ("colour", {"colour": "red"}),
        ("workspace_id", {"workspace_id": None}),
        ("cursor", {"cursor": ""}),
        ("cursor", {"cursor": "AAAA"}),
        ("cursor", {"cursor": "é"}),
        ("cursor", {"cursor": 5}),
        ("cursor", {"cursor": b"AAAA"}),
        ("cursor", {"cursor": "' OR 1=1 --"}),
    ],
)
def test_a_bad_filter_limit_or_cursor_is_an_error(
    manager: SessionManager, argument: str, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        manager.sessions.page(**given)
    assert refusal.value.argument == argument


def test_a_cursor_of_other_filters_or_altered_is_an_error(manager: SessionManager) -> None:
    for _ in range(3):
        manager.create("a", scopes="x")
    cursor = manager.sessions.page(limit=1).next_cursor
    assert cursor is not None
    for other in ({"agent_id": "a"}, {"live": True}, {"workspace_id": "w"}):
        with pytest.raises(InvalidArgument, match="cursor"):
            manager.sessions.page(limit=1, cursor=cursor, **other)
    for at in range(len(cursor)):
        altered = cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :]
        with pytest.raises(InvalidArgument, match="cursor"):
            manager.sessions.page(limit=1, cursor=altered)


@pytest.mark.parametrize("position", ["", "\0", "a\0", "a b", "a\n", "a" * 256])
def test_a_cursor_that_was_made_up_is_refused(manager: SessionManager, position: str) -> None:
    cursor = cursor_of(position, digest_of({"workspace_id": "default"}, None))
    with pytest.raises(InvalidArgument, match="cursor"):
        manager.sessions.page(cursor=cursor)


def test_a_cursor_may_stand_on_any_id(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    for position, found in (("x", [made.id]), ("!", [])):
        page = manager.sessions.page(cursor=cursor_of(position, digest_of({"workspace_id": "default"}, None)))
        assert ids(page.items) == found


def test_the_cursor_of_a_purged_row_goes_on(manager: SessionManager, clock: FakeClock) -> None:
    made = []
    for _ in range(5):
        made.append(manager.create("a", scopes="x").id)
        clock.advance(1)
    page = manager.sessions.page(limit=2)
    manager.revoke(page.items[-1])
    clock.advance(1)
    assert manager.sessions.purge(0) == 1
    assert ids(manager.sessions.page(limit=10, cursor=page.next_cursor).items) == made[:3][::-1]


def test_find_gives_the_live_holder_of_a_key_or_none(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("a", scopes="x", key="k", ttl=10)
    found = manager.sessions.find(key="k")
    assert found is not None
    assert found.id == made.id
    assert manager.sessions.find(key="other") is None
    assert manager.sessions.find(key="k", workspace_id="w") is None
    clock.advance(10)
    assert manager.sessions.find(key="k") is None
    with pytest.raises(InvalidArgument):
        manager.sessions.find(key="")


def test_tree_and_lineage_show_the_family(manager: SessionManager, clock: FakeClock) -> None:
    root = manager.create("a", scopes="x")
    child = manager.delegate(root, "b", scopes="x")
    grandchild = manager.delegate(child, "c", scopes="x")
    sibling = manager.delegate(root, "d", scopes="x")
    manager.revoke(child)
    tree = ids(manager.sessions.tree(root))
    assert set(tree) == {root.id, child.id, grandchild.id, sibling.id}
    assert tree.index(root.id) < tree.index(child.id) < tree.index(grandchild.id)
    assert ids(manager.sessions.tree(child)) == [child.id, grandchild.id]
    assert ids(manager.sessions.lineage(grandchild)) == [root.id, child.id, grandchild.id]
    assert ids(manager.sessions.lineage(root)) == [root.id]


def test_purge_takes_whole_old_trees_and_is_an_event(manager: SessionManager, clock: FakeClock) -> None:
    old = manager.create("a", scopes="x", request_id="r")
    manager.delegate(old, "b", scopes="x")
    partly = manager.create("a", scopes="x")
    manager.end(manager.delegate(partly, "b", scopes="x"))
    manager.revoke(old)
    clock.advance(100)
    young = manager.create("a", scopes="x")
    manager.revoke(young)
    assert manager.sessions.purge(50, dry_run=True) == 2
    assert manager.get_session(old.id).cause == "revoked"
    told: list[int] = []
    assert manager.sessions.purge(50, workspace_id="other") == 0
    assert manager.sessions.purge(50, progress=told.append, actor="ana") == 2
    assert told[-1] == 2
    assert manager.sessions.purge(50) == 0
    assert set(ids(manager.sessions.iter())) >= {partly.id, young.id}
    purged = manager.events.read(types="session.purged")
    assert [each.actor for each in purged] == ["ana"]
    assert [each.data["count"] for each in purged] == [2]
    assert manager.create("a", scopes="x", request_id="r").id != old.id
    assert manager.events.verify()


def test_two_purges_at_once_count_each_tombstone_once(database: str) -> None:
    clock = FakeClock()
    with open_manager(database, clock=clock) as one, open_manager(database, clock=clock) as other:
        for _ in range(20):
            one.end(one.create("a", scopes="x"))
        clock.advance(10)
        read = one._parts.store.read

        def read_late(name: str, *given: Any, **params: Any) -> Any:
            rows = read(name, *given, **params)
            if name == "session.purgeable":
                assert other.sessions.purge(1) == 20
            return rows

        with patch.object(one._parts.store, "read", read_late):
            assert one.sessions.purge(1) == 0
        assert [event.data for event in one.events.read(types="session.purged")] == [{"count": 20}]


def test_purge_works_in_bounded_batches(manager: SessionManager, clock: FakeClock) -> None:
    parent = manager.create("a", scopes="x")
    for _ in range(620):
        manager.delegate(parent, "b", scopes="x")
    manager.revoke(parent)
    clock.advance(1)
    told: list[int] = []
    assert manager.sessions.purge(0, progress=told.append) == 621
    assert told[0] < 621
    assert list(manager.sessions.iter()) == []
    assert sum(each.data["count"] for each in manager.events.read(types="session.purged")) == 621


@pytest.mark.parametrize("older_than", [-1, "1d", None, float("nan")])
def test_purge_names_the_bad_argument(manager: SessionManager, older_than: Any) -> None:
    with pytest.raises(InvalidArgument, match="older_than"):
        manager.sessions.purge(older_than)


def test_ends_that_nobody_records_are_counted(manager: SessionManager, clock: FakeClock) -> None:
    manager.create("a", scopes="x", ttl=10)
    manager.create("a", scopes="x", ttl=10, workspace_id="other")
    manager.create("a", scopes="x", ttl=100)
    clock.advance(69)
    assert manager.sessions.count_overdue() == 0
    clock.advance(1)
    assert manager.sessions.count_overdue() == 2
    assert manager.sessions.count_overdue(61) == 0
    manager.prune_expired()
    assert manager.sessions.count_overdue(0) == 0


def test_a_line_is_counted_as_its_end_would_reach_it(manager: SessionManager, clock: FakeClock) -> None:
    top = manager.create("a", scopes="x")
    below = [manager.delegate(top, "b", scopes="x") for _ in range(3)]
    manager.delegate(below[0], "c", scopes="x")
    manager.delegate(below[1], "d", scopes="x", ttl=5)
    manager.revoke(below[2])
    manager.create("a", scopes="x")
    clock.advance(10)
    count = manager.sessions.count_line(top)
    assert (count, manager.sessions.count_line(below[1])) == (4, 1)
    with pytest.raises(SessionNotFound):
        manager.sessions.count_line(top, workspace_id="acme")
    manager.revoke(top)
    ended = manager.events.read(types="session.expired", limit=1_000)
    assert sum(each.cause in ("revoked", "parent") for each in ended) - 1 == count
    assert manager.sessions.count_line(top) == 0
