"""The policy in force: what it leaves of scopes, who decides, and that every process hears of a change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clawguard import (
    AsyncSessionManager,
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    SessionEnded,
    SessionManager,
    StoreUnavailable,
    Verifier,
)
from clawguard.errors import ConfigError, PolicyDenied
from clawguard.guard import load_policy
from clawguard.scopes import ScopeSet
from tests.clocks import FakeClock
from tests.contract.conftest import on_a_file
from tests.openers import KEK, open_manager, raw

CEILINGS: dict[str, Any] = {
    "roles": {
        "coordinator": {"scopes": "docs:* tasks:*", "may_become": ["reader"]},
        "reader": {"scopes": "docs:read"},
    },
    "tasks": {"plan": {"scopes": "docs:* tasks:* web:*"}, "write": {"scopes": "docs:write"}},
}
GRANT: dict[str, Any] = {
    "roles": {"coordinator": {"scopes": "tasks:*"}},
    "grants": [
        {"name": "search", "scopes": "web:search", "from_role": "coordinator", "to_agent": "searcher"}
    ],
}
RULES: dict[str, Any] = {
    "rules": [
        {"name": "readers", "effect": "allow", "actions": "docs:*"},
        {"name": "no-prod", "effect": "deny", "actions": "docs:write", "when": {"resource": "prod/*"}},
        {"name": "private", "effect": "mask", "actions": "docs:read", "when": {"risk_above": 0.5},
         "fields": ["email"]},
    ]
}  # fmt: skip


@pytest.fixture
def managers(database: str, clock: FakeClock) -> Iterator[tuple[SessionManager, SessionManager]]:
    """Return the managers of two processes."""
    with open_manager(database, clock=clock) as one, open_manager(database, clock=clock) as other:
        yield one, other


def test_without_a_policy_roles_are_texts(manager: SessionManager) -> None:
    assert manager.policy.is_empty
    made = manager.create("a", scopes="x", role="anything", task_type="anything")
    assert manager.validate(made.token).scopes == ScopeSet.of("x")
    assert "policy" not in manager.events.read()[0].data


def test_attack_82_a_role_and_a_task_come_from_the_policy_and_have_at_most_what_it_says(
    manager: SessionManager,
) -> None:
    policy = manager.reload_policy(CEILINGS)
    for given, argument in (({"role": "boss"}, "role"), ({"task_type": "fly"}, "task_type")):
        with pytest.raises(InvalidArgument, match="is not one of the policy's") as caught:
            manager.create("a", scopes="docs:read", **given)  # type: ignore[arg-type]
        assert caught.value.argument == argument
    with pytest.raises(PolicyDenied, match="role reader and task plan may not have docs:write"):
        manager.create("a", scopes="docs:read docs:write", role="reader", task_type="plan")
    made = manager.create("a", scopes="docs:read", role="reader", task_type="plan")
    assert manager.active_count() == 1
    assert manager.events.read(types="session.created")[0].data["policy"] == policy.digest
    assert manager.validate(made.token, require="docs:read").role == "reader"


def test_attack_82_a_child_has_its_parents_role_but_for_a_step_that_the_policy_names(
    manager: SessionManager,
) -> None:
    manager.reload_policy(CEILINGS)
    parent = manager.create("a", scopes="docs:* tasks:run", role="coordinator")
    with pytest.raises(DelegationRefused, match="role and task may not have docs:write"):
        manager.delegate(parent, "b", scopes="docs:write", role="reader")
    reader = manager.delegate(parent, "b", scopes="docs:read", role="reader")
    assert manager.validate(reader.token).role == "reader"
    with pytest.raises(DelegationRefused, match="may_become"):
        manager.delegate(reader, "c", scopes="docs:read", role="coordinator")
    writer = manager.delegate(parent, "d", scopes="docs:write", task_type="write")
    with pytest.raises(DelegationRefused, match="d lacks docs:read"):
        manager.delegate(writer, "e", scopes="docs:read")


def test_a_change_is_in_force_everywhere_from_the_next_validate_on(
    managers: tuple[SessionManager, SessionManager], database: str, clock: FakeClock
) -> None:
    one, other = managers
    one.reload_policy(CEILINGS)
    parent = one.create("a", scopes="docs:* tasks:run", role="coordinator")
    child = one.delegate(parent, "b", scopes="docs:* tasks:run")
    with Verifier.open(database, clock=clock) as verifier:
        places: tuple[SessionManager | Verifier, ...] = (one, other, verifier)
        for place in places:
            for token in (parent.token, child.token, child.token):
                assert place.validate(token).scopes == ScopeSet.of("docs:* tasks:run")
        contexts = [place.validate(child.token) for place in places]
        narrower = CEILINGS | {"roles": {"coordinator": {"scopes": "docs:read"}}}
        assert other.reload_policy(narrower).digest == one.policy.digest
        for place, context in zip(places, contexts, strict=True):
            assert place.validate(child.token).scopes == ScopeSet.of("docs:read")
            assert place.validate(parent.token).scopes == ScopeSet.of("docs:read")
            assert place.validate(context).scopes == ScopeSet.of("docs:read")
            with pytest.raises(InsufficientScope):
                place.validate(child.token, require="tasks:run")
        one.reload_policy({})
        assert verifier.validate(child.token).scopes == ScopeSet.of("docs:* tasks:run")


def test_a_refreshed_token_has_no_more_than_the_policy_leaves(manager: SessionManager) -> None:
    manager.reload_policy(CEILINGS)
    made = manager.create("a", scopes="docs:* tasks:run", role="coordinator")
    manager.reload_policy({"roles": {"coordinator": {"scopes": "docs:read"}}})
    renewed = manager.refresh(made)
    assert manager.validate(renewed.token).scopes == ScopeSet.of("docs:read")
    with pytest.raises(DelegationRefused, match="a lacks tasks:run"):
        manager.delegate(renewed.token, "b", scopes="tasks:run")


def test_a_role_that_is_gone_leaves_nothing(manager: SessionManager) -> None:
    manager.reload_policy(CEILINGS)
    made = manager.create("a", scopes="docs:read", role="reader")
    manager.reload_policy({"roles": {"coordinator": {}}})
    assert len(manager.validate(made.token).scopes) == 0


def test_a_grant_and_only_that_hands_on_what_the_giver_lacks(manager: SessionManager) -> None:
    manager.reload_policy(GRANT)
    giver = manager.create("boss", scopes="tasks:*", role="coordinator")
    for agent, grant, match in (
        ("searcher", None, "boss lacks web:search"),
        ("searcher", "other", "the policy has no grant 'other'"),
        ("stranger", "search", "is not for boss to stranger"),
    ):
        with pytest.raises(DelegationRefused, match=match):
            manager.delegate(giver, agent, scopes="tasks:run web:search", grant=grant)
    with pytest.raises(DelegationRefused, match="boss lacks web:write"):
        manager.delegate(giver, "searcher", scopes="web:search web:write", grant="search")
    assert manager.active_count() == 1


def test_what_a_grant_gives_is_recorded_and_hangs_on_the_policy_of_the_moment(
    managers: tuple[SessionManager, SessionManager],
) -> None:
    one, other = managers
    grant = {**GRANT, "roles": {"coordinator": {}}}
    policy = one.reload_policy(grant)
    giver = one.create("boss", scopes="tasks:*", role="coordinator")
    taker = one.delegate(giver.token, "searcher", scopes="tasks:run web:search", grant="search")
    below = one.delegate(taker, "helper", scopes="web:search")
    unneeded = one.delegate(giver, "searcher", scopes="tasks:run", grant="search")
    assert [(each.grant_name, each.granted) for each in (giver, taker, below, unneeded)] == [
        (None, False), ("search", True), (None, True), (None, False),
    ]  # fmt: skip
    (event,) = one.events.read(types="guard.granted")
    assert event.session_id == taker.id
    data = {"grant": "search", "scopes": "web:search", "parent_id": giver.id, "policy": policy.digest}
    assert event.data == data
    for manager in managers:
        assert manager.validate(taker.token).scopes == ScopeSet.of("tasks:run web:search")
        assert manager.validate(below.token).scopes == ScopeSet.of("web:search")
    for narrower in (
        {},
        {**grant, "grants": []},
        {**grant, "grants": [{**grant["grants"][0], "to_agent": "x"}]},
    ):
        other.reload_policy(narrower)
        assert one.validate(taker.token).scopes == ScopeSet.of("tasks:run")
        assert len(one.validate(below.token).scopes) == 0
        with pytest.raises(DelegationRefused):
            one.delegate(taker, "late", scopes="web:search")
    other.reload_policy(grant)
    assert one.validate(below.token).scopes == ScopeSet.of("web:search")


def test_attack_84_a_child_in_a_wider_role_is_bound_by_its_ancestors_ceiling_and_denies(
    manager: SessionManager,
) -> None:
    roles = {"clerk": {"scopes": "docs:*", "may_become": "boss"}, "boss": {"scopes": "docs:* mail:*"}}
    manager.reload_policy({"roles": {**roles, "clerk": {"may_become": "boss"}}})
    clerk = manager.create("a", scopes="docs:* mail:send", role="clerk")
    boss = manager.delegate(clerk, "b", scopes="docs:* mail:send", role="boss")
    below = manager.delegate(boss.token, "c", scopes="docs:* mail:send")
    deny = {"name": "no", "effect": "deny", "actions": "docs:write", "when": {"role": "clerk"}}
    allow = {"name": "any", "effect": "allow", "actions": "*"}
    manager.reload_policy({"roles": roles, "rules": [allow, deny]})
    for child in (boss, below):
        context = manager.validate(child.token)
        assert (context.role, context.scopes) == ("boss", ScopeSet.of("docs:*"))
        assert manager.authorize(context, "docs:read")
        assert manager.authorize(context, "docs:write").rule == "no"
        assert manager.authorize(context, "mail:send").reason == "insufficient_scope"
        with pytest.raises(DelegationRefused, match="lacks mail:send"):
            manager.delegate(child.token, "d", scopes="mail:send")
    alone = manager.create("b", scopes="docs:* mail:send", role="boss")
    assert all(manager.authorize(alone.as_context(), each) for each in ("docs:write", "mail:send"))


def test_each_change_is_an_event_and_the_same_policy_none(manager: SessionManager) -> None:
    first = manager.reload_policy(CEILINGS)
    assert manager.reload_policy(dict(CEILINGS)) == first == manager.policy
    second = manager.reload_policy(load_policy(RULES))
    manager.reload_policy(CEILINGS, actor="ana")
    told = manager.events.read(types="policy.changed")
    assert [each.actor for each in told] == ["host", "host", "ana"]
    said = [each.data for each in told]
    assert said == [
        {"digest": first.digest},
        {"digest": second.digest, "previous": first.digest},
        {"digest": first.digest, "previous": second.digest},
    ]


def test_a_file_is_read_again_and_a_fault_in_it_changes_nothing(tmp_path: Path, database: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('[roles.reader]\nscopes = "docs:read"\n')
    with open_manager(database, policy=file) as manager:
        first = manager.policy
        made = manager.create("a", scopes="docs:read", role="reader")
        file.write_text('[roles.reader]\nscopes = "docs read!"\n')
        with pytest.raises(ConfigError, match=r"line 2, roles\.reader\.scopes: holds a malformed scope"):
            manager.reload_policy()
        assert manager.policy == first
        assert manager.validate(made.token).scopes == ScopeSet.of("docs:read")
        file.write_text("[roles.reader]\nscopes = []\n")
        assert manager.reload_policy() != first
        assert len(manager.validate(made.token).scopes) == 0
        assert len(manager.events.read(types="policy.changed")) == 2
    with open_manager(database) as again:
        assert again.policy.roles.keys() == {"reader"}
        with pytest.raises(InvalidArgument, match="no file is known"):
            again.reload_policy()


@on_a_file
def test_a_fault_at_open_makes_nothing(database: str) -> None:
    path = Path(database)
    with pytest.raises(ConfigError, match=r"roles\.a\.scope: "):
        open_manager(path, policy={"roles": {"a": {"scope": "x"}}})
    assert not path.parent.exists()


def test_a_stored_policy_that_was_changed_lets_nobody_in(database: str) -> None:
    with open_manager(database, policy=CEILINGS) as manager:
        made = manager.create("a", scopes="docs:read", role="reader")
        with raw(database) as inside:
            inside.execute("UPDATE policies SET body = '{}'")
            inside.execute("UPDATE meta SET revision = revision + 1")
        manager.keys._guard.replace(manager.keys._guard.ring, load_policy({}))
        with pytest.raises(StoreUnavailable, match="policy in force cannot be read"):
            manager.validate(made.token)


def test_authorize_says_which_rule_decided(manager: SessionManager) -> None:
    policy = manager.reload_policy(RULES)
    context = manager.validate(manager.create("a", scopes="docs:*").token)
    assert manager.authorize(context, "docs:read").rule == "readers"
    decision = manager.authorize(context, "docs:read", risk=0.9).require()
    assert decision.mask({"email": "a@b", "id": 1}) == {"email": "***", "id": 1}
    refusal = manager.authorize(context, "docs:write", resource="prod/x")
    assert (refusal.allowed, refusal.rule, refusal.policy) == (False, "no-prod", policy.digest)
    with pytest.raises(PolicyDenied, match="docs:write is denied"):
        refusal.require()
    assert not manager.authorize(context, "mail:send")
    manager.prune_expired()
    said = [each.data for each in manager.events.read(types="guard.denied")]
    assert said == [
        {"action": "docs:write", "rule": "no-prod", "policy": policy.digest, "count": 1},
        {"action": "mail:send", "policy": policy.digest, "count": 1},
    ]


def test_authorize_believes_the_row_not_the_context(manager: SessionManager) -> None:
    manager.reload_policy({**CEILINGS, **RULES})
    made = manager.create("a", scopes="docs:read", role="reader")
    context = manager.validate(made.token)
    for change in ({"scopes": ScopeSet.of("*")}, {"role": "coordinator"}, {"workspace_id": "x"}):
        assert not manager.authorize(replace(context, **change), "docs:write")
    manager.revoke(made)
    with pytest.raises(SessionEnded):
        manager.authorize(context, "docs:read")


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"action": "docs:*"}, "action"),
        ({"action": "Docs"}, "action"),
        ({"action": 7}, "action"),
        ({"resource": ""}, "resource"),
        ({"resource": "a\n"}, "resource"),
        ({"risk": -1}, "risk"),
        ({"risk": float("nan")}, "risk"),
        ({"risk": float("inf")}, "risk"),
        ({"risk": True}, "risk"),
        ({"risk": "1"}, "risk"),
    ],
)
def test_authorize_names_the_bad_argument(
    manager: SessionManager, given: dict[str, Any], argument: str
) -> None:
    context = manager.validate(manager.create("a", scopes="docs:*").token)
    asked = {"action": "docs:read", "resource": None, "risk": 0, **given}
    with pytest.raises(InvalidArgument) as caught:
        manager.authorize(context, asked.pop("action"), **asked)
    assert caught.value.argument == argument


def test_authorize_takes_no_token(manager: SessionManager) -> None:
    with pytest.raises(InvalidArgument, match="validate"):
        manager.authorize(manager.create("a", scopes="docs:*").token, "docs:read")  # type: ignore[arg-type]


def test_the_policy_is_awaited_too(database: str) -> None:
    async def life() -> None:
        async with AsyncSessionManager.open(database, policy=RULES, kek=KEK) as manager:
            context = await manager.validate((await manager.create("a", scopes="docs:*")).token)
            assert await manager.authorize(context, "docs:read")
            assert (await manager.reload_policy({})).is_empty
            assert manager.policy.is_empty

    asyncio.run(life())


def test_a_policy_that_cannot_be_read_back_at_once_is_in_force_all_the_same(
    managers: tuple[SessionManager, SessionManager], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = managers
    calls = iter([False])

    def catch_up() -> bool:
        for answer in calls:
            return answer
        raise StoreUnavailable("gone")

    monkeypatch.setattr(one._parts.keychain, "catch_up", catch_up)
    one.reload_policy(CEILINGS)
    monkeypatch.undo()
    assert other.policy.digest == one.policy.digest == load_policy(CEILINGS).digest
