"""A verifier at a server: the same names, each one request to `clawguard serve`; it remembers nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn, get_args

from clawguard.checks import check_text
from clawguard.errors import (
    AccessDenied,
    ConfigError,
    InsufficientScope,
    InvalidArgument,
    InvalidProof,
    InvalidToken,
    SessionEnded,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.guard import DPoPProof, Proof, check_question, is_refresh_token
from clawguard.guard.jws import MAX_TOKEN
from clawguard.models import Actor, Decision, SessionContext
from clawguard.scopes import Scopes, parse_scopes
from clawguard.sessions.asking import Asking
from clawguard.sessions.memory import Consistency
from clawguard.sessions.verifier import Verifier

__all__ = ["RemoteVerifier"]

_METADATA = "/.well-known/oauth-authorization-server"


class RemoteVerifier(Verifier):
    """Have `clawguard serve` check each token and context: see `Verifier.open`.

    Whatever it does not answer is denied with StoreUnavailable. What reads the log or inspects a token is not
    there: it raises ConfigError.
    """

    _reads_wait = True

    def __init__(self, asking: Asking, *, issuer: str | None, audience: str | None) -> None:
        self._asking = asking
        self._audience = audience
        self._issuer = ""
        try:
            self._meet(issuer)
        except BaseException:
            asking.close()
            raise

    def _meet(self, issuer: str | None) -> None:
        """Ask the server who it is, before anything else."""
        known = self._asking.get(_METADATA).get("issuer")
        if not isinstance(known, str):
            raise StoreUnavailable("the server gave no valid answer (no issuer)")
        if issuer not in (None, known):
            raise ConfigError(
                "the server is of another issuer", hint="leave issuer= out, or name another URL"
            )
        self._issuer = known

    def __getattr__(self, name: str) -> NoReturn:
        if name in ("_parts", "_now"):  # what the names that need a store go through
            raise ConfigError("a verifier at a server has no store of its own", hint="ask the server")
        raise AttributeError(name)

    @property
    def issuer(self) -> str:
        """The `iss` of every token of the server's database."""
        return self._issuer

    def validate(
        self,
        token_or_context: str | SessionContext,
        /,
        *,
        require: Scopes = (),
        any_of: Scopes = (),
        audience: str | None = None,
        source: str | None = None,
        proof: Proof | None = None,
        consistency: Consistency = "bounded",
    ) -> SessionContext:
        """Return who is calling and what they may do, as the server finds: see `Verifier.validate`."""
        if consistency not in get_args(Consistency):
            raise InvalidArgument("consistency", "must be 'bounded' or 'linearizable'")
        body: dict[str, Any] = {
            "require": list(parse_scopes(require, argument="require")),
            "any_of": list(parse_scopes(any_of, argument="any_of")),
            "consistency": consistency,
        }
        wanted = self._audience if audience is None else audience
        if wanted is not None:
            body["audience"] = check_text(wanted, argument="audience")
        if source is not None:
            body["source"] = check_text(source, argument="source")
        body |= self._shown(token_or_context, proof)
        told = self._asking.post("/v1/validate", body)
        _raise_refusal(told)
        return _context_of(told.get("context"))

    def _shown(self, shown: str | SessionContext, proof: Proof | None) -> dict[str, Any]:
        if isinstance(shown, str):
            if not shown or len(shown) > MAX_TOKEN or not shown.isascii():
                raise InvalidToken
            if is_refresh_token(shown):
                raise InvalidToken(hint="a refresh token goes to redeem(), and nowhere else")
            return {"token": shown} if proof is None else {"token": shown, "proof": _told_of(proof)}
        if proof is not None:
            raise InvalidArgument("proof", "goes with a token", hint="a context needs none")
        return {"context": _told_of_context(shown)}

    def recheck(self, context: SessionContext, /) -> None:
        """Hold a context against its row as `validate` does, without counting it as activity."""
        _raise_refusal(
            self._asking.post("/v1/validate", {"context": _told_of_context(context), "quiet": True})
        )

    def authorize(
        self, context: SessionContext, action: str, /, *, resource: str | None = None, risk: float = 0
    ) -> Decision:
        """Decide by the server's policy whether a session may do an action: see `Verifier.authorize`."""
        if not isinstance(context, SessionContext):
            raise InvalidArgument("context", "must be a SessionContext", hint="`validate` gives it")
        check_question(action, resource=resource, risk=risk)
        body = {"context": _told_of_context(context), "action": action, "risk": risk}
        told = self._asking.post("/v1/authorize", body if resource is None else body | {"resource": resource})
        _raise_refusal(told)
        return _decision_of(told.get("decision"))

    def close(self) -> None:
        """Let go of the connections; again does nothing."""
        self._asking.close()


def _told_of_context(context: object) -> dict[str, Any]:
    if not isinstance(context, SessionContext):
        raise InvalidArgument(
            "token_or_context", "must be a token or a SessionContext", hint="pass `session.token`"
        )
    return {
        "session_id": context.session_id,
        "generation": context.generation,
        "scopes": list(context.scopes),
    }


def _told_of(proof: Proof) -> dict[str, str]:
    if isinstance(proof, DPoPProof):
        return {"dpop": proof.text, "method": proof.method, "url": proof.url}
    return {"thumbprint": proof.thumbprint}


def _raise_refusal(told: Mapping[str, Any]) -> None:
    refusal = told.get("refusal")
    if refusal is not None:
        raise _error_of(refusal if isinstance(refusal, dict) else {})


def _error_of(refusal: Mapping[str, Any]) -> AccessDenied:
    """Return the error that a verifier beside the store would raise."""
    match refusal.get("code"):
        case "invalid_proof":
            return InvalidProof()
        case "token_superseded":
            return TokenSuperseded()
        case "session_ended":
            return SessionEnded(str(refusal.get("cause")), refusal.get("reason"))
        case "insufficient_scope":
            asked = (tuple(map(str, refusal.get(name) or ())) for name in ("required", "missing"))
            any_of = refusal.get("any_of") is True
            return InsufficientScope(str(refusal.get("agent_id")), *asked, any_of=any_of)
    return InvalidToken()


def _context_of(told: Any) -> SessionContext:
    try:
        known = dict(told)
        known["scopes"] = parse_scopes(known["scopes"])
        known["expires_at"] = datetime.fromisoformat(known["expires_at"])
        known["actors"] = tuple(Actor(each["agent_id"], each["session_id"]) for each in known["actors"])
        return SessionContext(**known)
    except (TypeError, KeyError, ValueError):
        raise StoreUnavailable("the server gave no valid answer (no context)") from None


def _decision_of(told: Any) -> Decision:
    try:
        decision = Decision(**{**told, "masked_fields": tuple(told["masked_fields"])})
    except (TypeError, KeyError):
        raise StoreUnavailable("the server gave no valid answer (no decision)") from None
    if not isinstance(decision.allowed, bool):
        raise StoreUnavailable("the server gave no valid answer (no decision)")
    return decision
