"""What is told of what happened: who came from where, what ended it, and what its events hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from clawguard import Event, InvalidArgument, InvalidToken, SessionEnded, SessionManager
from clawguard.guard import RefreshToken
from tests.clocks import FakeClock
from tests.openers import open_manager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def manager(clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(clock=clock) as opened:
        yield opened


def events(manager: SessionManager, event_type: str) -> list[Event]:
    return [each for each in manager.events.read() if each.type == event_type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a" * 9_000, "too_long"),
        ("\xe9" * 9_000, "characters"),
        ("cgr1_none", "refresh_token"),
        ("none", "segments"),
    ],
)
def test_a_token_that_is_none_is_counted_where_it_came_from(
    manager: SessionManager, clock: FakeClock, text: str, reason: str
) -> None:
    for _ in range(3):
        with pytest.raises(InvalidToken):
            manager.validate(text, source="192.0.2.1")
    clock.advance(3_600)
    manager.prune_expired()
    (told,) = events(manager, "token.rejected")
    assert (told.reason, told.data["source"], told.data["count"]) == (reason, "192.0.2.1", 3)


def test_a_session_says_where_it_was_last_used_from(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("a", scopes="x")
    for source in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        manager.validate(made.token, source=source)
        clock.advance(100)
        manager.prune_expired()
        assert manager.get_session(made).last_source == source


def test_whoever_comes_too_late_is_told_what_ended_it_and_why(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    context = manager.validate(made.token)
    manager.revoke(made, reason="stolen")
    for shown in (made.token, context):
        with pytest.raises(SessionEnded) as ended:
            manager.validate(shown)
        assert (ended.value.cause, ended.value.reason) == ("revoked", "stolen")


def test_a_context_says_all_that_its_row_says(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x y", role="lead", task_type="sum", subject="user:ana")
    context = manager.validate(made.token)
    told = (context.session_id, context.agent_id, context.subject, context.role, context.task_type)
    assert told == (made.id, "a", "user:ana", "lead", "sum")
    assert (context.audience, context.generation, context.scopes) == (made.audience, 1, made.scopes)
    assert context.workspace_id == made.workspace_id


def test_a_refresh_tells_the_new_generation_and_when_it_ends(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", ttl=100)
    clock.advance(10)
    renewed = manager.refresh(made)
    (told,) = events(manager, "session.refreshed")
    end = round(renewed.expires_at.timestamp() * 1_000_000)
    assert (told.session_id, dict(told.data)) == (made.id, {"generation": 2, "expires_at": end})
    assert renewed.issued_at == clock.datetime
    assert manager.get_session(made).issued_at == clock.datetime


def test_a_childs_refresh_keeps_its_idle_parent_awake(manager: SessionManager, clock: FakeClock) -> None:
    parent = manager.create("a", scopes="x", ttl=1_000, idle_timeout=100)
    child = manager.delegate(parent, "b", scopes="x", ttl=900, idle_timeout=100)
    for _ in range(3):
        clock.advance(80)
        child = manager.refresh(child)
    assert manager.validate(parent.token)
    clock.advance(101)
    with pytest.raises(SessionEnded):
        manager.validate(parent.token)


def test_whoever_hands_a_refresh_token_back_ends_its_session_once(manager: SessionManager) -> None:
    families = manager._families
    made = manager.create("a", scopes="x", refreshable=True)
    other = manager.create("b", scopes="x", refreshable=True)
    assert made.refresh_token is not None
    assert not families.end("cgr1_none")
    assert not families.end(RefreshToken.new(made.id).text())
    assert not families.end(made.refresh_token, workspace_id="another")
    assert manager.validate(made.token)
    assert families.end(made.refresh_token)
    assert not families.end(made.refresh_token)
    (told,) = events(manager, "session.expired")
    assert (told.session_id, told.actor) == (made.id, f"session:{made.id}")
    assert manager.validate(other.token)


def test_a_spent_refresh_token_that_is_handed_back_ends_its_family(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", refreshable=True)
    assert made.refresh_token is not None
    renewed = manager.redeem(made.refresh_token)
    clock.advance(3_600)
    manager._families.end(made.refresh_token)
    with pytest.raises(SessionEnded):
        manager.validate(renewed.token)


def test_an_end_tells_whose_it_was_and_each_later_verb_says_the_same(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", subject="user:ana")
    manager.revoke(made, reason="stolen", actor="user:bob")
    (told,) = events(manager, "session.expired")
    assert (told.session_id, told.agent_id, told.subject) == (made.id, "a", "user:ana")
    assert (told.workspace_id, told.actor, told.reason) == (made.workspace_id, "user:bob", "stolen")
    with pytest.raises(SessionEnded) as ended:
        manager.refresh(made)
    assert (ended.value.cause, ended.value.reason) == ("revoked", "stolen")


def test_a_child_is_younger_than_its_parent_on_any_clock(manager: SessionManager) -> None:
    parent = manager.create("a", scopes="x")
    child = manager.delegate(parent, "b", scopes="x")
    grandchild = manager.delegate(child, "c", scopes="x")
    assert parent.created_at < child.created_at < grandchild.created_at


def test_the_oldest_that_gives_way_at_the_limit_ends_for_it(clock: FakeClock) -> None:
    with open_manager(clock=clock, max_sessions_per_agent=2, at_limit="evict_oldest") as manager:
        made = []
        for _ in range(3):
            made.append(manager.create("a", scopes="x"))
            clock.advance(1)
        assert manager.create("b", scopes="x")
        (told,) = events(manager, "session.expired")
        assert (told.session_id, told.cause, told.actor) == (made[0].id, "limit", "host")
        assert [each.ended_at is None for each in map(manager.get_session, made)] == [False, True, True]


def test_what_is_done_inside_a_block_is_done_in_its_sessions_name(manager: SessionManager) -> None:
    outer, other = (manager.create(name, scopes="x") for name in "ab")
    manager.revoke(manager.create("c", scopes="x"))
    with manager.use(outer.token):
        manager.revoke(other)
    free, bound = events(manager, "session.expired")
    assert (free.actor, bound.actor) == ("host", f"session:{outer.id}")


def test_scopes_that_are_asked_for_are_named_where_they_will_not_do(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    asked: dict[str, Callable[[], object]] = {
        "require": lambda: manager.validate(made.token, require="A"),
        "any_of": lambda: manager.validate(made.token, any_of="A"),
    }
    for argument, ask in asked.items():
        with pytest.raises(InvalidArgument) as refused:
            ask()
        assert refused.value.argument == argument
    with pytest.raises(InvalidArgument, match="require: "):
        manager.use(made.token, require="A").__enter__()
