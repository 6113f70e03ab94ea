"""Bearer tokens in HTTP (RFC 6750): how one is read, and what a refusal looks like. Knows no framework.

Of an error nothing reaches the answer but its kind and, for a lacking scope, the names of the scopes needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ClockError,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    NoSession,
    SessionEnded,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.scopes import ScopeSet, parse_scopes

__all__ = ["REFUSED", "Credential", "Refusal", "carries_token", "read_bearer", "refusal_for"]

_TOKEN_NAME = "access_token"
_REALM = 'Bearer realm="clawguard"'
_RETRY_AFTER = "1"

REFUSED: Final[tuple[type[ClawguardError], ...]] = (AccessDenied, StoreUnavailable, ClockError)
"""The errors that have an answer of their own; any other is a fault of the service."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Hold the token of a request, not yet checked."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Hold a whole answer: status, headers and a JSON body."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def reason_phrase(self) -> str:
        """The phrase that HTTP/1.1 puts behind the status."""
        return HTTPStatus(self.status).phrase


def read_bearer(authorization: str | None, *, elsewhere: bool = False) -> Credential | Refusal:
    """Return the token of an Authorization header, or the answer to a request that has none or too many.

    Several headers are given as one, joined with commas (RFC 9110, 5.3). `elsewhere` says that the query
    string or a cookie carries a token too: those end up in logs and in forged requests.
    """
    fields = [part.strip(" \t") for part in (authorization or "").split(",")]
    bearers = [part for part in fields if _scheme_of(part) == "bearer"]
    if elsewhere or (bearers and len(fields) > 1):
        return _TWICE
    if not bearers:
        return _MISSING
    token = bearers[0][len("bearer") :].strip(" \t")
    if not token or " " in token or "\t" in token:
        return _MALFORMED
    return Credential(token)


def carries_token(query: str, cookies: str = "") -> bool:
    """Tell whether a query string or a Cookie header carries an `access_token`."""
    if query and any(name == _TOKEN_NAME for name, _ in parse_qsl(query, keep_blank_values=True)):
        return True
    return _TOKEN_NAME in cookies and any(
        each.partition("=")[0].strip() == _TOKEN_NAME for each in cookies.split(";")
    )


def refusal_for(error: ClawguardError, *, require: ScopeSet | None = None) -> Refusal:
    """Return the answer to an error of `REFUSED`; `require` names what the request needed before."""
    if isinstance(error, InsufficientScope):
        return _insufficient_scope(error, require)
    for kind, refusal in _ANSWERS.items():
        if isinstance(error, kind):
            return refusal
    return _DENIED if isinstance(error, AccessDenied) else _UNAVAILABLE


def _scheme_of(credentials: str) -> str:
    return credentials.replace("\t", " ").partition(" ")[0].lower()


def _insufficient_scope(error: InsufficientScope, require: ScopeSet | None) -> Refusal:
    """Name every scope needed; text that is no scope, from an error the app made up, goes nowhere."""
    try:
        needed = parse_scopes((*(require or ()), *error.required))
    except InvalidArgument:
        needed = ScopeSet()
    challenge = f'{_REALM}, error="insufficient_scope"'
    if needed:
        challenge += f', scope="{needed}"'
    return _refusal(
        403, "insufficient_scope", "the session lacks a scope that this needs", challenge=challenge
    )


def _refusal(status: int, code: str, description: str, *, challenge: str = "", retry: str = "") -> Refusal:
    body = json.dumps({"error": code, "error_description": description}).encode()
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "WWW-Authenticate": challenge,
        "Retry-After": retry,
    }
    return Refusal(status, tuple((name, value) for name, value in headers.items() if value), body)


def _invalid_request(description: str) -> Refusal:
    return _refusal(400, "invalid_request", description, challenge=f'{_REALM}, error="invalid_request"')


# Section 3.1: a request without credentials is told the scheme and no error code.
_MISSING = _refusal(401, "unauthorized", "a bearer token is needed", challenge=_REALM)
_TWICE = _invalid_request("send one token, in one Authorization header and nowhere else")
_MALFORMED = _invalid_request("the Authorization header is malformed")
# Alike for a forged, an ended and a replaced token: the caller learns only that it is of no use.
_INVALID = _refusal(
    401, "invalid_token", "the token is not valid", challenge=f'{_REALM}, error="invalid_token"'
)
_DENIED = _refusal(403, "access_denied", "access is denied")
_UNAVAILABLE = _refusal(
    503, "temporarily_unavailable", "access cannot be checked at the moment", retry=_RETRY_AFTER
)

_ANSWERS: Mapping[type[ClawguardError], Refusal] = {
    InvalidToken: _INVALID,
    SessionEnded: _INVALID,
    TokenSuperseded: _INVALID,
    NoSession: _MISSING,
    StoreUnavailable: _UNAVAILABLE,
    ClockError: _UNAVAILABLE,
}
