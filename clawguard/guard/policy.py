"""The policy: what roles and tasks may have at most, rules for actions, grants to others. Pure functions.

A session's line is the session with its ancestors, the root first. Authority narrows along it: a member has
at most what its row, its role, its task and the member before it have. A grant named in the policy, and
nothing else, adds to what the member before gives.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from clawguard.checks import check_text
from clawguard.errors import InvalidArgument
from clawguard.models import Decision
from clawguard.scopes import EVERYTHING, ScopeSet, check_scope, parse_scopes

if TYPE_CHECKING:
    from clawguard.guard.policy_wire import ConditionModel, GrantModel, PolicyModel, RuleModel

__all__ = [
    "Condition",
    "Facts",
    "Grant",
    "Member",
    "Policy",
    "Role",
    "Rule",
    "authority_of",
    "check_question",
    "decide",
]


class Member(NamedTuple):
    """Hold one session of a line as its row says it; `grant_name` names the grant it was delegated by."""

    agent_id: str
    role: str | None
    task_type: str | None
    scopes: ScopeSet
    grant_name: str | None


class Facts(NamedTuple):
    """Hold what a condition is held against."""

    role: str | None
    task: str | None
    scopes: ScopeSet
    workspace: str
    resource: str | None
    risk: float


class Condition(NamedTuple):
    """Hold where every part that is given holds; without any part it always does."""

    role: frozenset[str] | None = None
    task: frozenset[str] | None = None
    scope: tuple[str, ...] | None = None
    workspace: frozenset[str] | None = None
    resource: tuple[str, ...] | None = None
    risk_above: float | None = None
    all: tuple[Condition, ...] = ()
    any: tuple[Condition, ...] = ()
    none: tuple[Condition, ...] = ()

    def holds(self, facts: Facts) -> bool:
        """Tell whether every part holds; what is not known, such as no role, is in no list."""
        return (
            (self.role is None or facts.role in self.role)
            and (self.task is None or facts.task in self.task)
            and (self.workspace is None or facts.workspace in self.workspace)
            and (self.scope is None or any(scope in facts.scopes for scope in self.scope))
            and (self.resource is None or _fits_any(facts.resource, self.resource))
            and (self.risk_above is None or facts.risk > self.risk_above)
            and all(each.holds(facts) for each in self.all)
            and (not self.any or any(each.holds(facts) for each in self.any))
            and not any(each.holds(facts) for each in self.none)
        )


def _fits_any(resource: str | None, patterns: tuple[str, ...]) -> bool:
    """Tell whether a resource is one of the names, or begins as a pattern that ends in `*` does."""
    if resource is None:
        return False
    return any(
        resource.startswith(each[:-1]) if each.endswith("*") else resource == each for each in patterns
    )


class Role(NamedTuple):
    """Hold the most that a role may have, and which roles its children may have in its place."""

    scopes: ScopeSet
    may_become: frozenset[str]


class Rule(NamedTuple):
    """Hold one rule: what it does to which actions, and when."""

    name: str
    effect: Literal["allow", "deny", "mask"]
    actions: ScopeSet
    when: Condition
    reason: str | None
    fields: tuple[str, ...]

    def fits(self, action: str, facts: Facts) -> bool:
        """Tell whether the rule speaks of this action under these facts."""
        return action in self.actions and self.when.holds(facts)


class Grant(NamedTuple):
    """Hold scopes that some may hand to others without having them; None means anybody."""

    name: str
    scopes: ScopeSet
    from_role: frozenset[str] | None
    from_agent: frozenset[str] | None
    to_role: frozenset[str] | None
    to_agent: frozenset[str] | None

    def fits(self, giver: Member, taker: Member) -> bool:
        """Tell whether it is meant for these two."""
        return (
            (self.from_role is None or giver.role in self.from_role)
            and (self.from_agent is None or giver.agent_id in self.from_agent)
            and (self.to_role is None or taker.role in self.to_role)
            and (self.to_agent is None or taker.agent_id in self.to_agent)
        )


class Policy(NamedTuple):
    """Hold a checked policy; two are equal when their digests are.

    Make one with `load_policy`. `digest` is the SHA-256 of `body`, its canonical JSON text.
    """

    body: str
    digest: str
    roles: Mapping[str, Role]
    tasks: Mapping[str, ScopeSet]
    rules: tuple[Rule, ...]
    grants: Mapping[str, Grant]

    @classmethod
    def from_model(cls, model: PolicyModel) -> Policy:
        """Return the policy that a checked model says."""
        body = json.dumps(model.model_dump(exclude_unset=True), sort_keys=True, separators=(",", ":"))
        ordered = sorted(model.rules, key=lambda rule: -rule.priority)
        return cls(
            body=body,
            digest=hashlib.sha256(body.encode()).hexdigest(),
            roles=MappingProxyType(
                {
                    name: Role(_ceiling(role.scopes), frozenset(role.may_become or ()))
                    for name, role in model.roles.items()
                }
            ),
            tasks=MappingProxyType({name: _ceiling(task.scopes) for name, task in model.tasks.items()}),
            rules=tuple(map(_rule, ordered)),
            grants=MappingProxyType({grant.name: _grant(grant) for grant in model.grants}),
        )

    def __repr__(self) -> str:
        return f"Policy(digest={self.digest!r})"

    def __eq__(self, other: object) -> bool:
        return self.digest == other.digest if isinstance(other, Policy) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[Any, ...]:
        from clawguard.guard.policy_file import load_policy

        return load_policy, (json.loads(self.body),)

    @classmethod
    def empty(cls) -> Policy:
        """Return the policy that says nothing: scopes alone decide."""
        nothing: Mapping[str, Any] = MappingProxyType({})
        digest = hashlib.sha256(b"{}").hexdigest()
        return cls(body="{}", digest=digest, roles=nothing, tasks=nothing, rules=(), grants=nothing)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all, so that scopes alone decide."""
        return not (self.roles or self.tasks or self.rules or self.grants)

    @property
    def narrows(self) -> bool:
        """Whether it says what roles or tasks may have at most."""
        return bool(self.roles or self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as `load_policy` takes it."""
        body: dict[str, Any] = json.loads(self.body)
        return body

    def ceiling(self, role: str | None, task_type: str | None) -> ScopeSet:
        """Return the most that a role and a task may have together.

        Where the policy names roles, one it does not know may have nothing; the same holds for tasks.
        """
        most = EVERYTHING
        if role is not None and self.roles:
            known = self.roles.get(role)
            most = known.scopes if known is not None else ScopeSet()
        if task_type is not None and self.tasks:
            most = most.intersect(self.tasks.get(task_type, ScopeSet()))
        return most

    def grant_between(self, giver: Member, taker: Member) -> ScopeSet:
        """Return what the taker's grant adds as the policy now stands; a grant that is gone adds nothing."""
        grant = self.grants.get(taker.grant_name or "")
        return grant.scopes if grant is not None and grant.fits(giver, taker) else ScopeSet()


def _ceiling(scopes: list[str] | None) -> ScopeSet:
    return EVERYTHING if scopes is None else parse_scopes(scopes)


def _some(names: list[str] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _rule(model: RuleModel) -> Rule:
    return Rule(
        model.name,
        model.effect,
        parse_scopes(model.actions),
        Condition() if model.when is None else _condition(model.when),
        model.reason,
        tuple(model.fields or ()),
    )


def _condition(model: ConditionModel) -> Condition:
    return Condition(
        role=_some(model.role),
        task=_some(model.task),
        scope=None if model.scope is None else tuple(model.scope),
        workspace=_some(model.workspace),
        resource=None if model.resource is None else tuple(model.resource),
        risk_above=model.risk_above,
        all=tuple(map(_condition, model.all or ())),
        any=tuple(map(_condition, model.any or ())),
        none=tuple(map(_condition, model.none or ())),
    )


def _grant(model: GrantModel) -> Grant:
    return Grant(
        model.name,
        parse_scopes(model.scopes),
        _some(model.from_role),
        _some(model.from_agent),
        _some(model.to_role),
        _some(model.to_agent),
    )


@lru_cache(maxsize=4_096)
def authority_of(policy: Policy, line: tuple[Member, ...]) -> tuple[ScopeSet, ...]:
    """Return what each member of a line may do as the policy now stands, the root first.

    Remembered: agents of the same kind stand below each other again and again.
    """
    held: list[ScopeSet] = []
    for place, member in enumerate(line):
        most = member.scopes.intersect(policy.ceiling(member.role, member.task_type))
        if place:
            given = held[-1].union(policy.grant_between(line[place - 1], member))
            most = most.intersect(given)
        held.append(most)
    return tuple(held)


def check_question(action: object, *, resource: object, risk: object) -> None:
    """Raise InvalidArgument for what no policy can be asked, such as a wildcard or a risk below 0."""
    if check_scope(action, argument="action").endswith("*"):
        raise InvalidArgument("action", "must be one action, without a wildcard")
    if resource is not None:
        check_text(resource, argument="resource")
    if isinstance(risk, bool) or not isinstance(risk, int | float) or not 0 <= risk < math.inf:
        raise InvalidArgument("risk", "must be a number of at least 0")


def decide(
    policy: Policy,
    line: tuple[Member, ...],
    *,
    workspace_id: str,
    scopes: ScopeSet,
    action: str,
    resource: str | None,
    risk: float,
) -> Decision:
    """Decide whether the last member of a line may do an action; `scopes` is what it was found to hold.

    A rule never gives what the scopes do not. Denies bind everything below, masks too; each ancestor must be
    allowed the action as well, up to a grant that handed it on.
    """
    if action not in scopes:
        return Decision(allowed=False, action=action, reason="insufficient_scope", policy=policy.digest)
    if not policy.rules:
        return Decision(allowed=True, action=action, reason="scopes", policy=policy.digest)
    held = (*authority_of(policy, line)[:-1], scopes)
    facts = [
        Facts(member.role, member.task_type, own, workspace_id, resource, risk)
        for member, own in zip(line, held, strict=True)
    ]
    return _judge(policy, line, facts, action=action)


def _judge(policy: Policy, line: Sequence[Member], facts: list[Facts], *, action: str) -> Decision:
    deny = partial(Decision, allowed=False, action=action, policy=policy.digest)
    for rule in policy.rules:
        if rule.effect == "deny" and any(rule.fits(action, each) for each in facts):
            return deny(reason=rule.reason or "denied", rule=rule.name)
    allowing = _allowing(policy, action, facts[-1])
    if allowing is None or not _line_is_allowed(policy, line, facts, action=action):
        return deny(reason="no_rule_allows")
    masked = {
        name
        for rule in policy.rules
        if rule.effect == "mask" and any(rule.fits(action, each) for each in facts)
        for name in rule.fields
    }
    return Decision(
        allowed=True,
        action=action,
        reason="allowed",
        rule=allowing.name,
        masked_fields=tuple(sorted(masked)),
        policy=policy.digest,
    )


def _allowing(policy: Policy, action: str, facts: Facts) -> Rule | None:
    return next((rule for rule in policy.rules if rule.effect == "allow" and rule.fits(action, facts)), None)


def _line_is_allowed(policy: Policy, line: Sequence[Member], facts: list[Facts], *, action: str) -> bool:
    """Tell whether every ancestor is allowed the action too, up to the grant that handed it on."""
    for place in range(len(line) - 1, 0, -1):
        if action in policy.grant_between(line[place - 1], line[place]):
            return True
        if _allowing(policy, action, facts[place - 1]) is None:
            return False
    return True
