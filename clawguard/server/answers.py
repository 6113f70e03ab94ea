"""What the REST endpoints answer; times are ISO 8601 with a zone, durations seconds."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clawguard.models import Cause, State

__all__ = [
    "ActorAnswer",
    "AgentAnswer",
    "AgentPage",
    "DisabledAnswer",
    "EndedAnswer",
    "EntryAnswer",
    "EventAnswer",
    "EventPage",
    "Health",
    "HistoryAnswer",
    "HitAnswer",
    "IssuedAnswer",
    "JWKSAnswer",
    "KeyAnswer",
    "KeyList",
    "SearchAnswer",
    "SessionAnswer",
    "SessionPage",
]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ActorAnswer(_Answer):
    """Name one step of a delegation."""

    agent_id: str
    session_id: str


class SessionAnswer(_Answer):
    """Tell what a session's row says; never a token, nor a token's id."""

    id: str = Field(examples=["01a1fccf-cf9e-7037-aefb-eac59a7e9560"])
    version: int
    generation: int
    key: str | None
    request_id: str | None
    agent_id: str = Field(examples=["planner"])
    agent_alias: str | None
    subject: str = Field(examples=["user:ana"])
    workspace_id: str = Field(examples=["default"])
    audience: str = Field(examples=["clawguard"])
    role: str | None
    scopes: list[str] = Field(examples=[["docs:read"]])
    task_type: str | None
    actors: list[ActorAnswer]
    parent_id: str | None
    root_id: str
    depth: int
    delegable: bool
    forked_from: str | None
    name: str | None
    metadata: dict[str, Any]
    engine_url: str | None
    engine_version: str | None
    channel_id: str | None
    room_id: str | None
    sender_id: str | None
    state: State
    turn_id: str | None
    turn_started_at: datetime | None
    kid: str
    created_at: datetime
    issued_at: datetime
    token_expires_at: datetime
    ttl: float
    expires_at: datetime
    absolute_expires_at: datetime
    idle_timeout: float | None
    last_activity: datetime
    last_source: str | None
    ended_at: datetime | None
    cause: Cause | None
    reason: str | None
    ended_by: str | None
    due_at: datetime
    grant_name: str | None
    granted: bool
    uses_left: int | None
    refresh_idle: float | None
    cnf: dict[str, str] | None


class IssuedAnswer(SessionAnswer):
    """Tell of a session, and this once its tokens."""

    token: str = Field(examples=["eyJhbGciOi…"])
    refresh_token: str | None = Field(examples=["cgr1_…"])


class SessionPage(_Answer):
    """Hold one page of sessions; without a `next_cursor` it is the last."""

    items: list[SessionAnswer]
    next_cursor: str | None


class DisabledAnswer(_Answer):
    """Tell since when an agent may have no sessions, why, and by whom."""

    at: datetime
    reason: str | None = Field(examples=["runs wild"])
    by: str = Field(examples=["user:ana"])


class AgentAnswer(_Answer):
    """Tell how many live sessions an agent has, the newest of them, and whether it is disabled."""

    agent_id: str = Field(examples=["planner"])
    live: int = Field(examples=[3])
    newest: SessionAnswer | None
    disabled: DisabledAnswer | None


class AgentPage(_Answer):
    """Hold one page of agents; without a `next_cursor` it is the last."""

    items: list[AgentAnswer]
    next_cursor: str | None


class EndedAnswer(_Answer):
    """Tell how many sessions an act ended, or would end; `cause_id` picks their events."""

    count: int = Field(examples=[3])
    cause_id: str | None


class EntryAnswer(BaseModel):
    """Tell one entry of a conversation; fields of the host's own stand beside these."""

    model_config = ConfigDict(extra="allow")

    seq: int = Field(examples=[1])
    at: datetime


class HistoryAnswer(_Answer):
    """Hold the newest entries of a conversation, the oldest of them first, and how many there are."""

    items: list[EntryAnswer]
    count: int


class HitAnswer(_Answer):
    """Say where a search found something; of two ranks the lower is the better."""

    session_id: str
    seq: int
    at: datetime
    kind: str
    role: str | None
    agent_id: str
    agent_alias: str | None
    channel_id: str | None
    snippet: str = Field(examples=["the [invoice] of May"])
    rank: float


class SearchAnswer(_Answer):
    """Hold what a search found, the best first."""

    items: list[HitAnswer]


class EventAnswer(_Answer):
    """Tell one entry of the log."""

    seq: int = Field(examples=[1])
    id: str
    type: str = Field(examples=["session.created"])
    at: datetime
    workspace_id: str | None
    session_id: str | None
    version: int | None
    agent_id: str | None
    subject: str | None
    actor: str | None
    cause: str | None
    reason: str | None
    cause_id: str | None
    data: dict[str, Any]
    prev_hash: str
    hash: str


class EventPage(_Answer):
    """Hold events in order; where there may be more, `next_after` is what to ask for next."""

    items: list[EventAnswer]
    next_after: int | None


class KeyAnswer(_Answer):
    """Describe a signing key; nothing of it is secret."""

    kid: str
    algorithm: Literal["ES256", "EdDSA", "RS256"]
    state: Literal["next", "active", "retiring", "retired", "compromised"]
    verify_until: datetime | None
    created_at: datetime
    activated_at: datetime | None


class KeyList(_Answer):
    """Hold every signing key, the oldest first."""

    items: list[KeyAnswer]


class JWKSAnswer(_Answer):
    """Hold the public keys (RFC 7517)."""

    keys: list[dict[str, Any]]


class Health(_Answer):
    """Tell how the server does."""

    status: Literal["live", "ready"]
