"""Attacks by one who holds a session and wants another identity, more authority, or a life after its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawguard import (
    DelegationRefused,
    InsufficientScope,
    InvalidToken,
    IssuedSession,
    ScopeSet,
    Session,
    SessionEnded,
    SessionManager,
    current_session,
    requires,
)
from clawguard.clock import SECOND, to_microseconds
from tests.clocks import FakeClock
from tests.openers import open_manager

A_UUID = "0190d2a0-1111-7000-8000-000000000001"
ACTIONS = ("docs:read", "docs:write", "mail:send", "mail:read")
# Who a session is and what it may at most: settled when it is made.
SETTLED = (
    "id", "agent_id", "subject", "workspace_id", "audience", "role", "scopes", "task_type", "actors",
    "parent_id", "root_id", "depth", "delegable", "grant_name", "granted", "created_at",
    "absolute_expires_at", "idle_timeout",
)  # fmt: skip


def settled(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in SETTLED}


# 60: identity


@pytest.mark.parametrize(
    "name",
    [
        "id", "session_id", "sid", "jti", "generation", "version", "kid", "token", "refresh_token", "secret",
        "root_id", "parent_id", "actors", "depth", "granted", "created_at", "expires_at", "colour",
    ],
)  # fmt: skip
def test_attack_60_a_caller_chooses_no_id_generation_or_secret(manager: SessionManager, name: str) -> None:
    parent = manager.create("a", scopes="x", refreshable=True)
    chosen: dict[str, Any] = {name: A_UUID}
    with pytest.raises(TypeError, match=name):
        manager.create("a", scopes="x", **chosen)
    with pytest.raises(TypeError, match=name):
        manager.delegate(parent, "b", scopes="x", **chosen)
    assert [each.id for each in manager.sessions.iter()] == [parent.id]
    assert len(manager.events.read()) == 1


def test_attack_60_nothing_changes_who_a_session_is_and_what_it_may(manager: SessionManager) -> None:
    manager.reload_policy({"roles": {"lead": {"may_become": "aide"}, "aide": {"scopes": "x:y"}}})
    root = manager.create("a", scopes="x:*", role="lead", refreshable=True, idle_timeout=60)
    made = manager.delegate(root, "b", scopes="x:y", role="aide", task_type="t", refreshable=True)
    before = [settled(each) for each in (root, made)]
    for session in (root, made):
        assert session.refresh_token is not None
        manager.redeem(session.refresh_token)
        manager.refresh(session, ttl=7_200)
        manager.delegate(session, "c", scopes="x:y")
        manager.activity.set_name(session, "n")
        manager.activity.set_agent_alias(session, "boss")
        manager.activity.set_metadata(session, {"role": "boss", "scopes": "*"})
        manager.activity.set_routing(session, channel_id="c", room_id="r", sender_id="s")
        manager.activity.set_state(session, "running", turn_id="t")
        manager.validate(manager.refresh(session).token, source="192.0.2.1")
    manager.keys.rotate()
    manager.reload_policy({"roles": {"lead": {}, "aide": {"scopes": "*"}}})
    manager.prune_expired()
    for session in (root, made):
        manager.revoke(session)
    assert [settled(manager.get_session(each)) for each in (root, made)] == before


# 70: refresh


@pytest.mark.parametrize("name", ["scopes", "scope", "role", "audience", "subject", "task_type", "agent_id"])
def test_attack_70_a_refresh_and_a_redeem_take_no_scope_role_or_audience_and_change_none(
    manager: SessionManager, name: str
) -> None:
    made = manager.create("a", scopes="docs:read", role="aide", refreshable=True)
    before, first = manager.get_session(made), manager.validate(made.token)
    asked: dict[str, Any] = {name: "mail"}
    with pytest.raises(TypeError, match=name):
        manager.refresh(made, **asked)
    with pytest.raises(TypeError, match=name):
        manager.redeem(str(made.refresh_token), **asked)
    assert manager.get_session(made) == before
    for renew in (partial(manager.refresh, made), partial(manager.redeem, str(made.refresh_token))):
        renewed = renew()
        seen = manager.validate(renewed.token)
        assert replace(seen, generation=first.generation, expires_at=first.expires_at) == first
        assert settled(renewed) == settled(manager.get_session(made)) == settled(before)


# 71: a restart


def reuse(manager: SessionManager, made: IssuedSession) -> None:
    """Redeem a refresh token, its successor, and it again."""
    manager.redeem(str(manager.redeem(str(made.refresh_token)).refresh_token))
    with pytest.raises(SessionEnded):
        manager.redeem(str(made.refresh_token))


ENDS: dict[str, Callable[[SessionManager, IssuedSession], object]] = {
    "revoked": SessionManager.revoke,
    "finished": SessionManager.end,
    "invalidated": SessionManager.invalidate,
    "agent": lambda manager, made: manager.agents.disable(made.agent_id),
    "key": lambda manager, made: manager.keys.rotate(emergency=True),
    "reuse": reuse,
}


@pytest.mark.parametrize("cause", ENDS)
def test_attack_71_what_has_ended_stays_ended_over_a_restart(
    database: str, clock: FakeClock, cause: str
) -> None:
    with open_manager(database, clock=clock) as manager:
        made = manager.create("a", scopes="x", refreshable=True)
        child = manager.delegate(made, "b", scopes="x", refreshable=True)
        ENDS[cause](manager, made)
        ended = [manager.get_session(each) for each in (made, child)]
        told = manager.events.read(types="session.expired")
    assert (ended[0].cause, ended[1].cause) == (cause, "parent")
    with open_manager(database, clock=clock) as again:
        again.agents.enable("a")
        for each in (made, child):
            calls: list[Callable[[], object]] = [
                partial(again.validate, each.as_context()),
                partial(again.redeem, str(each.refresh_token)),
                partial(again.refresh, each),
                partial(again.delegate, each, "c", scopes="x"),
            ]
            for call in calls:
                with pytest.raises(SessionEnded):
                    call()
            with pytest.raises(InvalidToken if cause == "key" else SessionEnded):
                again.validate(each.token)
            assert not again.revoke(each)
        assert [again.get_session(each) for each in (made, child)] == ended
        assert again.events.read(types="session.expired") == told


# 83: a child that asks for more

some_scopes = st.lists(st.sampled_from([*ACTIONS, "docs:*", "mail:*", "*"]), max_size=3).map(" ".join)
some_seconds = st.none() | st.integers(1, 400)


@settings(max_examples=60)
@given(held=some_scopes, scopes=some_scopes, uses=st.integers(1, 9), ttl=some_seconds, idle=some_seconds)
def test_attack_83_a_child_has_what_it_asked_for_or_is_refused_and_never_outlives_its_parent(
    held: str, scopes: str, uses: int, ttl: int | None, idle: int | None
) -> None:
    with open_manager() as manager:
        parent = manager.create("a", scopes=held, subject="user:ana", ttl=200, idle_timeout=100, max_uses=5)
        missing = parent.scopes.missing(ScopeSet.of(scopes))
        asked: dict[str, Any] = {"scopes": scopes, "max_uses": uses, "ttl": ttl, "idle_timeout": idle}
        for name in ("subject", "workspace_id", "max_lifetime", "depth"):
            more: dict[str, Any] = {**asked, name: "user:eve"}
            with pytest.raises(TypeError, match=name):
                manager.delegate(parent, "b", **more)
        if missing or uses > 5:
            with pytest.raises(DelegationRefused) as refusal:
                manager.delegate(parent, "b", **asked)
            assert refusal.value.missing == missing
            assert manager.get_session(parent).uses_left == 5
            return
        child = manager.delegate(parent, "b", **asked)
        assert (child.scopes, child.uses_left) == (ScopeSet.of(scopes), uses)
        assert (child.subject, child.depth) == ("user:ana", 1)
        lived = min(ttl or 200, 200) * SECOND
        assert to_microseconds(child.expires_at) - to_microseconds(parent.created_at) <= lived + 1
        assert child.expires_at <= parent.expires_at
        assert child.absolute_expires_at == parent.absolute_expires_at
        assert child.idle_timeout == min(idle or 100, 100)


# 85: the confused deputy

ALLOW = {"name": "any", "effect": "allow", "actions": "*"}


@settings(max_examples=60)
@given(
    user=some_scopes,
    deputy=some_scopes,
    ceiling=some_scopes,
    denied=st.none() | st.tuples(st.sampled_from(["user", "deputy"]), st.sampled_from(ACTIONS)),
)
def test_attack_85_a_deputy_may_do_below_a_user_what_both_may_and_no_more(
    user: str, deputy: str, ceiling: str, denied: tuple[str, str] | None
) -> None:
    rules = [ALLOW]
    if denied is not None:
        rules.append({"name": "no", "effect": "deny", "actions": denied[1], "when": {"role": denied[0]}})  # type: ignore[dict-item]
    roles = {"user": {"may_become": "deputy"}, "deputy": {"scopes": "*"}}
    with open_manager(policy={"roles": roles, "rules": rules}) as manager:
        narrow = manager.create("planner", scopes=user, role="user", subject="user:ana")
        broad = manager.create("mailer", scopes=deputy, role="deputy")
        both = narrow.scopes.intersect(broad.scopes)
        below = manager.delegate(narrow, "mailer", scopes=both, role="deputy")
        manager.reload_policy({"roles": {**roles, "deputy": {"scopes": ceiling}}, "rules": rules})
        with manager.use(broad.token), manager.use(below.token):
            context = current_session()
        asked = [manager.validate(each.token) for each in (narrow, broad)]
        for action in ACTIONS:
            allowed = [bool(manager.authorize(each, action)) for each in asked]
            assert bool(manager.authorize(context, action)) is all(allowed)


def test_attack_85_the_deputys_own_session_lends_nothing_to_the_one_it_acts_in(
    manager: SessionManager,
) -> None:
    @requires("mail:send")
    def send() -> str:
        return current_session().subject

    broad = manager.create("mailer", scopes="mail:* docs:*")
    narrow = manager.create("planner", scopes="docs:read", subject="user:ana")
    below = manager.delegate(narrow.token, "mailer", scopes="docs:read")
    with manager.use(broad.token):
        assert send() == "agent:mailer"
        with manager.use(below.token):
            with pytest.raises(InsufficientScope, match="mailer lacks mail:send"):
                send()
            with pytest.raises(DelegationRefused, match="mailer lacks mail:send"):
                manager.delegate(current_session(), "mailer", scopes="mail:send")
            with pytest.raises(InsufficientScope):
                manager.validate(replace(current_session(), scopes=broad.scopes), require="mail:send")
