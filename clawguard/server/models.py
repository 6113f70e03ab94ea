"""What the REST endpoints take."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from clawguard.models import State
from clawguard.server.fields import (
    AgentId,
    Closed,
    Count,
    Cursor,
    Duration,
    Flag,
    Instant,
    Place,
    Reason,
    ScopeList,
    Seconds,
    SessionId,
    Text,
    Whole,
    example,
)

__all__ = [
    "AgentFilters",
    "Creation",
    "Delegation",
    "EventFilters",
    "HistoryFilters",
    "MassRevocation",
    "Refreshing",
    "Revocation",
    "Rotation",
    "SearchFilters",
    "SessionFilters",
    "StreamFilters",
    "TotalRevocation",
    "TreeFilters",
]

_Thumbprint = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$"), Field(examples=["A" * 43])
]


class KeyConfirmation(Closed):
    """Bind tokens to a key, by its RFC 7638 thumbprint (RFC 9449)."""

    jkt: _Thumbprint


class CertificateConfirmation(Closed):
    """Bind tokens to a TLS certificate, by its SHA-256 thumbprint (RFC 8705)."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_alias=True)

    x5t: _Thumbprint = Field(alias="x5t#S256")


class _Asked(Closed):
    """What a new session may be given, root or child."""

    agent_id: AgentId = Field(description="who the session is for")
    scopes: ScopeList = Field(description="never more than the caller's own")
    role: Text | None = Field(None, examples=["searcher"])
    task_type: Text | None = Field(None, examples=["summarize"])
    audience: Text | None = Field(None, description="one that this server issues for", examples=["clawguard"])
    key: Text | None = Field(None, description="unique among the live sessions of the workspace")
    name: Text | None = Field(None, examples=["weekly report"])
    idle_timeout: Duration | None = None
    max_uses: Count | None = Field(None, examples=[3])
    delegable: bool = True
    refreshable: bool = False
    cnf: KeyConfirmation | CertificateConfirmation | None = None
    metadata: dict[str, Any] | None = Field(None, examples=[{"ticket": 17}])
    request_id: Text | None = Field(None, description="the same one gives the same session again")
    agent_alias: Text | None = None
    engine_url: Text | None = None
    engine_version: Text | None = None
    channel_id: Text | None = None
    room_id: Text | None = None
    sender_id: Text | None = None

    def given(self) -> dict[str, Any]:
        """Return what was given, as the manager's arguments."""
        given = self.model_dump(exclude_unset=True, exclude={"agent_id", "scopes"}, by_alias=True)
        return {name: value for name, value in given.items() if value is not None}


class Creation(_Asked):
    """Ask for a root session."""

    model_config = example(agent_id="planner", scopes=["docs:read"], subject="user:ana", ttl=900)

    subject: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]*:.+$"), Text] | None = Field(
        None, description="on whose behalf; by default the agent itself", examples=["user:ana"]
    )
    ttl: Duration = 3_600.0
    max_lifetime: Duration | None = None


class Delegation(_Asked):
    """Ask for a child session."""

    model_config = example(agent_id="reader", scopes=["docs:read"], ttl=60)

    ttl: Duration | None = None
    grant: Text | None = Field(None, description="what the policy lets this parent hand on without having it")


class Refreshing(Closed):
    """Ask for a session's next token."""

    model_config = example(ttl=900, expected_generation=1)

    ttl: Duration | None = None
    expected_generation: Count | None = None


class Revocation(Closed):
    """Ask for a session's end."""

    model_config = example(reason="laptop lost")

    reason: Reason | None = None


_UNSET: Any = None  # a default that nobody can send: a filter is given, or it is not there


class Where(Closed):
    """Pick sessions by all that is given; at least one."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    subject: Text = Field(default=_UNSET, examples=["user:ana"])
    agent_id: AgentId = _UNSET
    role: Text = _UNSET
    key_id: Text = _UNSET
    issued_before: Instant = _UNSET

    @model_validator(mode="after")
    def _check(self) -> "Where":
        if not self.model_fields_set:
            raise ValueError("at least one filter is needed")
        return self


class _Ending(Closed):
    reason: Reason | None = None
    dry_run: bool = False


class MassRevocation(_Ending):
    """Ask for the end of every session that the filters pick."""

    model_config = example(where={"subject": "user:ana"}, dry_run=True)

    where: Where


class TotalRevocation(_Ending):
    """Ask for the end of every session of the workspace."""

    model_config = example(everything=True, dry_run=True)

    everything: Literal[True]


class Rotation(Closed):
    """Ask for the next key to sign."""

    model_config = example(emergency=False, dry_run=True)

    emergency: bool = Field(False, description="distrust the active key at once, and end what it signed")
    dry_run: bool = False
    algorithm: Literal["ES256", "EdDSA", "RS256"] | None = None


class _Query(Closed):
    """Read a query string, in which everything is text."""

    model_config = ConfigDict(strict=False)


class SessionFilters(_Query):
    """Pick sessions, newest first."""

    agent_id: AgentId | None = None
    subject: Text | None = None
    role: Text | None = None
    state: State | None = None
    channel_id: Text | None = None
    room_id: Text | None = None
    sender_id: Text | None = None
    parent_id: SessionId | None = None
    live: Flag | None = None
    limit: Whole = Field(50, ge=1, le=1_000)
    cursor: Cursor | None = None


class AgentFilters(_Query):
    """Pick a page of agents."""

    limit: Whole = Field(50, ge=1, le=1_000)
    cursor: Cursor | None = None


class TreeFilters(_Query):
    """Pick a page of a tree."""

    limit: Whole = Field(1_000, ge=1, le=1_000)
    cursor: Cursor | None = None


class HistoryFilters(_Query):
    """Pick the newest entries of a conversation."""

    limit: Whole = Field(100, ge=1, le=1_000)


class SearchFilters(_Query):
    """Pick entries that hold any of the words."""

    q: str = Field(min_length=1, max_length=4_096, examples=["invoice ship*"])
    session_id: SessionId | None = None
    agent_id: AgentId | None = None
    channel_id: Text | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Whole = Field(50, ge=1, le=1_000)


_Pattern = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_.*?]{1,64}$"), Field(examples=["session.*"])]


class StreamFilters(_Query):
    """Pick events, and say when to stop."""

    types: list[_Pattern] | None = Field(None, max_length=32)
    session_id: SessionId | None = None
    after: Place | None = Field(None, description="by default only what comes from now on")
    idle: Seconds | None = Field(None, description="end after so many seconds without an event")


class EventFilters(_Query):
    """Pick events, in the order of the log."""

    types: list[_Pattern] | None = Field(None, max_length=32)
    session_id: SessionId | None = None
    cause_id: SessionId | None = None
    after: Place = 0
    limit: Whole = Field(100, ge=1, le=1_000)
