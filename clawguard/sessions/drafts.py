"""The rows that create and delegate would write, and what is refused before any is. Pure functions."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from clawguard.checks import check_metadata, check_text
from clawguard.clock import microseconds
from clawguard.errors import DelegationRefused, InvalidArgument, TokenSuperseded
from clawguard.models import Actor, JSONObject, decode_actors, encode_actors
from clawguard.scopes import ScopeSet, parse_scopes

__all__ = [
    "DEFAULT_WORKSPACE",
    "MAX_DEPTH",
    "Authority",
    "Ends",
    "Parent",
    "check_agent",
    "check_delegation",
    "check_given",
    "check_subject",
    "child_of",
    "created_fields",
    "new_row",
    "optional_duration",
    "optional_text",
    "spoken_for",
]

DEFAULT_WORKSPACE = "default"
MAX_DEPTH = 8
_MAX_AGENT_ID = 249  # "agent:" and the id are a subject of at most 255
_SUBJECT = re.compile(r"[a-z][a-z0-9_-]*:.+", re.ASCII)


class Authority(NamedTuple):
    """Say in whose name a delegation is asked: a session, what it may pass on, its token's generation."""

    session_id: str
    scopes: ScopeSet | None
    generation: int | None


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


class Ends(NamedTuple):
    """Hold the columns of `session.ends`, in its order: what a change looks at again under the lock."""

    generation: int
    expires_at: int
    due_at: int
    cause: str | None
    reason: str | None


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
        "token_expires_at": draft["expires_at"],
        "last_activity": now,
        "last_source": None,
        "ended_at": None,
        "cause": None,
        "reason": None,
        "ended_by": None,
        "due_at": min(draft["expires_at"], now + (draft["idle_timeout"] or draft["ttl"])),
    }


def child_of(
    parent: Parent, *, now: int, new_id: Callable[[int], str], life: int | None, idle: int | None
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
        "expires_at": min(now + ttl, parent.expires_at),
        "absolute_expires_at": parent.absolute_expires_at,
    }


def spoken_for(asked: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Fill in the role and the task from the parent; another role is a step that nothing allows."""
    if asked["role"] is not None and asked["role"] != parent.role:
        raise DelegationRefused("a child has its parent's role", hint="leave role= out")
    return asked | {"role": parent.role, "task_type": asked["task_type"] or parent.task_type}


def check_delegation(parent: Parent, authority: Authority, wanted: ScopeSet) -> None:
    if authority.generation is not None and parent.generation != authority.generation:
        raise TokenSuperseded
    if not parent.delegable:
        raise DelegationRefused("the session may not delegate", hint="create it with delegable=True")
    if parent.depth >= MAX_DEPTH:
        raise DelegationRefused(f"delegation may be at most {MAX_DEPTH} deep")
    held = parse_scopes(parent.scopes)
    if authority.scopes is not None:
        held = held.intersect(authority.scopes)
    missing = held.missing(wanted)
    if missing:
        raise DelegationRefused(f"{parent.agent_id} lacks {' '.join(missing)}", missing=missing)


def created_fields(row: dict[str, Any]) -> dict[str, Any]:
    data = {"scopes": row["scopes"], "expires_at": row["expires_at"], "parent_id": row["parent_id"]}
    data |= {"role": row["role"], "task_type": row["task_type"], "audience": row["audience"]}
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
    **labels: str | None,
) -> dict[str, Any]:
    """Return the columns that a caller may fill as they like, checked; `labels` are plain texts."""
    if not isinstance(delegable, bool):
        raise InvalidArgument("delegable", "must be True or False")
    texts = {"role": role, "task_type": task_type, "key": key, "name": name, **labels}
    return {
        **{label: optional_text(value, argument=label) for label, value in texts.items()},
        "delegable": int(delegable),
        "metadata": check_metadata(metadata),
    }


def check_agent(agent_id: str | uuid.UUID) -> str:
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


def optional_text(value: str | None, *, argument: str) -> str | None:
    return None if value is None else check_text(value, argument=argument)


def optional_duration(value: Any, *, argument: str) -> int | None:
    return None if value is None else microseconds(value, argument=argument)
