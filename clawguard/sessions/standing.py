"""How a session stands: its row as a decision needs it, and what the row says to a token. No I/O."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from clawguard.clock import SECOND, to_datetime
from clawguard.errors import ClawguardError, InsufficientScope, SessionEnded, TokenSuperseded
from clawguard.guard import Claims, TokenFault
from clawguard.models import SessionContext, decode_actors, decode_cnf
from clawguard.scopes import Scopes, ScopeSet, parse_scopes

__all__ = ["Standing", "check_alive", "check_bound", "check_scopes", "context_of", "reason_of", "touch_every"]

_TOUCH_AT_MOST = 60 * SECOND
_TOUCHES_AN_IDLE_TIMEOUT = 20


class Standing(NamedTuple):
    """Hold the columns of `validate.standing`, in its order."""

    version: int
    generation: int
    jti: str
    kid: str
    agent_id: str
    subject: str
    workspace_id: str
    audience: str
    role: str | None
    scopes: str
    task_type: str | None
    actors: str
    expires_at: int
    due_at: int
    idle_timeout: int | None
    last_source: str | None
    ended_at: int | None
    cause: str | None
    reason: str | None
    due_cause: str
    depth: int
    grant_name: str | None
    granted: int
    uses_left: int | None
    cnf: str | None
    revision: int
    schema_version: int


def check_alive(standing: Standing, *, generation: int, now: int) -> None:
    """Raise SessionEnded for a session that has ended or is due, TokenSuperseded for an older generation.

    A generation from the row's future, which only a database set back can show, is a TokenFault.
    """
    if standing.cause is not None:
        raise SessionEnded(standing.cause, standing.reason)
    if now >= standing.due_at:
        raise SessionEnded(standing.due_cause)
    if standing.uses_left == 0:
        raise SessionEnded("uses")
    if generation < standing.generation:
        raise TokenSuperseded
    if generation > standing.generation:
        raise TokenFault("row_generation")


def check_bound(standing: Standing, claims: Claims) -> None:
    """Raise TokenFault unless the token says what its session's row says; it may hold fewer scopes."""
    said = (claims.client_id, claims.subject, claims.audience, claims.actors)
    if said != (standing.agent_id, standing.subject, standing.audience, decode_actors(standing.actors)):
        raise TokenFault("row")
    if claims.cnf != decode_cnf(standing.cnf):
        raise TokenFault("row")
    if claims.generation == standing.generation and claims.jti != standing.jti:
        raise TokenFault("row")
    if parse_scopes(standing.scopes).missing(claims.scopes):
        raise TokenFault("row_scopes")


def check_scopes(context: SessionContext, *, require: Scopes, any_of: Scopes) -> None:
    """Raise InsufficientScope unless all of `require` is held, and one of `any_of` where it names any."""
    wanted = parse_scopes(require, argument="require") if require else ScopeSet()
    missing = context.scopes.missing(wanted)
    if missing:
        raise InsufficientScope(context.agent_id, tuple(wanted), missing)
    choice = tuple(parse_scopes(any_of, argument="any_of")) if any_of else ()
    if choice and not any(scope in context.scopes for scope in choice):
        raise InsufficientScope(context.agent_id, choice, choice, any_of=True)


def context_of(standing: Standing, *, session_id: str, scopes: ScopeSet) -> SessionContext:
    """Return who the row says is calling, with the scopes that were found to remain."""
    return SessionContext(
        session_id=session_id,
        generation=standing.generation,
        agent_id=_shared(standing.agent_id),
        subject=standing.subject,
        workspace_id=_shared(standing.workspace_id),
        audience=_shared(standing.audience),
        role=standing.role,
        scopes=scopes,
        task_type=standing.task_type,
        expires_at=to_datetime(standing.expires_at),
        actors=decode_actors(standing.actors),
    )


@lru_cache(maxsize=1_024)
def _shared(text: str) -> str:
    """Return one object for equal texts: thousands of contexts are remembered that name the same."""
    return text


def touch_every(idle_timeout: int | None) -> int:
    """Return how long (microseconds) activity may go unrecorded.

    Half of the promised tenth of the idle timeout: the other half is the writing's own delay.
    """
    if idle_timeout is None:
        return _TOUCH_AT_MOST
    return min(_TOUCH_AT_MOST, idle_timeout // _TOUCHES_AN_IDLE_TIMEOUT)


def reason_of(refusal: ClawguardError) -> str:
    """Return the short reason that a denial's event carries."""
    if isinstance(refusal, SessionEnded):
        return f"ended: {refusal.cause}"
    return refusal.code
