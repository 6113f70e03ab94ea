"""The rows that create and delegate would write, and what is refused before any is. Pure functions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypedDict, Unpack

from clawguard.checks import check_metadata, check_text, is_integer, is_token
from clawguard.clock import LONGEST, microseconds
from clawguard.errors import DelegationRefused, InvalidArgument, PolicyDenied, TokenSuperseded
from clawguard.guard import Member, Policy, authority_of, check_cnf
from clawguard.models import Actor, JSONObject, decode_actors, decode_cnf, encode_actors
from clawguard.scopes import ScopeSet, parse_scopes
from clawguard.sessions.change import Change

__all__ = [
    "DEFAULT_WORKSPACE",
    "MAX_DEPTH",
    "Authority",
    "Draft",
    "Labels",
    "Parent",
    "check_agent",
    "check_ceiling",
    "check_delegation",
    "check_given",
    "check_role_and_task",
    "check_subject",
    "check_uses",
    "child_of",
    "first_ends",
    "new_row",
    "optional_duration",
    "optional_text",
    "role_and_task",
    "widened_by",
    "write_created",
]

DEFAULT_WORKSPACE = "default"
MAX_DEPTH = 8
_MAX_AGENT_ID = 249  # "agent:" and the id are a subject of at most 255
_SUBJECT = re.compile(r"[a-z][a-z0-9_-]*:.+", re.ASCII)


class Labels(TypedDict, total=False):
    """Name the optional texts on a session that decide nothing."""

    agent_alias: str | None
    engine_url: str | None
    engine_version: str | None
    channel_id: str | None
    room_id: str | None
    sender_id: str | None


class Authority(NamedTuple):
    """Say in whose name a delegation is asked: a session, what it may pass on, its token's generation."""

    session_id: str
    scopes: ScopeSet | None
    generation: int | None


class Draft(NamedTuple):
    """Hold the columns of a session to be, what only a grant gives it, and how long a root was to last."""

    columns: dict[str, Any]
    widened: tuple[str, ...] = ()
    longest: int | None = None


class Parent(NamedTuple):
    """Hold the columns of `validate.parent`, in its order."""

    id: str
    generation: int
    agent_id: str
    subject: str
    workspace_id: str
    audience: str
    role: str | None
    scopes: str
    task_type: str | None
    actors: str
    root_id: str
    depth: int
    delegable: int
    kid: str
    created_at: int
    ttl: int
    expires_at: int
    absolute_expires_at: int
    idle_timeout: int | None
    due_at: int
    cause: str | None
    reason: str | None
    grant_name: str | None
    granted: int
    uses_left: int | None
    refresh_idle: int | None
    cnf: str | None

    def member(self) -> Member:
        """Return the parent as the policy reckons with it."""
        return Member(self.agent_id, self.role, self.task_type, parse_scopes(self.scopes), self.grant_name)


def new_row(draft: dict[str, Any], *, kid: str, new_id: Callable[[int], str]) -> dict[str, Any]:
    now = draft["created_at"]
    return draft | {
        "version": 1,
        "generation": 1,
        "forked_from": None,
        "state": "idle",
        "turn_id": None,
        "turn_started_at": None,
        "kid": kid,
        "jti": new_id(now),
        "issued_at": now,
        "last_activity": now,
        "last_source": None,
        "ended_at": None,
        "cause": None,
        "reason": None,
        "ended_by": None,
        "due_at": min(draft["expires_at"], now + (draft["idle_timeout"] or LONGEST)),
    }


def child_of(
    parent: Parent,
    *,
    now: int,
    new_id: Callable[[int], str],
    life: int | None,
    idle: int | None,
    refresh_idle: int | None,
) -> dict[str, Any]:
    """Return what a child has from its parent: never a later end, never a longer idle limit."""
    ttl = life or parent.ttl
    return {
        "id": new_id(now),
        "root_id": parent.root_id,
        "created_at": now,
        "subject": parent.subject,
        "workspace_id": parent.workspace_id,
        "actors": encode_actors((*decode_actors(parent.actors), Actor(parent.agent_id, parent.id))),
        "parent_id": parent.id,
        "depth": parent.depth + 1,
        "ttl": ttl,
        "idle_timeout": min((each for each in (idle, parent.idle_timeout) if each is not None), default=None),
        "absolute_expires_at": parent.absolute_expires_at,
        **first_ends(now, ttl, refresh_idle, limit=parent.expires_at),
    }


