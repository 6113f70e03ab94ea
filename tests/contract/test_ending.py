"""Every end: at once, with all below it, once, and told of; then the end of the manager."""

from __future__ import annotations

from typing import Any

import pytest

from clawguard import Event, InvalidArgument, IssuedSession, SessionEnded, SessionManager, StoreUnavailable
from tests.clocks import FakeClock
from tests.refusing import refused

# ends


@pytest.mark.parametrize(
    ("verb", "cause"), [("revoke", "revoked"), ("end", "finished"), ("invalidate", "invalidated")]
)
def test_an_end_takes_the_whole_subtree_at_once(manager: SessionManager, verb: str, cause: str) -> None:
    root = manager.create("a", scopes="x")
    child = manager.delegate(root, "b", scopes="x")
    grandchild = manager.delegate(child.token, "c", scopes="x")
    other = manager.create("d", scopes="x")
    assert getattr(manager, verb)(root) is True
    assert [refused(manager, each.token) for each in (root, child, grandchild)] == [cause, "parent", "parent"]
    manager.validate(other.token)
    assert getattr(manager, verb)(root) is False
    assert getattr(manager, verb)(child) is False
    events = manager.events.read(types="session.expired")
    assert sorted(each.session_id or "" for each in events) == sorted([root.id, child.id, grandchild.id])
    assert len({each.cause_id for each in events}) == 1
    assert events == manager.events.read(cause_id=events[0].cause_id)


def test_a_revoke_says_who_and_why(manager: SessionManager) -> None:
    host, named, bound = (manager.create(each, scopes="x") for each in ("a", "b", "c"))
    manager.revoke(host, reason="leaked")
    manager.revoke(named, actor="ops:eve")
    with manager.use(bound.token):
        manager.revoke(bound)
    kept = [manager.get_session(each) for each in (host, named, bound)]
    assert [(each.reason, each.ended_by) for each in kept] == [
        ("leaked", "host"),
        (None, "ops:eve"),
        (None, f"session:{bound.id}"),
    ]
    told = manager.events.read(types="session.expired")
    assert [(each.reason, each.actor) for each in told] == [(each.reason, each.ended_by) for each in kept]


@pytest.mark.parametrize("given", [{"reason": "a\nb"}, {"reason": "x" * 256}, {"actor": ""}, {"actor": 5}])
def test_revoke_names_the_bad_argument_and_changes_nothing(
    manager: SessionManager, given: dict[str, Any]
) -> None:
    made = manager.create("a", scopes="x")
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        manager.revoke(made, **given)
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        manager.revoke_all_for_agent("a", **given)
    manager.validate(made.token)


