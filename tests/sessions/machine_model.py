"""What the library promises of sessions, reckoned without a database, a token or a set of scopes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from clawguard import SessionContext
from clawguard.clock import SECOND

ABSOLUTE = 500 * SECOND
IDLE = 120 * SECOND  # what a refreshable session lives after a redeem
GRACE = 10 * SECOND  # how long a spent refresh token gives its successor again
MAX_DEPTH = 8

# Every action there is, and what a scope covers of them: "x:w" and "q" only wildcards do.
ACTIONS = frozenset({"x:y", "x:z", "x:w", "m:s", "q"})
COVERS: dict[str, frozenset[str]] = {
    "*": ACTIONS,
    "x:*": frozenset({"x:y", "x:z", "x:w"}),
    **{action: frozenset({action}) for action in ("x:y", "x:z", "m:s")},
}
LEAD: dict[str, Any] = {"scopes": "x:* m:s", "may_become": ["aide"]}
LEND: dict[str, Any] = {"name": "lend", "scopes": "m:s", "from_role": ["lead"], "to_agent": ["b"]}
POLICIES: dict[str, dict[str, Any]] = {
    "says nothing": {},
    "leads hand on": {"roles": {"lead": LEAD, "aide": {}}, "tasks": {"t": {"scopes": "x:*"}}},
    "leads have less than aides": {
        "roles": {"lead": {**LEAD, "scopes": "x:y"}, "aide": {"scopes": "x:* m:s"}},
        "grants": [LEND],
    },
    "leads are unknown": {"roles": {"aide": {"scopes": "x:*"}}, "tasks": {"t": {"scopes": "x:z m:s"}}},
    "leads may not": {
        "roles": {"lead": {**LEAD, "scopes": "x:*"}, "aide": {}},
        "rules": [
            {"name": "any", "effect": "allow", "actions": "*"},
            {"name": "no", "effect": "deny", "actions": "x:z", "when": {"role": ["lead"]}},
        ],
        "grants": [{**LEND, "scopes": "m:s x:z"}],
    },
}


def covered(scopes: str) -> frozenset[str]:
    """Return the actions that scopes cover."""
    return frozenset().union(*(COVERS[scope] for scope in scopes.split()))


def is_known(policy: dict[str, Any], role: str | None, task: str | None) -> bool:
    """Tell whether a policy that names roles names this one, and tasks alike."""
    given = ((role, policy.get("roles")), (task, policy.get("tasks")))
    return all(name is None or not names or name in names for name, names in given)


def ceiling(policy: dict[str, Any], role: str | None, task: str | None) -> frozenset[str]:
    """Return the most that a role and a task may have; unknown ones may have nothing."""
    if not is_known(policy, role, task):
        return frozenset()
    most = ACTIONS
    for name, names in ((role, policy.get("roles")), (task, policy.get("tasks"))):
        if name is not None and names:
            most &= covered(names[name].get("scopes", "*"))
    return most


@dataclass
class Model:
    """What the library promises of one session, in microseconds."""

    id: str
    agent: str
    parent: Model | None
    ttl: int
    end: int
    token_end: int
    absolute: int
    kid: str
    context: SessionContext
    scopes: str
    role: str | None = None
    task: str | None = None
    grant: str | None = None
    idle: int | None = None
    uses: int | None = None
    filled: int = 0  # what its uses were at first
    used: int = 0  # how many of them have been spent, here or below
    is_family: bool = False
    generation: int = 1
    cause: str | None = None

    def is_due(self, now: int) -> bool:
        return self.cause is None and now >= min(self.end, self.absolute)

    def is_live(self, now: int) -> bool:
        return self.cause is None and not self.is_due(now) and self.uses != 0

    def ends_within(self) -> int:
        return self.absolute if self.parent is None else min(self.absolute, self.parent.end)

    def line(self) -> Iterator[Model]:
        """Yield the session and its ancestors, the root last."""
        yield self
        if self.parent is not None:
            yield from self.parent.line()

    @property
    def depth(self) -> int:
        return len(list(self.line())) - 1

    def is_below(self, other: Model) -> bool:
        return self is not other and other in self.line()

    @property
    def purse(self) -> Model:
        """The session whose uses this one's were taken from."""
        return next(
            each
            for each in self.line()
            if each.parent is None or each.parent.uses is None or self.uses is None
        )

    def held(self, policy: dict[str, Any]) -> frozenset[str]:
        """Return what it may hold: its own, under its ceilings and its parent, but for what a grant lends."""
        most = covered(self.scopes) & ceiling(policy, self.role, self.task)
        return most if self.parent is None else most & (self.parent.held(policy) | self.lent(policy))

    def lent(self, policy: dict[str, Any]) -> frozenset[str]:
        """Return what the grant it was delegated by lends to it now."""
        assert self.parent is not None
        return lending(policy, self.grant, self.parent.role, self.agent) or frozenset()

    def may(self, policy: dict[str, Any], action: str) -> bool:
        """Tell what a policy decides, whose rules are those above, if it has any."""
        is_denied = "rules" in policy and action == "x:z" and any(each.role == "lead" for each in self.line())
        return action in self.held(policy) and not is_denied


