"""What a server answers a verifier, read strictly: closed models, texts and scopes as the library has."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from clawguard.checks import is_text
from clawguard.models import Actor, Cause, Decision, SessionContext
from clawguard.scopes import ScopeSet, check_scope

__all__ = ["Authorized", "Metadata", "Refused", "Reply", "Validated"]


def _checked_text(value: str) -> str:
    if not is_text(value):
        raise ValueError("is no text id")
    return value


def _instant(value: object) -> datetime:
    at = datetime.fromisoformat(value) if isinstance(value, str) else None
    if at is None or at.utcoffset() is None:
        raise ValueError("is no instant")
    return at


def _scopes(value: object) -> ScopeSet:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError("is no list of scopes")
    return ScopeSet._of_checked([check_scope(each) for each in value])


Text = Annotated[str, AfterValidator(_checked_text)]
Instant = Annotated[datetime, BeforeValidator(_instant)]
ScopeList = Annotated[ScopeSet, BeforeValidator(_scopes)]


class _Read(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, arbitrary_types_allowed=True
    )


class Metadata(BaseModel):
    """Hold what a verifier wants of the server's metadata (RFC 8414); there is more."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    token_issuer: Text


class _Actor(_Read):
    agent_id: Text
    session_id: Text


class _Context(_Read):
    session_id: Text
    generation: int = Field(ge=1)
    agent_id: Text
    subject: Text
    workspace_id: Text
    audience: Text
    role: Text | None
    scopes: ScopeList
    task_type: Text | None
    expires_at: Instant
    actors: list[_Actor]

    def record(self) -> SessionContext:
        """Return it as the library has it."""
        actors = tuple(Actor(each.agent_id, each.session_id) for each in self.actors)
        return SessionContext(**{**dict(self), "actors": actors})


class _Decision(_Read):
    allowed: bool
    action: Text
    reason: Text
    policy: Text
    rule: Text | None
    masked_fields: list[Text]

    def record(self) -> Decision:
        """Return it as the library has it."""
        return Decision(**{**dict(self), "masked_fields": tuple(self.masked_fields)})


class _Held(_Read):
    session_id: Text
    generation: int


class Refused(_Read):
    """Hold why not."""

    code: Text
    cause: Cause | None = None
    reason: Text | None = None
    agent_id: Text | None = None
    required: ScopeList | None = None
    missing: ScopeList | None = None
    any_of: bool | None = None


class Reply(_Read):
    """Hold an answer to the question of a nonce: one thing, or why not."""

    nonce: str
    refusal: Refused | None = None

    @model_validator(mode="before")
    @classmethod
    def _leave_out_nothing(cls, told: Any) -> Any:
        """Take what is null for what is not there."""
        if isinstance(told, dict):
            return {name: value for name, value in told.items() if value is not None}
        return told

    @model_validator(mode="after")
    def _check_one(self) -> Reply:
        if len(self.model_fields_set) != 2:  # the nonce, and one of the others
            raise ValueError("says nothing, or two things")
        return self


class Validated(Reply):
    """Hold who is calling, or that what was found before still holds."""

    context: _Context | None = None
    held: _Held | None = None


class Authorized(Reply):
    """Hold what the policy decides."""

    decision: _Decision | None = None
