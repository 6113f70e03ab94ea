"""The policy: authority narrows along a line, rules never give, denies bind everything below."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard.errors import InvalidArgument, PolicyDenied
from clawguard.guard.policy import Member, Policy, authority_of, decide
from clawguard.guard.policy_file import load_policy
from clawguard.models import Decision
from clawguard.scopes import ScopeSet

ROLES, TASKS, AGENTS = ("boss", "clerk", "guest"), ("plan", "write"), ("ana", "ben", "cyd")
SCOPES = ("docs:read", "docs:write", "docs:*", "mail:send", "web:search", "*")
ACTIONS = ("docs:read", "docs:write", "mail:send", "web:search")
GRANTS = ("one", "two")


def member(role: str | None = None, scopes: str = "*", **rest: Any) -> Member:
    given: dict[str, Any] = {"agent_id": "ana", "task_type": None, "grant_name": None, **rest}
    return Member(role=role, scopes=ScopeSet.of(scopes), **given)


def ask(policy: Policy, *line: Member, action: str = "docs:read", **facts: Any) -> Decision:
    given = {"workspace_id": "default", "resource": None, "risk": 0.0, **facts}
    return decide(policy, line, scopes=authority_of(policy, line)[-1], action=action, **given)


def rule(name: str, effect: str = "allow", actions: str = "docs:*", **rest: Any) -> dict[str, Any]:
    return {"name": name, "effect": effect, "actions": actions, **rest}


def test_without_a_policy_scopes_alone_decide() -> None:
    assert ask(Policy.empty(), member(scopes="docs:*")).allowed
    refusal = ask(Policy.empty(), member(scopes="docs:*"), action="mail:send")
    assert (refusal.allowed, refusal.reason) == (False, "insufficient_scope")


def test_once_there_are_rules_the_default_is_deny() -> None:
    policy = load_policy({"rules": [rule("read", actions="docs:read")]})
    assert ask(policy, member()).rule == "read"
    refusal = ask(policy, member(), action="docs:write")
    assert not refusal
    assert (refusal.reason, refusal.rule) == ("no_rule_allows", None)


def test_a_rule_never_gives_what_the_scopes_do_not() -> None:
    policy = load_policy({"rules": [rule("all", actions="*")]})
    assert ask(policy, member(scopes="mail:send")).reason == "insufficient_scope"


def test_an_explicit_deny_beats_every_allow_whatever_the_priorities() -> None:
    rules = [rule("yes", priority=100), rule("no", "deny", priority=-5, reason="not today")]
    refusal = ask(load_policy({"rules": rules}), member())
    assert (refusal.allowed, refusal.rule, refusal.reason) == (False, "no", "not today")


def test_the_rule_of_the_highest_priority_is_the_one_named() -> None:
    rules = [rule("low"), rule("high", priority=5), rule("middle", priority=2)]
    assert ask(load_policy({"rules": rules}), member()).rule == "high"


def test_a_mask_allows_nothing_and_is_attached_to_an_allow() -> None:
    mask = rule("mask", "mask", when={"role": "clerk"}, fields=["email", "author.phone"])
    assert not ask(load_policy({"rules": [mask]}), member("clerk"))
    policy = load_policy({"rules": [rule("read"), mask]})
    assert ask(policy, member("boss")).masked_fields == ()
    decision = ask(policy, member("clerk")).require()
    assert decision.masked_fields == ("author.phone", "email")
    record = {"email": "a@b", "author": [{"phone": "1", "name": "x"}], "phone": "2"}
    hidden = {"email": "***", "author": [{"phone": "***", "name": "x"}], "phone": "2"}
    assert decision.mask(record) == hidden
    assert decision.mask([record]) == [hidden]
    assert record["email"] == "a@b"


def test_a_denial_gives_no_record_out() -> None:
    refusal = ask(Policy.empty(), member(scopes="mail:send"))
    with pytest.raises(PolicyDenied, match="docs:read is denied: insufficient_scope") as caught:
        refusal.mask({"secret": 1})
    assert caught.value.decision is refusal


@pytest.mark.parametrize(
    ("when", "facts", "holds"),
    [
        ({"role": ["boss", "clerk"]}, {}, True),
        ({"role": "guest"}, {}, False),
        ({"task": "plan"}, {}, True),
        ({"task": "write"}, {}, False),
        ({"workspace": "default"}, {}, True),
        ({"workspace": "default"}, {"workspace_id": "acme"}, False),
        ({"scope": "mail:send"}, {}, True),
        ({"scope": "web:search"}, {}, False),
        ({"resource": "repo/*"}, {"resource": "repo/x"}, True),
        ({"resource": ["other", "repo/x"]}, {"resource": "repo/x"}, True),
        ({"resource": "repo"}, {"resource": "repo/x"}, False),
        ({"resource": "repo/*"}, {"resource": "repository"}, False),
        ({"resource": "*"}, {}, False),
        ({"risk_above": 0.5}, {"risk": 0.5}, False),
        ({"risk_above": 0.5}, {"risk": 0.6}, True),
        ({"role": "boss", "task": "write"}, {}, False),
        ({"all": [{"role": "boss"}, {"task": "plan"}]}, {}, True),
        ({"all": [{"role": "boss"}, {"task": "write"}]}, {}, False),
        ({"any": [{"role": "guest"}, {"task": "plan"}]}, {}, True),
        ({"any": [{"role": "guest"}, {"task": "write"}]}, {}, False),
        ({"none": [{"role": "guest"}, {"task": "write"}]}, {}, True),
        ({"none": [{"role": "guest"}, {"task": "plan"}]}, {}, False),
    ],
)
def test_conditions(when: dict[str, Any], facts: dict[str, Any], holds: bool) -> None:
    policy = load_policy({"rules": [rule("one", when=when)]})
    line = member("boss", "docs:* mail:send", task_type="plan")
    assert ask(policy, line, **facts).allowed is holds


def test_a_role_or_task_that_the_policy_does_not_know_may_nothing() -> None:
    policy = load_policy({"roles": {"boss": {}}, "tasks": {"plan": {"scopes": "docs:*"}}})
    assert authority_of(policy, (member("boss", task_type="plan"),))[-1] == ScopeSet.of("docs:*")
    assert len(authority_of(policy, (member("stranger"),))[-1]) == 0
    assert len(authority_of(policy, (member("boss", task_type="other"),))[-1]) == 0
    assert authority_of(policy, (member(),))[-1] == ScopeSet.of("*")


def test_attack_84_what_binds_an_ancestor_binds_the_child() -> None:
    policy = load_policy(
        {
            "roles": {"boss": {}, "clerk": {"scopes": "docs:*"}},
            "rules": [rule("any", actions="*"), rule("no", "deny", "docs:write", when={"role": "clerk"})],
        }
    )
    line = member("clerk"), member("boss", agent_id="ben")
    assert authority_of(policy, line)[-1] == ScopeSet.of("docs:*")
    assert not ask(policy, *line, action="mail:send")
    assert ask(policy, *line, action="docs:write").rule == "no"
    assert ask(policy, *line)


def test_an_ancestor_that_no_rule_allows_hands_no_action_on() -> None:
    policy = load_policy({"rules": [rule("writers", when={"task": "write"})]})
    assert ask(policy, member(task_type="write"))
    assert not ask(policy, member(task_type="plan"), member(task_type="write"))


GRANTED: dict[str, Any] = {
    "roles": {"boss": {"scopes": "docs:*"}, "clerk": {"scopes": "docs:read web:search"}},
    "grants": [{"name": "one", "scopes": "web:*", "from_role": "boss", "to_agent": "ben"}],
}


def test_a_grant_named_now_widens_and_only_within_the_takers_own_ceiling() -> None:
    line = member("boss", "docs:*"), member("clerk", "docs:read web:search", agent_id="ben", grant_name="one")
    assert authority_of(load_policy(GRANTED), line)[-1] == ScopeSet.of("docs:read web:search")
    assert authority_of(Policy.empty(), line)[-1] == ScopeSet.of("docs:read")
    other = (line[0], line[1]._replace(agent_id="cyd"))
    assert authority_of(load_policy(GRANTED), other)[-1] == ScopeSet.of("docs:read")


def test_a_granted_action_needs_no_rule_for_the_giver_but_heeds_its_denies() -> None:
    rules = [rule("search", actions="web:*", when={"role": "clerk"}), rule("docs", when={"role": "boss"})]
    line = member("boss", "docs:*"), member("clerk", "docs:read web:search", agent_id="ben", grant_name="one")
    assert ask(load_policy(GRANTED | {"rules": rules}), *line, action="web:search")
    assert not ask(load_policy(GRANTED | {"rules": rules}), *line, action="docs:read")
    rules.append(rule("never", "deny", "web:*", when={"role": "boss"}))
    assert ask(load_policy(GRANTED | {"rules": rules}), *line, action="web:search").rule == "never"


some_scopes = st.lists(st.sampled_from(SCOPES), max_size=3).map(" ".join)
names = {"role": ROLES, "task": TASKS, "workspace": ("default", "acme"), "resource": ("a", "b*")}
parts: dict[str, st.SearchStrategy[Any]] = {
    kind: st.lists(st.sampled_from(each), min_size=1, max_size=2) for kind, each in names.items()
}
parts |= {"risk_above": st.floats(0, 1), "scope": st.sampled_from(SCOPES)}
plain = st.fixed_dictionaries({}, optional=parts).filter(bool)
conditions = st.recursive(
    plain,
    lambda below: st.fixed_dictionaries(
        {}, optional={part: st.lists(below, min_size=1, max_size=2) for part in ("all", "any", "none")}
    ).filter(bool),
    max_leaves=4,
)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    roles = draw(st.dictionaries(st.sampled_from(ROLES), st.fixed_dictionaries({"scopes": some_scopes})))
    tasks = draw(st.dictionaries(st.sampled_from(TASKS), st.fixed_dictionaries({"scopes": some_scopes})))
    rules = []
    for number in range(draw(st.integers(0, 4))):
        effect = draw(st.sampled_from(["allow", "allow", "deny", "mask"]))
        each = rule(str(number), effect, draw(some_scopes.filter(bool)), priority=draw(st.integers(-2, 2)))
        if effect == "mask":
            each |= {"fields": ["f"], "when": draw(conditions)}
        elif draw(st.booleans()):
            each["when"] = draw(conditions)
        rules.append(each)
    grants = [
        {
            "name": name,
            "scopes": draw(some_scopes.filter(bool)),
            "from_agent": draw(st.lists(st.sampled_from(AGENTS), min_size=1)),
            "to_agent": draw(st.lists(st.sampled_from(AGENTS), min_size=1)),
        }
        for name in draw(st.sets(st.sampled_from(GRANTS)))
    ]
    model = {"roles": {role: {} for role in ROLES} | roles if roles else {}, "rules": rules, "grants": grants}
    model["tasks"] = {task: {"scopes": "*"} for task in TASKS} | tasks if tasks else {}
    return load_policy(model)


members = st.builds(
    member,
    st.none() | st.sampled_from(ROLES),
    some_scopes,
    agent_id=st.sampled_from(AGENTS),
    task_type=st.none() | st.sampled_from(TASKS),
    grant_name=st.none() | st.sampled_from(GRANTS),
)
lines = st.lists(members, min_size=2, max_size=5).map(tuple)


@given(policies(), lines)
def test_no_policy_gives_a_child_what_its_parent_lacks_but_by_a_grant(
    policy: Policy, line: tuple[Member, ...]
) -> None:
    held = authority_of(policy, line)
    for place in range(1, len(line)):
        given_to = held[place - 1].union(policy.grant_between(line[place - 1], line[place]))
        assert given_to.missing(held[place]) == ()
        assert line[place].scopes.missing(held[place]) == ()


@given(policies(), lines, st.sampled_from(ACTIONS), st.floats(0, 1), st.sampled_from([None, "a", "bb"]))
def test_no_rule_allows_a_child_what_its_parent_may_not_but_by_a_grant(
    policy: Policy, line: tuple[Member, ...], action: str, risk: float, resource: str | None
) -> None:
    child = ask(policy, *line, action=action, risk=risk, resource=resource)
    parent = ask(policy, *line[:-1], action=action, risk=risk, resource=resource)
    granted = action in policy.grant_between(line[-2], line[-1])
    assert not child or parent or granted
    if child and parent:
        assert set(parent.masked_fields) <= set(child.masked_fields)
    if parent.rule is not None and not parent:
        assert not child


@given(policies(), policies(), lines)
def test_taking_grants_away_only_narrows(first: Policy, second: Policy, line: tuple[Member, ...]) -> None:
    bare = load_policy(first.to_dict() | {"grants": []})
    with_grants, without = authority_of(first, line)[-1], authority_of(bare, line)[-1]
    assert with_grants.missing(without) == ()


def test_a_record_whose_fields_cannot_be_masked_is_not_given_out() -> None:
    mask = rule("mask", "mask", when={"role": "clerk"}, fields=["email"])
    decision = ask(load_policy({"rules": [rule("read"), mask]}), member("clerk"))
    for record in (object(), [object()], iter([{"email": "a@b"}])):
        with pytest.raises(InvalidArgument, match="cannot be masked"):
            decision.mask(record)


@pytest.mark.parametrize(
    ("grant", "given"),
    [
        ({"from_role": "boss", "to_role": "guest"}, True),
        ({"from_role": ["guest", "clerk"], "to_role": "guest"}, False),
        ({"from_role": "boss", "to_role": "clerk"}, False),
        ({"from_agent": "ana", "to_agent": "ben"}, True),
        ({"from_agent": ["ben", "cyd"], "to_agent": "ben"}, False),
        ({"from_agent": "ana", "to_agent": ["ana", "cyd"]}, False),
        ({"from_role": "boss", "from_agent": "cyd", "to_agent": "ben"}, False),
        ({"from_agent": "ana", "to_role": "guest", "to_agent": "cyd"}, False),
        ({"from_role": "boss", "from_agent": "ana", "to_role": "guest", "to_agent": "ben"}, True),
    ],
)
def test_a_grant_is_meant_for_those_it_names(grant: dict[str, Any], given: bool) -> None:
    policy = load_policy({"grants": [{"name": "one", "scopes": "web:search", **grant}]})
    giver = member("boss", "docs:read")
    taker = member("guest", "web:search", agent_id="ben", grant_name="one")
    assert authority_of(policy, (giver, taker))[-1] == ScopeSet.of("web:search" if given else "")
    unnamed = member("guest", "web:search", agent_id="ben")
    assert len(authority_of(policy, (giver, unnamed))[-1]) == 0


def test_a_decision_says_why_and_by_which_policy() -> None:
    ruled = load_policy({"rules": [rule("yes", actions="docs:read"), rule("no", "deny", "docs:write")]})
    for policy, action, allowed, reason, name in (
        (Policy.empty(), "docs:read", True, "scopes", None),
        (ruled, "docs:read", True, "allowed", "yes"),
        (ruled, "docs:write", False, "denied", "no"),
        (ruled, "mail:send", False, "no_rule_allows", None),
    ):
        told = ask(policy, member(), action=action)
        assert (told.allowed, told.reason, told.rule, told.action) == (allowed, reason, name, action)
        assert told.policy == policy.digest


def test_a_policy_is_known_by_the_one_text_for_it() -> None:
    policy = load_policy({"tasks": {"plan": {"scopes": "docs:read"}}, "roles": {"boss": {}}})
    assert policy.body == '{"roles":{"boss":{}},"tasks":{"plan":{"scopes":["docs:read"]}}}'
    assert policy.digest == hashlib.sha256(policy.body.encode()).hexdigest()


@pytest.mark.parametrize("stranger", [0, 1, 2, 3])
def test_whoever_stands_in_a_line_must_be_allowed_too(stranger: int) -> None:
    policy = load_policy({"rules": [rule("clerks", when={"role": "clerk"})]})
    line = [member("clerk") for _ in range(4)]
    assert ask(policy, *line)
    line[stranger] = member("guest")
    assert ask(policy, *line).reason == "no_rule_allows"
