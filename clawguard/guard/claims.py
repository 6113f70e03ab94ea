"""Claims: what a token says, as a record, and the rules that every set of claims keeps at any time."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from clawguard.checks import is_text
from clawguard.clock import LONGEST, SECOND
from clawguard.errors import InvalidArgument
from clawguard.guard.faults import TokenFault
from clawguard.models import Actor
from clawguard.scopes import ScopeSet, parse_scopes

if TYPE_CHECKING:
    from clawguard.guard.wire import AccessClaims, ActorClaim

__all__ = ["MAX_ACTORS", "MAX_LIFETIME", "Claims", "act_claim", "check_claims", "load_model", "read_claims"]

MAX_ACTORS = 8  # a session of depth 8 has eight above it
MAX_LIFETIME = LONGEST // SECOND  # in seconds

_AGENT = "agent:"


class Claims(NamedTuple):
    """Hold the claims of one token; times are whole seconds since 1970.

    `actors` are those above the acting agent, root first; the agent itself is `client_id` in `session_id`.
    `cnf` says which key or certificate the token is bound to (RFC 7800), None for a bearer token.
    """

    issuer: str
    audience: str
    subject: str
    client_id: str
    session_id: str
    jti: str
    issued_at: int
    not_before: int
    expires_at: int
    scopes: ScopeSet
    generation: int
    kid: str
    actors: tuple[Actor, ...] = ()
    cnf: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"Claims(session_id={self.session_id!r}, client_id={self.client_id!r}, kid={self.kid!r})"

    def to_dict(self) -> dict[str, Any]:
        """Return the claims by their names in the token; `act` has the acting agent outermost (RFC 8693)."""
        claims: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "sub": self.subject,
            "client_id": self.client_id,
            "sid": self.session_id,
            "jti": self.jti,
            "iat": self.issued_at,
            "nbf": self.not_before,
            "exp": self.expires_at,
            "scope": str(self.scopes),
            "gen": self.generation,
        }
        if self.actors:
            claims["act"] = act_claim((*self.actors, Actor(self.client_id, self.session_id)))
        if self.cnf is not None:
            claims["cnf"] = dict(self.cnf)
        return claims


def read_claims(claims: dict[str, Any], *, kid: str) -> Claims:
    """Return the record of a claims object; raise TokenFault where it breaks the model or a rule.

    What depends on the reader or the time (issuer, audience, now) is not looked at here.
    """
    wire, scopes, actors = _parse(claims)
    return Claims(
        issuer=wire.iss,
        audience=wire.aud,
        subject=wire.sub,
        client_id=wire.client_id,
        session_id=wire.sid,
        jti=wire.jti,
        issued_at=wire.iat,
        not_before=wire.nbf,
        expires_at=wire.exp,
        scopes=scopes,
        generation=wire.gen,
        actors=actors,
        cnf=claims.get("cnf"),
        kid=kid,
    )


def check_claims(claims: dict[str, Any]) -> None:
    """Raise TokenFault for a claims object that `read_claims` would refuse."""
    _parse(claims)


def _parse(claims: dict[str, Any]) -> tuple[AccessClaims, ScopeSet, tuple[Actor, ...]]:
    wire = _model_of(claims)
    if wire is None:
        raise TokenFault("claims")
    _check_span(wire)
    return wire, _scopes(wire.scope), _actors(wire) if "act" in claims else ()


@cache
def load_model() -> type[AccessClaims]:
    """Load the model of the claims; apart, so that the import of pydantic falls to whoever opens a store."""
    from clawguard.guard.wire import AccessClaims

    return AccessClaims


def _model_of(claims: dict[str, Any]) -> AccessClaims | None:
    model = load_model()
    try:
        return model.model_validate(claims)
    except ValueError:
        return None


def _check_span(wire: AccessClaims) -> None:
    if not max(wire.iat, wire.nbf) < wire.exp <= wire.iat + MAX_LIFETIME:
        raise TokenFault("lifetime")


def _scopes(text: str) -> ScopeSet:
    """Return the scopes of the one canonical text for them; the empty text gives none."""
    try:
        scopes = parse_scopes(text)
    except InvalidArgument:
        scopes = None
    if scopes is None or str(scopes) != text:
        raise TokenFault("scope")
    return scopes


def _actors(wire: AccessClaims) -> tuple[Actor, ...]:
    """Return the steps above the acting agent, root first; the outermost step must be that agent itself."""
    chain = [_actor(step) for step in _steps(wire.act)]
    acting, above = chain[0], chain[:0:-1]
    if acting != (wire.client_id, wire.sid) or not 0 < len(above) <= MAX_ACTORS:
        raise TokenFault("actors")
    if len({actor.session_id for actor in chain}) != len(chain):
        raise TokenFault("actors")
    return tuple(above)


def _steps(step: ActorClaim | None) -> list[ActorClaim]:
    steps = []
    while step is not None:
        steps.append(step)
        step = step.act
    return steps


def _actor(step: ActorClaim) -> Actor:
    prefix, agent_id = step.sub[: len(_AGENT)], step.sub[len(_AGENT) :]
    if prefix != _AGENT or not is_text(agent_id):
        raise TokenFault("actors")
    return Actor(agent_id, step.sid)


def act_claim(actors: tuple[Actor, ...]) -> dict[str, Any]:
    """Return root-first actors as nested `act` objects, the last one outermost."""
    nested: dict[str, Any] = {}
    for actor in actors:
        step = {"sub": _AGENT + actor.agent_id, "sid": actor.session_id}
        nested = {**step, "act": nested} if nested else step
    return nested