def check_role_and_task(policy: Policy, role: str | None, task_type: str | None) -> None:
    """Raise InvalidArgument for a role or task that the policy does not know, where it names any."""
    if role is not None and policy.roles and role not in policy.roles:
        raise InvalidArgument("role", "is not one of the policy's")
    if task_type is not None and policy.tasks and task_type not in policy.tasks:
        raise InvalidArgument("task_type", "is not one of the policy's")


def check_ceiling(policy: Policy, asked: Member) -> None:
    """Raise PolicyDenied for scopes beyond what the role and the task may have."""
    missing = policy.ceiling(asked.role, asked.task_type).missing(asked.scopes)
    if missing:
        who = " and ".join(
            filter(None, (asked.role and f"role {asked.role}", asked.task_type and f"task {asked.task_type}"))
        )
        raise PolicyDenied("create", f"{who} may not have {' '.join(missing)}")


def first_ends(now: int, ttl: int, refresh_idle: int | None, *, limit: int) -> dict[str, Any]:
    """Return the columns of a session's first ends: its own, and its token's."""
    end = min(now + (refresh_idle or ttl), limit)
    token_end = min(now + ttl, end)
    return {"expires_at": end, "token_expires_at": token_end, "refresh_idle": refresh_idle}


def role_and_task(asked: dict[str, Any], parent: Parent, policy: Policy) -> dict[str, Any]:
    """Return a child's role and task: its parent's, but for a step that the policy names and its own task."""
    role = asked["role"] or parent.role
    if role != parent.role:
        known = policy.roles.get(parent.role or "")
        if known is None or role not in known.may_become:
            raise DelegationRefused(
                "a child has its parent's role",
                hint="leave role= out, or name the step in may_become",
            )
    return {"role": role, "task_type": asked["task_type"] or parent.task_type}


def check_delegation(
    parent: Parent, authority: Authority, *, uses: int | None, refreshable: bool, cnf: str | None
) -> None:
    """Raise what refuses any delegation by this parent, whatever is asked."""
    if authority.generation is not None and parent.generation != authority.generation:
        raise TokenSuperseded
    if not parent.delegable:
        raise DelegationRefused("the session may not delegate", hint="create it with delegable=True")
    if parent.depth >= MAX_DEPTH:
        raise DelegationRefused(f"delegation may be at most {MAX_DEPTH} deep")
    if refreshable and parent.refresh_idle is None:
        raise DelegationRefused("the parent has no refresh token", hint="create it with refreshable=True")
    if parent.uses_left is not None and uses is None:
        raise DelegationRefused("the parent's uses are counted", hint="give the child max_uses=")
    if parent.cnf is not None and cnf is None:
        raise DelegationRefused("the parent is bound to a key", hint="bind the child to its own: cnf=")


def widened_by(
    policy: Policy, line: tuple[Member, ...], authority: Authority, asked: Member
) -> tuple[str, ...]:
    """Return the scopes that only the grant gives, none where it was not needed.

    Raises DelegationRefused for scopes that neither the parent nor the grant has, or the child's own role and
    task may not have.
    """
    held = authority_of(policy, line)[-1]
    if authority.scopes is not None:
        held = held.intersect(authority.scopes)
    granted = _granted(policy, line[-1], asked)
    missing = held.union(granted).missing(asked.scopes)
    if missing:
        raise DelegationRefused(f"{line[-1].agent_id} lacks {' '.join(missing)}", missing=missing)
    missing = policy.ceiling(asked.role, asked.task_type).missing(asked.scopes)
    if missing:
        raise DelegationRefused(
            f"the child's role and task may not have {' '.join(missing)}", missing=missing
        )
    return held.missing(asked.scopes)


