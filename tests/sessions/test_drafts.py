"""What a new session may be, what is told where it may not, and what its event says of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clawguard import ClawguardError, DelegationRefused, SessionManager
from clawguard.clock import to_microseconds
from tests.clocks import FakeClock
from tests.openers import open_manager

POLICY = {
    "roles": {"lead": {"scopes": "*", "may_become": ["clerk"]}, "clerk": {"scopes": "docs:*"}},
    "tasks": {"sum": {"scopes": "docs:read"}, "send": {"scopes": "mail:send"}},
}

Call = Callable[[SessionManager], object]


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with open_manager(clock=FakeClock(), policy=POLICY) as opened:
        yield opened


def below(manager: SessionManager, own: dict[str, Any], child: dict[str, Any]) -> object:
    parent = manager.create("a", **{"scopes": "docs:read mail:send", "role": "lead", **own})
    return manager.delegate(parent, "b", **{"scopes": "docs:read", "role": "clerk", **child})


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            lambda m: below(m, {"delegable": False}, {}),
            "the session may not delegate; create it with delegable=True",
        ),
        (
            lambda m: below(m, {}, {"refreshable": True}),
            "the parent has no refresh token; create it with refreshable=True",
        ),
        (lambda m: below(m, {"max_uses": 5}, {}), "the parent's uses are counted; give the child max_uses="),
        (
            lambda m: below(m, {"cnf": {"jkt": "A" * 43}}, {}),
            "the parent is bound to a key; bind the child to its own: cnf=",
        ),
        (
            lambda m: m.create("a", scopes="docs:read mail:send", role="lead", task_type="sum"),
            "create is denied: role lead and task sum may not have mail:send",
        ),
        (lambda m: below(m, {}, {"request_id": ""}), "request_id: must be 1 to 255 printable characters"),
        (lambda m: below(m, {}, {"grant": ""}), "grant: must be 1 to 255 printable characters"),
        (lambda m: below(m, {}, {"idle_timeout": 0}), "idle_timeout: must be more than 0 seconds"),
        (lambda m: below(m, {}, {"ttl": 0}), "ttl: must be more than 0 seconds"),
        (
            lambda m: m.create("a", scopes="x", max_uses=2**53),
            "max_uses: must be an integer of at least 1, or None",
        ),
        (lambda m: m.create("a", scopes="x", idle_timeout=0), "idle_timeout: must be more than 0 seconds"),
        (lambda m: m.create("a", scopes="x", key=""), "key: must be 1 to 255 printable characters"),
        (
            lambda m: m.create(m.create("a", scopes="x").token, scopes="x"),
            "agent_id: is a token, not the name of an agent",
        ),
        (lambda m: m.create("a" * 250, scopes="x"), "agent_id: must be at most 249 characters"),
    ],
)
def test_what_no_session_may_be_is_told(manager: SessionManager, asked: Call, told: str) -> None:
    with pytest.raises(ClawguardError) as refused:
        asked(manager)
    assert str(refused.value) == told


def test_what_its_role_and_task_lack_is_named(manager: SessionManager) -> None:
    with pytest.raises(DelegationRefused, match="role and task may not have mail:send") as refused:
        below(manager, {}, {"scopes": "docs:read mail:send"})
    assert refused.value.missing == ("mail:send",)


def test_a_parents_task_bounds_its_children(manager: SessionManager) -> None:
    parent = manager.create("a", scopes="docs:read", role="lead", task_type="sum")
    context = manager.validate(manager.delegate(parent, "b", scopes="docs:read", role="clerk").token)
    assert manager.authorize(context, "docs:read")
    with pytest.raises(DelegationRefused):
        manager.delegate(parent, "b", scopes="mail:send", role="lead")


def test_an_agent_may_be_named_by_a_uuid_and_uses_be_many(manager: SessionManager) -> None:
    named = uuid.UUID(int=7)
    made = manager.create(named, scopes="x", max_uses=2**53 - 1)
    assert (made.agent_id, made.uses_left) == (str(named), 2**53 - 1)


def test_the_event_of_a_new_session_says_what_it_may(manager: SessionManager) -> None:
    made = manager.create(
        "a", scopes="docs:read", role="lead", task_type="sum", max_uses=3, subject="user:ana"
    )
    told = manager.events.read(types="session.created")[-1]
    assert (told.session_id, told.agent_id, told.subject) == (made.id, "a", "user:ana")
    said = {name: told.data[name] for name in ("expires_at", "uses", "role", "task_type")}
    end = to_microseconds(made.expires_at)
    assert said == {"expires_at": end, "uses": 3, "role": "lead", "task_type": "sum"}
    assert told.data["scopes"] == "docs:read"


def test_a_name_may_be_as_long_as_its_actor_has_room_for(manager: SessionManager) -> None:
    assert manager.create("a" * 249, scopes="x").agent_id == "a" * 249


def test_a_task_that_was_narrowed_since_bounds_what_is_below_it_whatever_that_does() -> None:
    with open_manager(
        clock=FakeClock(), policy={"tasks": {"sum": {"scopes": "*"}, "all": {"scopes": "*"}}}
    ) as m:
        parent = m.create("a", scopes="docs:read docs:write", task_type="sum")
        m.reload_policy({"tasks": {"sum": {"scopes": "docs:read"}, "all": {"scopes": "*"}}})
        with pytest.raises(DelegationRefused) as refused:
            m.delegate(parent, "b", scopes="docs:write", task_type="all")
        assert refused.value.missing == ("docs:write",)
        assert str(m.delegate(parent, "b", scopes="docs:read", task_type="all").scopes) == "docs:read"


def test_what_only_a_grant_gives_is_told_in_the_name_of_the_child() -> None:
    grant = {"name": "mail", "scopes": "mail:send", "from_role": "lead", "to_role": "clerk"}
    roles = {"lead": {"scopes": "*", "may_become": ["clerk"]}, "clerk": {"scopes": "*"}}
    policy = {"roles": roles, "grants": [grant]}
    with open_manager(clock=FakeClock(), policy=policy) as manager:
        parent = manager.create("a", scopes="docs:read", role="lead", subject="user:ana")
        child = manager.delegate(parent.token, "b", scopes="docs:read mail:send", role="clerk", grant="mail")
        (told,) = manager.events.read(types="guard.granted")
        assert (told.session_id, told.agent_id, told.subject) == (child.id, "b", "user:ana")
        assert (told.workspace_id, told.version) == (child.workspace_id, child.version)
        assert told.actor == f"session:{parent.id}"
        assert "mail:send" in str(told.data)
