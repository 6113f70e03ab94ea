"""A verifier at a server: the same names, each one request to `clawguard serve`; it remembers nothing.

An answer counts when it is to the very question: it repeats the nonce, and says nothing of another session,
or of more scopes, than were asked about. Whatever else comes is no answer, and denies.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar, get_args

from pydantic import ValidationError

from clawguard.checks import check_text
from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ClockError,
    ConfigError,
    InsufficientScope,
    InvalidArgument,
    InvalidProof,
    InvalidToken,
    SessionEnded,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.guard import CertificateProof, DPoPProof, Proof, TokenFault, check_question, is_refresh_token
from clawguard.guard.jws import MAX_TOKEN
from clawguard.guard.tokens import read_unverified
from clawguard.models import Decision, SessionContext
from clawguard.scopes import Scopes, ScopeSet, parse_scopes
from clawguard.sessions.asking import Asking
from clawguard.sessions.memory import Consistency
from clawguard.sessions.replies import Authorized, Metadata, Refused, Reply, Validated
from clawguard.sessions.standing import check_scopes
from clawguard.sessions.verifier import Verifier

__all__ = ["RemoteVerifier"]

_SAME = ("session_id", "generation", "subject", "audience", "actors")  # of a session at one generation
_METADATA = "/.well-known/oauth-authorization-server"

R = TypeVar("R", bound=Reply)


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
        try:
            known = Metadata.model_validate(self._asking.get(_METADATA, by_anybody=True)).token_issuer
        except ValidationError:
            raise _no_answer("issuer") from None
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
        """Return who is calling and what they may do, as the server finds: see `Verifier.validate`.

        A token is asked about once: where no answer comes, a use of it may have been spent (OutcomeUnknown).
        """
        if consistency not in get_args(Consistency):
            raise InvalidArgument("consistency", "must be 'bounded' or 'linearizable'")
        needed = parse_scopes(require, argument="require")
        some_of = parse_scopes(any_of, argument="any_of")
        body: dict[str, Any] = {**_wanted(needed, some_of), "consistency": consistency}
        wanted = self._audience if audience is None else audience
        if wanted is not None:
            body["audience"] = check_text(wanted, argument="audience")
        if source is not None:
            body["source"] = check_text(source, argument="source")
        body |= _shown(token_or_context, proof)
        twice = not isinstance(token_or_context, str)
        told = self._ask("/v1/validate", body, Validated, twice=twice).context
        if told is None:
            raise _no_answer("context")
        found = told.record()
        is_it = found.audience == wanted or wanted is None
        if not is_it or not _is_about(found, token_or_context) or not _has(found, needed, some_of):
            raise _no_answer("context")
        return found

    def recheck(self, context: SessionContext, /, *, require: Scopes = (), any_of: Scopes = ()) -> None:
        """Hold a context against its row as `validate` does, without counting it as activity."""
        body = {"context": _told_of_context(context), "quiet": True, **_wanted(require, any_of)}
        held = self._ask("/v1/validate", body, Validated, twice=True).held
        if held is None or (held.session_id, held.generation) != (context.session_id, context.generation):
            raise _no_answer("context")

    def authorize(
        self, context: SessionContext, action: str, /, *, resource: str | None = None, risk: float = 0
    ) -> Decision:
        """Decide by the server's policy whether a session may do an action: see `Verifier.authorize`."""
        if not isinstance(context, SessionContext):
            raise InvalidArgument("context", "must be a SessionContext", hint="`validate` gives it")
        check_question(action, resource=resource, risk=risk)
        body: dict[str, Any] = {"context": _told_of_context(context), "action": action, "risk": risk}
        if resource is not None:
            body["resource"] = resource
        decision = self._ask("/v1/authorize", body, Authorized, twice=True).decision
        if decision is None or decision.action != action:
            raise _no_answer("decision")
        return decision.record()

    def close(self) -> None:
        """Let go of the connections; again does nothing."""
        self._asking.close()

    def _ask(self, path: str, body: Mapping[str, Any], form: type[R], *, twice: bool) -> R:
        """Return the answer to this very question; raise what it refuses, or StoreUnavailable."""
        nonce = secrets.token_urlsafe(16)
        told = self._told({**body, "nonce": nonce}, path, twice=twice)
        try:
            reply = form.model_validate(told)
        except (ValidationError, RecursionError):
            raise _no_answer("answer") from None
        if reply.nonce != nonce:
            raise _no_answer("answer")
        if reply.refusal is not None:
            raise _error_of(reply.refusal)
        return reply

    def _told(self, body: Mapping[str, Any], path: str, *, twice: bool) -> dict[str, Any]:
        """Ask, and let nothing through that would be about the token which is asked about."""
        try:
            return self._asking.post(path, body, twice=twice)
        except (InvalidArgument, ConfigError, ClockError, StoreUnavailable):
            raise
        except ClawguardError:
            raise StoreUnavailable(
                "the server does not know this verifier, or not as one that may ask",
                hint="its own token needs the scope clawguard:introspect",
            ) from None


def _shown(shown: str | SessionContext, proof: Proof | None) -> dict[str, Any]:
    if isinstance(shown, str):
        if not shown or len(shown) > MAX_TOKEN or not shown.isascii():
            raise InvalidToken
        if is_refresh_token(shown):
            raise InvalidToken(hint="a refresh token goes to redeem(), and nowhere else")
        return {"token": shown} if proof is None else {"token": shown, "proof": _told_of(proof)}
    if proof is not None:
        raise InvalidArgument("proof", "goes with a token", hint="a context needs none")
    return {"context": _told_of_context(shown)}


def _no_answer(what: str) -> StoreUnavailable:
    return StoreUnavailable(f"the server gave no valid answer (no {what})")


def _is_about(found: SessionContext, shown: str | SessionContext) -> bool:
    """Tell whether a context is of the session that was asked about, and holds no more than was shown."""
    if isinstance(shown, SessionContext):
        same = all(getattr(found, name) == getattr(shown, name) for name in (*_SAME, "agent_id"))
        return same and not shown.scopes.missing(found.scopes)
    try:
        claims = read_unverified(shown)  # that it is genuine, only the server knows
    except TokenFault:
        return False
    same = all(getattr(found, name) == getattr(claims, name) for name in _SAME)
    return same and found.agent_id == claims.client_id and not claims.scopes.missing(found.scopes)


def _has(found: SessionContext, require: ScopeSet, any_of: ScopeSet) -> bool:
    try:
        check_scopes(found, require=require, any_of=any_of)
    except InsufficientScope:
        return False
    return True


def _wanted(require: Scopes, any_of: Scopes) -> dict[str, list[str]]:
    return {
        "require": list(parse_scopes(require, argument="require")),
        "any_of": list(parse_scopes(any_of, argument="any_of")),
    }


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
    if isinstance(proof, CertificateProof):
        return {"thumbprint": proof.thumbprint}
    raise InvalidArgument("proof", "must be a DPoPProof or a CertificateProof")


def _error_of(refusal: Refused) -> AccessDenied:
    """Return the error that a verifier beside the store would raise."""
    match refusal.code:
        case "invalid_proof":
            return InvalidProof()
        case "token_superseded":
            return TokenSuperseded()
        case "session_ended" if refusal.cause is not None:
            return SessionEnded(refusal.cause, refusal.reason)
        case "insufficient_scope" if refusal.agent_id is not None:
            asked = tuple(refusal.required or ()), tuple(refusal.missing or ())
            return InsufficientScope(refusal.agent_id, *asked, any_of=refusal.any_of is True)
    return InvalidToken()