def _granted(policy: Policy, parent: Member, asked: Member) -> ScopeSet:
    if asked.grant_name is None:
        return ScopeSet()
    if asked.grant_name not in policy.grants:
        raise DelegationRefused(f"the policy has no grant {asked.grant_name!r}")
    if not policy.grants[asked.grant_name].fits(parent, asked):
        raise DelegationRefused(
            f"the grant {asked.grant_name!r} is not for {parent.agent_id} to {asked.agent_id}"
        )
    return policy.grant_between(parent, asked)


def write_created(
    change: Change, row: dict[str, Any], policy: Policy, widened: tuple[str, ...], *, actor: str | None
) -> None:
    """Write the event of a new session, and of the grant that widened it."""
    whose = {"actor": actor}
    data = {"scopes": row["scopes"], "expires_at": row["expires_at"], "parent_id": row["parent_id"]}
    data |= {"uses": row["uses_left"], "role": row["role"], "task_type": row["task_type"]}
    data |= {"audience": row["audience"], "cnf": decode_cnf(row["cnf"]), **_mark(policy)}
    change.writer.append("session.created", **whose, **_fields(row, data))
    if widened:
        data = {"grant": row["grant_name"], "scopes": " ".join(widened), "parent_id": row["parent_id"]}
        change.writer.append("guard.granted", **whose, **_fields(row, data | _mark(policy)))


def _mark(policy: Policy) -> dict[str, Any]:
    return {} if policy.is_empty else {"policy": policy.digest}


def _fields(row: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    return {
        "session_id": row["id"],
        "version": 1,
        "agent_id": row["agent_id"],
        "subject": row["subject"],
        "workspace_id": row["workspace_id"],
        "data": {name: value for name, value in data.items() if value is not None},
    }


def check_given(
    *,
    role: str | None,
    task_type: str | None,
    key: str | None,
    name: str | None,
    delegable: bool,
    metadata: JSONObject | None,
    cnf: Mapping[str, str] | None,
    **labels: Unpack[Labels],
) -> dict[str, Any]:
    """Return the columns that a caller may fill as they like, checked; TypeError for an unknown label."""
    unknown = labels.keys() - Labels.__annotations__.keys()
    if unknown:
        raise TypeError(f"unexpected keyword argument {min(unknown)!r}")
    if not isinstance(delegable, bool):
        raise InvalidArgument("delegable", "must be True or False")
    texts = {"role": role, "task_type": task_type, "key": key, "name": name}
    given: dict[str, Any] = {**labels}
    texts |= {label: given.get(label) for label in Labels.__annotations__}
    return {
        **{label: optional_text(value, argument=label) for label, value in texts.items()},
        "delegable": int(delegable),
        "metadata": check_metadata(metadata),
        "cnf": check_cnf(cnf),
    }


def check_agent(agent_id: str | uuid.UUID) -> str:
    if is_token(agent_id):
        raise InvalidArgument("agent_id", "is a token, not the name of an agent")
    agent = check_text(str(agent_id) if isinstance(agent_id, uuid.UUID) else agent_id, argument="agent_id")
    if len(agent) > _MAX_AGENT_ID:
        raise InvalidArgument("agent_id", f"must be at most {_MAX_AGENT_ID} characters")
    return agent


def check_subject(subject: str | None, agent: str) -> str:
    if subject is None:
        return f"agent:{agent}"
    if not _SUBJECT.fullmatch(check_text(subject, argument="subject")):
        raise InvalidArgument("subject", "must say what kind of principal it is", hint="write 'user:ana'")
    return subject


def check_uses(value: object) -> int | None:
    if value is not None and not is_integer(value, least=1, most=2**53 - 1):
        raise InvalidArgument("max_uses", "must be an integer of at least 1, or None")
    return value


def optional_text(value: str | None, *, argument: str) -> str | None:
    return None if value is None else check_text(value, argument=argument)


def optional_duration(value: Any, *, argument: str) -> int | None:
    return None if value is None else microseconds(value, argument=argument)