def lending(policy: dict[str, Any], name: str | None, role: str | None, agent: str) -> frozenset[str] | None:
    """Return what a grant lets a role hand to an agent; None where it is not meant for the two."""
    for grant in policy.get("grants", ()):
        if grant["name"] == name and role in grant["from_role"] and agent in grant["to_agent"]:
            return covered(grant["scopes"])
    return None


@dataclass(frozen=True)
class Asked:
    """What a caller asks of create or delegate."""

    agent: str
    scopes: str
    role: str | None
    task: str | None
    uses: int | None
    idle: int | None
    is_family: bool
    grant: str | None = None

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"scopes": self.scopes, "role": self.role, "task_type": self.task}
        given |= {"max_uses": self.uses, "idle_timeout": self.idle, "refreshable": self.is_family}
        return given if self.grant is None else given | {"grant": self.grant}

    def within(self, parent: Model, policy: dict[str, Any]) -> Asked:
        """Return the same, cut to what the parent may give; the role only where a lead's aide is meant."""
        role = "aide" if self.role == "aide" and parent.role == "lead" and "roles" in policy else None
        most = parent.held(policy) & ceiling(policy, role or parent.role, parent.task)
        scopes = " ".join(scope for scope, covers in COVERS.items() if covers <= most)
        uses = None if parent.uses is None else min(self.uses or 1, parent.uses or 1)
        is_family = self.is_family and parent.is_family
        return replace(self, scopes=scopes, role=role, task=None, uses=uses, is_family=is_family)

    def role_below(self, parent: Model) -> str | None:
        return self.role or parent.role

    def task_below(self, parent: Model) -> str | None:
        return self.task or parent.task

    def is_narrow(self, policy: dict[str, Any], parent: Model) -> bool:
        """Tell whether a parent may give it: nothing that it lacks, no use, role or depth of its own."""
        role, wanted = self.role_below(parent), covered(self.scopes)
        steps = policy.get("roles", {}).get(parent.role, {}).get("may_become", ())
        lent = lending(policy, self.grant, parent.role, self.agent)
        return (
            parent.depth < MAX_DEPTH
            and (parent.is_family or not self.is_family)
            and (parent.uses is None or (self.uses is not None and self.uses <= parent.uses))
            and (role == parent.role or role in steps)
            and (self.grant is None or lent is not None)
            and wanted <= parent.held(policy) | (lent or frozenset())
            and wanted <= ceiling(policy, role, self.task_below(parent))
        )


policies = st.sampled_from(sorted(POLICIES))
agents = st.sampled_from(["a", "b"])
some_scopes = st.lists(st.sampled_from(sorted(COVERS)), min_size=1, max_size=3).map(" ".join)
wishes = st.builds(
    Asked,
    agent=agents,
    scopes=some_scopes,
    role=st.sampled_from(["lead", "lead", "aide", None]),
    task=st.sampled_from([None, None, None, "t"]),
    uses=st.none() | st.integers(1, 4),
    idle=st.none() | st.integers(1_000, 2_000),  # beyond every end: what counts is that it only shrinks
    is_family=st.booleans(),
)
trees = st.lists(wishes, min_size=1, max_size=4)
shows = st.tuples(
    st.sampled_from([0, 1, 1, 2]), st.sampled_from([0, GRACE - 1, GRACE, GRACE])
)  # how old, how late
