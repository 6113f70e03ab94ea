"""What an agent of a host is given to act with, and what its model is told of a refusal.

Nothing that a model, a message or a trace can hold has a token in it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from clawguard.errors import AccessDenied, InsufficientScope, InvalidArgument, SessionEnded
from clawguard.guard import Proof
from clawguard.models import Inspection, IssuedSession, SessionContext
from clawguard.scopes import Scopes
from clawguard.sessions.awaiting import may_write, waits
from clawguard.sessions.current import Use, Validator

__all__ = ["Credential", "Discreet", "Guarding", "bound_for_call", "checked_credential", "told"]

Credential = str | IssuedSession | SessionContext


class Guarding(Validator, Protocol):
    """Check and bind sessions: a `Verifier` or a `SessionManager`."""

    def use(self, token: str | SessionContext, /, *, require: Scopes = ...) -> Use:
        """Bind the session for a block."""

    def inspect(self, token: str, /) -> Inspection:
        """Tell what a token is, without recording anything."""


@asynccontextmanager
async def bound_for_call(
    validator: Validator, held: str | SessionContext, *, require: Scopes
) -> AsyncIterator[SessionContext]:
    """Validate a session once and bind it for one call, which is cancelled within a second of its end.

    What outlives the call, such as a task of its own, has a copy of its context, and is nobody's.
    """
    goes_on = True
    try:
        async with Use(validator, held, require=require, reaches=lambda: goes_on) as session:
            yield session
    finally:
        goes_on = False


def checked_credential(given: object, *, argument: str) -> str | SessionContext:
    """Return the token or context that is validated with each call; raise InvalidArgument for anything else.

    A token is checked whole each time, and spends a use where they are counted. A context, the host's own
    authority, is held against its row.
    """
    if isinstance(given, IssuedSession):
        return given.token
    if isinstance(given, str | SessionContext):
        return given
    raise InvalidArgument(argument, "must be a token, an IssuedSession or a SessionContext")


def told(refusal: AccessDenied) -> str:
    """Return what a model may know of a refusal: its kind, and the scopes that are missing.

    The reason that a host gave for an end is not for it.
    """
    if isinstance(refusal, InsufficientScope):
        return f"refused: this agent lacks the scope {' '.join(refusal.missing)}"
    return f"refused: {refusal.code.replace('_', ' ')}"


class Discreet:
    """Check for code whose errors a host may show a model: of an end they say its cause, and no reason."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._reads_wait = waits(validator)

    def validate(
        self, token_or_context: str | SessionContext, /, *, require: Scopes = (), proof: Proof | None = None
    ) -> SessionContext:
        """Return the context as it now stands, or raise."""
        try:
            return self._validator.validate(token_or_context, require=require, proof=proof)
        except SessionEnded as ended:
            raise SessionEnded(ended.cause) from None

    def recheck(self, context: SessionContext, /, *, require: Scopes = ()) -> None:
        """Raise as `validate` does, without counting it as activity."""
        try:
            self._validator.recheck(context, require=require)
        except SessionEnded as ended:
            raise SessionEnded(ended.cause) from None

    def _may_write(self, token: object) -> bool:
        return may_write(self._validator, token)