def test_attack_72_revoking_what_is_due_records_its_natural_end_once(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", ttl=10)
    clock.advance(10)
    for _ in range(2):
        assert manager.revoke(made) is False
        assert manager.get_session(made.id).cause == "ttl"
    assert [each.cause for each in manager.events.read(types="session.expired")] == ["ttl"]


def test_all_sessions_of_an_agent_end_together_with_their_subtrees(manager: SessionManager) -> None:
    mine = [manager.create("a", scopes="x") for _ in range(3)]
    below = manager.delegate(mine[0], "b", scopes="x")
    nested = manager.delegate(below, "a", scopes="x")
    elsewhere = manager.create("a", scopes="x", workspace_id="other")
    other = manager.create("b", scopes="x")
    assert manager.revoke_all_for_agent("a", reason="gone").count == 5
    assert {refused(manager, each.token) for each in mine} == {"agent"}
    assert {refused(manager, each.token) for each in (below, nested)} == {"parent"}
    manager.validate(elsewhere.token)
    manager.validate(other.token)
    assert manager.revoke_all_for_agent("a").count == 0
    manager.create("a", scopes="x")
    assert len({each.cause_id for each in manager.events.read(types="session.expired")}) == 1


def test_what_had_ended_by_itself_is_not_counted_as_revoked(
    manager: SessionManager, clock: FakeClock
) -> None:
    manager.create("a", scopes="x", ttl=10)
    manager.create("a", scopes="x", ttl=100)
    clock.advance(10)
    assert manager.revoke_all_for_agent("a").count == 1


def test_only_live_sessions_are_counted(manager: SessionManager, clock: FakeClock) -> None:
    manager.create("a", scopes="x", ttl=10)
    manager.revoke(manager.create("a", scopes="x"))
    manager.create("a", scopes="x")
    manager.create("a", scopes="x", workspace_id="other")
    assert manager.active_count() == 2
    clock.advance(10)
    assert manager.active_count() == 1
    assert manager.active_count(workspace_id="other") == 1


def test_prune_expired_records_each_natural_end_once(manager: SessionManager, clock: FakeClock) -> None:
    made = [manager.create("a", scopes="x", ttl=10) for _ in range(1_203)]
    clock.advance(9)
    assert manager.prune_expired() == 0
    clock.advance(1)
    assert manager.prune_expired() == 1_203
    assert manager.prune_expired() == 0
    ended = manager.events.read(types="session.expired", limit=1_000)
    ended += manager.events.read(types="session.expired", limit=1_000, after=ended[-1].seq)
    assert sorted(each.session_id or "" for each in ended) == sorted(each.id for each in made)


def test_no_batch_leaves_anything_live_below_what_it_ended(manager: SessionManager, clock: FakeClock) -> None:
    """The children are due with their parent; each is told of with it, whichever the batch took."""
    tops = [manager.create("top", scopes="x", ttl=10) for _ in range(3)]
    below = [manager.delegate(top, "below", scopes="x") for top in tops for _ in range(2)]
    clock.advance(10)
    told: list[str] = []
    left: list[str] = []

    def look(event: Event) -> None:
        told.append(event.session_id or "")
        for child in below:
            ends = [manager.get_session(each or "").cause for each in (child.parent_id, child.id)]
            if ends[0] is not None and ends[1] is None:
                left.append(child.id)

    manager.on("session.expired", look)
    assert manager._endings.sweep(batch=1) == 9
    assert left == []
    assert sorted(told) == sorted(each.id for each in (*tops, *below))


def test_each_batch_says_behind_whom_the_next_one_begins(manager: SessionManager) -> None:
    made = sorted(manager.create("a", scopes="x").id for _ in range(5))
    picked = {"workspace_id": "default"}
    given: dict[str, Any] = {"cause": "revoked", "reason": None, "actor": "host", "cause_id": "one"}
    after: str | None = ""
    for last in (made[1], made[3], None):
        with manager._parts.change(durable=True) as change:
            count, after = manager._endings.end_matching(change, picked, after=after or "", limit=2, **given)
        assert (count, after) == (1 if last is None else 2, last)


@pytest.mark.parametrize("limits", [{"idle_timeout": 60}, {"ttl": 60}])
def test_a_late_change_is_told_which_end_came_first(
    manager: SessionManager, clock: FakeClock, limits: dict[str, Any]
) -> None:
    made = manager.create("a", scopes="x", **limits)
    clock.advance(61)
    for _ in range(2):
        with pytest.raises(SessionEnded) as refusal:
            manager.refresh(made)
        assert refusal.value.cause == ("ttl" if "ttl" in limits else "idle")
        assert refusal.value.reason is None


def test_who_was_told_that_it_is_over_by_a_clock_ahead_is_told_ttl(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    assert manager._endings.settle(made.id).cause == "ttl"
    assert manager.get_session(made).cause is None


# the whole


def test_a_closed_manager_answers_with_an_error(manager: SessionManager) -> None:
    made: IssuedSession = manager.create("a", scopes="x")
    manager.close()
    manager.close()
    for call in (lambda: manager.validate(made.token), lambda: manager.revoke(made), manager.active_count):
        with pytest.raises(StoreUnavailable, match="closed"):
            call()


def test_a_token_carries_its_issuer(manager: SessionManager) -> None:
    claims = manager.inspect(manager.create("a", scopes="x").token).claims
    assert claims is not None
    assert claims["iss"] == manager.issuer
    assert manager.issuer.startswith("urn:clawguard:")
