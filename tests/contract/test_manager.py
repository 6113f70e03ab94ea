"""The verbs of a session's life, on every store."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from clawguard import (
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    IssuedSession,
    KeyInUse,
    SessionContext,
    SessionEnded,
    SessionManager,
    SessionNotFound,
    StoreUnavailable,
    TokenSuperseded,
)
from tests.clocks import FakeClock
from tests.openers import open_manager

UNKNOWN = "0190d2a0-1111-7000-8000-000000000001"


def refused(manager: SessionManager, token: str | SessionContext) -> str:
    """Return the cause with which a token's session ended."""
    with pytest.raises(SessionEnded) as refusal:
        manager.validate(token)
    return refusal.value.cause


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


# validate


def test_validate_says_what_the_row_says(manager: SessionManager) -> None:
    made = manager.create("a", scopes="docs:*", role="lead", task_type="plan", subject="user:ana")
    for _ in range(3):
        context = manager.validate(made.token)
        assert context == made.as_context()
        assert context.has_scope("docs:read")
        assert not context.has_scope("docs")


def test_validate_checks_the_scopes_it_is_asked_for(manager: SessionManager) -> None:
    token = manager.create("a", scopes="docs:read mail:*").token
    manager.validate(token, require="docs:read mail:send", any_of=["none", "mail:x"])
    with pytest.raises(InsufficientScope) as refusal:
        manager.validate(token, require="docs:read docs:write")
    assert (refusal.value.required, refusal.value.missing) == (("docs:read", "docs:write"), ("docs:write",))
    with pytest.raises(InsufficientScope):
        manager.validate(token, any_of="other else")
    with pytest.raises(InvalidArgument, match="require"):
        manager.validate(token, require="NO")


def test_validate_takes_a_token_for_the_asked_audience_only(manager: SessionManager) -> None:
    own = manager.create("a", scopes="x").token
    mail = manager.create("a", scopes="x", audience="mail").token
    for _ in range(2):
        assert manager.validate(own).audience == "clawguard"
        assert manager.validate(mail, audience="mail").audience == "mail"
        with pytest.raises(InvalidToken):
            manager.validate(mail)
        with pytest.raises(InvalidToken):
            manager.validate(own, audience="mail")
        with pytest.raises(InvalidArgument, match="audience"):
            manager.validate(own, audience="elsewhere")


def test_a_context_is_held_against_its_row_again(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    context = manager.validate(made.token)
    assert manager.validate(context) == context
    manager.refresh(made)
    with pytest.raises(TokenSuperseded):
        manager.validate(context)
    manager.revoke(made)
    assert refused(manager, context) == "revoked"


def test_a_forged_context_gains_nothing(manager: SessionManager) -> None:
    made = manager.create("a", scopes="docs:read")
    context = manager.validate(made.token)
    wide = replace(context, scopes=manager.create("b", scopes="*").scopes, agent_id="root", role="boss")
    seen = manager.validate(wide)
    assert (str(seen.scopes), seen.agent_id, seen.role) == ("docs:read", "a", None)
    for forged in (replace(context, session_id=UNKNOWN), replace(context, generation=2)):
        with pytest.raises(InvalidToken):
            manager.validate(forged)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "x" * 10_000, "\ud800", "a" * 43])
def test_what_is_no_token_is_refused_alike(manager: SessionManager, token: str) -> None:
    with pytest.raises(InvalidToken, match="the token is not valid"):
        manager.validate(token)
    assert manager.inspect(token).verdict == "invalid"


@pytest.mark.parametrize("token", [None, 5, b"a.b.c"])
def test_what_is_not_even_text_is_a_bad_argument(manager: SessionManager, token: Any) -> None:
    with pytest.raises(InvalidArgument):
        manager.validate(token)


def test_a_token_of_another_database_is_refused(manager: SessionManager) -> None:
    with open_manager() as other:
        foreign = other.create("a", scopes="*").token
    with pytest.raises(InvalidToken):
        manager.validate(foreign)


# inspect


