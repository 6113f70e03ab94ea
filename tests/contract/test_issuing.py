"""Create and delegate: what a session gets, by default and when asked, and never more than its parent has."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from clawguard import (
    DelegationRefused,
    InvalidArgument,
    InvalidToken,
    KeyInUse,
    SessionEnded,
    SessionManager,
    SessionNotFound,
    TokenSuperseded,
)
from tests.clocks import FakeClock
from tests.refusing import UNKNOWN

# create


def test_create_keeps_what_it_was_given(manager: SessionManager) -> None:
    made = manager.create(
        "planner",
        scopes="docs:read mail:*",
        role="lead",
        task_type="plan",
        subject="user:ana",
        workspace_id="acme",
        audience="mail",
        key="telegram_1",
        name="Plan",
        ttl=timedelta(minutes=15),
        idle_timeout=60,
        max_lifetime=3_600,
        delegable=False,
        metadata={"a": [1, {"b": None}]},
        agent_alias="P",
        engine_url="https://engine.example",
        engine_version="1",
        channel_id="c",
        room_id="r",
        sender_id="s",
    )
    kept = manager.get_session(made.id)
    assert made.to_dict() == kept.to_dict()
    assert (kept.agent_id, kept.role, kept.task_type, kept.subject) == ("planner", "lead", "plan", "user:ana")
    assert (kept.workspace_id, kept.audience, kept.key, kept.name) == ("acme", "mail", "telegram_1", "Plan")
    assert (kept.ttl, kept.idle_timeout, kept.delegable) == (900.0, 60.0, False)
    assert kept.metadata == {"a": [1, {"b": None}]}
    assert (kept.agent_alias, kept.engine_url, kept.engine_version) == ("P", "https://engine.example", "1")
    assert (kept.channel_id, kept.room_id, kept.sender_id) == ("c", "r", "s")
    assert kept.expires_at == kept.created_at + timedelta(minutes=15)
    assert kept.absolute_expires_at == kept.created_at + timedelta(hours=1)
    assert kept.due_at == kept.created_at + timedelta(seconds=60)


def test_create_has_lawful_defaults(manager: SessionManager) -> None:
    made = manager.create("planner", scopes="")
    assert (made.subject, made.workspace_id, made.audience) == ("agent:planner", "default", "clawguard")
    assert (made.generation, made.version, made.depth, made.root_id) == (1, 1, 0, made.id)
    assert (made.role, made.key, made.idle_timeout, made.state) == (None, None, None, "idle")
    assert made.absolute_expires_at - made.created_at == timedelta(days=1)
    assert len(made.scopes) == 0


def test_an_agent_may_be_named_by_a_uuid(manager: SessionManager) -> None:
    agent = uuid.UUID(UNKNOWN)
    assert manager.create(agent, scopes="x").agent_id == UNKNOWN
    assert manager.revoke_all_for_agent(agent).count == 1


def test_create_session_takes_the_old_order_of_arguments(manager: SessionManager) -> None:
    made = manager.create_session("planner", "lead", ["docs:read"], "plan")
    assert (made.agent_id, made.role, str(made.scopes), made.task_type) == (
        "planner",
        "lead",
        "docs:read",
        "plan",
    )


def test_a_live_key_is_refused_and_free_again_after_the_end(
    manager: SessionManager, clock: FakeClock
) -> None:
    first = manager.create("a", scopes="x", key="k", ttl=10)
    with pytest.raises(KeyInUse) as refusal:
        manager.create("b", scopes="x", key="k")
    assert refusal.value.session_id == first.id
    assert manager.create("b", scopes="x", key="k", workspace_id="other").key == "k"
    clock.advance(10)
    second = manager.create("c", scopes="x", key="k")
    assert manager.get_session(first.id).cause == "ttl"
    manager.revoke(second)
    assert manager.create("d", scopes="x", key="k").key == "k"


def test_a_repeated_request_makes_no_second_session(manager: SessionManager) -> None:
    first = manager.create("a", scopes="x", request_id="r")
    again = manager.create("a", scopes="x", request_id="r")
    assert again.id == first.id
    assert manager.validate(again.token).session_id == manager.validate(first.token).session_id
    with pytest.raises(InvalidArgument, match="request_id"):
        manager.create("b", scopes="x", request_id="r")
    assert manager.active_count() == 1
    manager.revoke(first)
    with pytest.raises(SessionEnded):
        manager.create("a", scopes="x", request_id="r")


def test_a_repeated_request_works_after_a_rotation(manager: SessionManager) -> None:
    first = manager.create("a", scopes="x", request_id="r")
    manager.keys.rotate()
    again = manager.create("a", scopes="x", request_id="r")
    assert again.id == first.id
    assert manager.validate(again.token).session_id == first.id


def test_a_repeated_request_for_a_session_past_its_end_says_so(
    manager: SessionManager, clock: FakeClock
) -> None:
    manager.create("a", scopes="x", ttl=10, request_id="r")
    clock.advance(10)
    with pytest.raises(SessionEnded):
        manager.create("a", scopes="x", ttl=10, request_id="r")


@pytest.mark.timeout(20)
def test_a_request_whose_session_ended_by_the_logs_clock_is_told_so_after_a_rotation(
    manager: SessionManager, clock: FakeClock
) -> None:
    manager.create("a", scopes="x", ttl=10, request_id="r")
    manager.keys.rotate()
    clock.advance(10)
    manager.create("b", scopes="x")
    clock.set_back(4)
    with pytest.raises(SessionEnded, match="ttl"):
        manager.create("a", scopes="x", ttl=10, request_id="r")


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("agent_id", {"agent_id": ""}),
        ("agent_id", {"agent_id": 5}),
        ("agent_id", {"agent_id": "a\n"}),
        ("agent_id", {"agent_id": "\ud800"}),
        ("agent_id", {"agent_id": "a" * 256}),
        ("scopes", {"scopes": "Mail:Read"}),
        ("scopes", {"scopes": None}),
        ("scopes", {"scopes": ["a b"]}),
        ("scopes", {"scopes": "a:*:b"}),
        ("ttl", {"ttl": 0}),
        ("ttl", {"ttl": -1}),
        ("ttl", {"ttl": float("nan")}),
        ("ttl", {"ttl": float("inf")}),
        ("ttl", {"ttl": True}),
        ("ttl", {"ttl": "15m"}),
        ("ttl", {"ttl": None}),
        ("ttl", {"ttl": 20 * 365 * 86_400}),
        ("idle_timeout", {"idle_timeout": 0}),
        ("max_lifetime", {"max_lifetime": -5}),
        ("subject", {"subject": "ana"}),
        ("workspace_id", {"workspace_id": ""}),
        ("audience", {"audience": "elsewhere"}),
        ("key", {"key": "\0"}),
        ("delegable", {"delegable": 1}),
        ("metadata", {"metadata": {"a": float("nan")}}),
        ("metadata", {"metadata": {"a": "x" * 20_000}}),
        ("metadata", {"metadata": [1]}),
        ("request_id", {"request_id": ""}),
        ("room_id", {"room_id": 5}),
    ],
)
def test_create_names_the_bad_argument_and_changes_nothing(
    manager: SessionManager, argument: str, given: dict[str, Any]
) -> None:
    wanted: dict[str, Any] = {"agent_id": "a", "scopes": "x", **given}
    with pytest.raises(InvalidArgument) as refusal:
        manager.create(wanted.pop("agent_id"), **wanted)
    assert refusal.value.argument == argument
    assert manager.active_count() == 0
    assert manager.events.read() == []


# delegate


@pytest.mark.parametrize("form", ["token", "issued", "record", "context"])
def test_a_child_has_what_it_was_given_and_no_more(
    manager: SessionManager, clock: FakeClock, form: str
) -> None:
    issued = manager.create(
        "lead", scopes="docs:* mail:send", role="r", task_type="t", subject="user:ana", ttl=100
    )
    parent: Any = {
        "token": issued.token,
        "issued": issued,
        "record": manager.get_session(issued.id),
        "context": issued.as_context(),
    }[form]
    clock.advance(10)
    child = manager.delegate(parent, "helper", scopes="docs:read", ttl=1_000)
    assert (child.parent_id, child.root_id, child.depth) == (issued.id, issued.id, 1)
    assert (child.subject, child.role, child.task_type) == ("user:ana", "r", "t")
    assert child.expires_at == issued.expires_at
    assert [tuple(each) for each in child.actors] == [("lead", issued.id)]
    assert manager.validate(child.token) == child.as_context()
    assert child.to_dict() == manager.get_session(child.id).to_dict()


def test_a_child_may_live_shorter_than_its_parent(manager: SessionManager, clock: FakeClock) -> None:
    parent = manager.create("lead", scopes="x", ttl=100)
    child = manager.delegate(parent, "helper", scopes="x", ttl=30)
    assert child.expires_at <= clock.datetime + timedelta(seconds=30, microseconds=1)


def test_attack_83_over_asked_scopes_are_refused_never_trimmed(manager: SessionManager) -> None:
    parent = manager.create("lead", scopes="docs:read")
    with pytest.raises(DelegationRefused) as refusal:
        manager.delegate(parent, "helper", scopes="docs:read mail:send docs:*")
    assert set(refusal.value.missing) == {"mail:send", "docs:*"}
    assert manager.active_count() == 1


def test_attack_83_delegation_stops_at_its_depth_its_role_and_where_it_is_not_allowed(
    manager: SessionManager,
) -> None:
    line = manager.create("a", scopes="x", role="r")
    for _ in range(8):
        line = manager.delegate(line, "a", scopes="x", role="r")
        assert manager.validate(line.token).actors == line.actors
    with pytest.raises(DelegationRefused, match="8 deep"):
        manager.delegate(line, "a", scopes="x")
    with pytest.raises(DelegationRefused, match="role"):
        manager.delegate(manager.create("a", scopes="x"), "b", scopes="x", role="boss")
    with pytest.raises(DelegationRefused, match="may not delegate"):
        manager.delegate(manager.create("a", scopes="x", delegable=False), "b", scopes="x")


def test_an_old_token_or_context_delegates_nothing(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    context = made.as_context()
    manager.refresh(made)
    for authority in (made.token, context):
        with pytest.raises(TokenSuperseded):
            manager.delegate(authority, "b", scopes="x")
    manager.delegate(manager.get_session(made.id), "b", scopes="x")


def test_nothing_is_delegated_below_an_end(manager: SessionManager, clock: FakeClock) -> None:
    ended = manager.create("a", scopes="x")
    manager.revoke(ended)
    due = manager.create("a", scopes="x", ttl=10)
    clock.advance(10)
    for parent in (ended, ended.token, ended.as_context(), due, due.token, due.as_context()):
        with pytest.raises(SessionEnded):
            manager.delegate(parent, "b", scopes="x")
    with pytest.raises(SessionNotFound):
        manager.delegate(replace(due.as_context(), session_id=UNKNOWN), "b", scopes="x")
    assert manager.active_count() == 0


def test_a_string_given_to_delegate_is_a_token_never_an_id(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    with pytest.raises(InvalidToken):
        manager.delegate(made.id, "b", scopes="x")


def test_a_repeated_delegation_makes_no_second_child(manager: SessionManager) -> None:
    parent = manager.create("a", scopes="x y")
    first = manager.delegate(parent, "b", scopes="x", request_id="r")
    assert manager.delegate(parent, "b", scopes="x", request_id="r").id == first.id
    with pytest.raises(InvalidArgument, match="request_id"):
        manager.delegate(parent, "b", scopes="y", request_id="r")


@pytest.mark.parametrize("verb", ["create", "disable", "revoke_all"])
def test_a_token_in_the_place_of_an_agents_name_is_refused_and_not_repeated(
    manager: SessionManager, verb: str
) -> None:
    session = manager.create("a", scopes="x", refreshable=True)
    verbs: dict[str, Callable[[str], object]] = {
        "create": lambda agent: manager.create(agent, scopes="x"),
        "disable": manager.agents.disable,
        "revoke_all": manager.revoke_all_for_agent,
    }
    assert session.refresh_token is not None
    before = manager.events.last()
    for token in (session.token, session.refresh_token):
        with pytest.raises(InvalidArgument, match="agent_id: is a token") as refusal:
            verbs[verb](token)
        assert token not in str(refusal.value)
    assert manager.events.last() == before