def test_inspect_tells_what_a_token_is_and_never_raises(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("a", scopes="x", ttl=100)
    seen = manager.inspect(made.token)
    assert seen.verdict == "active"
    assert seen.session is not None
    assert seen.session.id == made.id
    assert seen.claims is not None
    assert (seen.claims["sid"], seen.claims["gen"]) == (made.id, 1)
    renewed = manager.refresh(made)
    assert manager.inspect(made.token).verdict == "superseded"
    clock.advance(100)
    assert manager.inspect(renewed.token).verdict == "ended"
    unsigned = renewed.token.rpartition(".")[0] + ".AAAA"
    assert manager.inspect(unsigned) == manager.inspect("rubbish")
    assert manager.inspect(unsigned).claims is None


# refresh


def test_refresh_gives_the_next_token_and_keeps_the_rest(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("a", scopes="x y", role="r", ttl=100, metadata={"a": 1})
    clock.advance(50)
    renewed = manager.refresh(made)
    assert (renewed.id, renewed.generation, renewed.version) == (made.id, 2, 2)
    assert (renewed.scopes, renewed.role, renewed.metadata) == (made.scopes, "r", {"a": 1})
    assert renewed.expires_at == clock.datetime + timedelta(seconds=100)
    assert renewed.to_dict() == manager.get_session(made.id).to_dict()
    assert manager.validate(renewed.token).generation == 2


@pytest.mark.parametrize("form", ["id", "record", "context", "uuid"])
def test_verbs_take_an_id_or_a_record(manager: SessionManager, form: str) -> None:
    made = manager.create("a", scopes="x")
    forms: dict[str, Any] = {
        "id": made.id,
        "record": manager.get_session(made.id),
        "context": made.as_context(),
        "uuid": uuid.UUID(made.id),
    }
    session = forms[form]
    assert manager.refresh(session).generation == 2
    assert manager.get_session(session).id == made.id
    assert manager.revoke(session) is True


def test_verbs_refuse_a_token_in_the_place_of_an_id(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    verbs = (manager.refresh, manager.revoke, manager.end, manager.invalidate, manager.get_session)
    for verb in (*verbs, manager.sessions.tree, manager.sessions.lineage, manager.sessions.children):
        with pytest.raises(InvalidArgument, match="is a token") as refusal:
            verb(made.token)
        assert made.token not in str(refusal.value)
    manager.validate(made.token)


def test_verbs_do_not_know_an_unknown_id(manager: SessionManager) -> None:
    verbs = (manager.refresh, manager.revoke, manager.end, manager.invalidate, manager.get_session)
    for verb in (*verbs, manager.sessions.tree, manager.sessions.lineage, manager.sessions.children):
        with pytest.raises(SessionNotFound):
            verb(UNKNOWN)


def test_refresh_is_a_compare_and_set_where_asked(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    assert manager.refresh(made, expected_generation=1).generation == 2
    with pytest.raises(TokenSuperseded):
        manager.refresh(made, expected_generation=1)
    assert manager.get_session(made.id).generation == 2


def test_refresh_with_a_ttl_moves_the_end_by_it_within_the_absolute_end(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", ttl=100, max_lifetime=200)
    clock.advance(10)
    assert manager.refresh(made, ttl=120).expires_at == clock.datetime + timedelta(seconds=120)
    assert manager.refresh(made, ttl=1).expires_at == clock.datetime + timedelta(seconds=120)
    assert manager.refresh(made, ttl=10_000).expires_at == made.created_at + timedelta(seconds=200)


@pytest.mark.parametrize("given", [{"ttl": 0}, {"ttl": "1h"}, {"expected_generation": "1"}])
def test_refresh_names_the_bad_argument_and_changes_nothing(
    manager: SessionManager, given: dict[str, Any]
) -> None:
    made = manager.create("a", scopes="x")
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        manager.refresh(made, **given)
    assert manager.validate(made.token).generation == 1


def test_an_ended_session_is_not_refreshed(manager: SessionManager, clock: FakeClock) -> None:
    revoked = manager.create("a", scopes="x")
    manager.revoke(revoked, reason="leaked")
    with pytest.raises(SessionEnded, match="leaked"):
        manager.refresh(revoked)
    due = manager.create("a", scopes="x", ttl=10)
    clock.advance(10)
    with pytest.raises(SessionEnded, match="ttl"):
        manager.refresh(due)
    assert manager.get_session(due.id).cause == "ttl"


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
