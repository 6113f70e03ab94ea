"""Tokens in HTTP (RFC 6750, RFC 9449): how one is read, what a refusal looks like. Knows no framework.

Of an error nothing reaches the answer but its kind and, for a lacking scope, the names of the scopes needed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import parse_qsl, quote

from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ClockError,
    InsufficientScope,
    InvalidArgument,
    InvalidProof,
    InvalidToken,
    NoSession,
    SessionEnded,
    StoreUnavailable,
    TokenSuperseded,
)
from clawguard.guard import ALGORITHMS, CertificateProof, DPoPProof, Proof, normal_uri
from clawguard.scopes import ScopeSet, parse_scopes

__all__ = [
    "CROSS_ORIGIN",
    "MISSING",
    "REFUSED",
    "Credential",
    "Refusal",
    "Scheme",
    "carries_token",
    "certificate_proof",
    "checked_metadata",
    "checked_origin",
    "origin_of",
    "read_credential",
    "refusal_for",
    "source_of",
    "url_of",
]

Scheme = Literal["Bearer", "DPoP"]

_TOKEN_NAME = "access_token"
_BEARER = 'Bearer realm="clawguard"'
_DPOP = f'DPoP algs="{" ".join(ALGORITHMS)}"'
_CHALLENGES: Mapping[Scheme, str] = {"Bearer": _BEARER, "DPoP": _DPOP}
_SCHEMES: Mapping[str, Scheme] = {"bearer": "Bearer", "dpop": "DPoP"}
_RETRY_AFTER = "1"
_MAX_SOURCE = 255
_IN_A_PATH = "/:@!$&'()*+,;="  # what a path may hold as it is, beside letters and digits (RFC 3986, 3.3)
_POLICY_VIOLATION, _TRY_AGAIN_LATER = 1008, 1013

REFUSED: Final[tuple[type[ClawguardError], ...]] = (AccessDenied, StoreUnavailable, ClockError)
"""The errors that have an answer of their own; any other is a fault of the service."""


@dataclass(frozen=True, slots=True)
class Credential:
    """Hold the token of a request, how it was sent, and the proof sent beside it; none is checked yet."""

    token: str = field(repr=False)
    scheme: Scheme = "Bearer"
    proof: Proof | None = None
    in_cookie: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """Hold a whole answer: status, headers and a JSON body."""

    status: int
    error: str
    body: bytes
    challenges: tuple[str, ...] = ()

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """The header fields, each once."""
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(self.body)),
            "Cache-Control": "no-store",
            "WWW-Authenticate": ", ".join(self.challenges),
            "Retry-After": _RETRY_AFTER if self.status == HTTPStatus.SERVICE_UNAVAILABLE else "",
        }
        return tuple((name, value) for name, value in headers.items() if value)

    def pointing_to(self, metadata: str | None) -> Refusal:
        """Return the same answer, its challenges with the URL of the resource's metadata (RFC 9728, 5.1)."""
        if metadata is None or not self.challenges:
            return self
        challenges = tuple(f'{each}, resource_metadata="{metadata}"' for each in self.challenges)
        return replace(self, challenges=challenges)

    @property
    def close_code(self) -> int:
        """The code that closes a WebSocket (RFC 6455, 7.4); `error` is the reason to give with it."""
        return _TRY_AGAIN_LATER if self.status == HTTPStatus.SERVICE_UNAVAILABLE else _POLICY_VIOLATION

    @property
    def reason_phrase(self) -> str:
        """The phrase that HTTP/1.1 puts behind the status."""
        return HTTPStatus(self.status).phrase


def read_credential(
    authorization: str | None,
    *,
    dpop: str | None = None,
    method: str = "GET",
    url: str = "",
    elsewhere: bool = False,
    cookies: Sequence[str] = (),
) -> Credential | Refusal:
    """Return the token of a request, or the answer to one that has none or too many.

    Several headers are given as one, joined with commas (RFC 9110, 5.3), so also those of `DPoP`. `method`
    and `url` are the request's, for the proof of a token sent as `DPoP` (RFC 9449, 7.1). `elsewhere` says
    that the query string carries a token too, which ends up in logs. `cookies` are the values of the cookie
    that may carry one, where an app has such a cookie; any other is not ours, and any host may have set it.
    """
    fields = [part.strip(" \t") for part in (authorization or "").split(",")]
    found = [part for part in fields if _scheme_of(part) in _SCHEMES]
    if elsewhere or len(found) + len(cookies) > 1 or (found and len(fields) > 1):
        return _TWICE
    if cookies:
        return Credential(cookies[0], in_cookie=True)
    if not found:
        return MISSING
    scheme = _SCHEMES[_scheme_of(found[0])]
    token = found[0][len(scheme) :].strip(" \t")
    if not token or " " in token or "\t" in token:
        return _MALFORMED
    if scheme == "Bearer":
        return Credential(token)
    return _bound(token, dpop, method=method, url=url)


def _bound(token: str, dpop: str | None, *, method: str, url: str) -> Credential | Refusal:
    if dpop is None:
        return refusal_for(InvalidProof(), scheme="DPoP")
    try:
        return Credential(token, "DPoP", DPoPProof(dpop.strip(" \t"), method=method, url=url))
    except InvalidArgument:
        return _MALFORMED


def carries_token(query: str) -> bool:
    """Tell whether a query string carries an `access_token` (RFC 6750, 2.3)."""
    return bool(query) and any(name == _TOKEN_NAME for name, _ in parse_qsl(query, keep_blank_values=True))


def certificate_proof(reported: bytes | str | None) -> CertificateProof | None:
    """Return what a TLS terminator reports as proof; what is no certificate proves nothing."""
    if not reported:
        return None
    try:
        return CertificateProof(reported)
    except InvalidArgument:
        return None


def source_of(address: str | None) -> str | None:
    """Return a caller's address; a Unix socket has none, and what is not printable is none."""
    return address if address and address.isprintable() and len(address) <= _MAX_SOURCE else None


def url_of(path: bytes, *, scheme: str, host: str, origin: str | None) -> str:
    """Return a request's URL without its query: at the origin that was given, else at the one it names.

    `path` is decoded. A Host header or a path that is none gives the empty text, which is no URL.
    """
    at = origin or origin_of(f"{scheme}://{host}")
    if at is None or path[:1] not in (b"", b"/"):
        return ""
    return at + quote(path, _IN_A_PATH)


def checked_origin(origin: object) -> str:
    """Return a scheme and host in their normal form, or raise InvalidArgument."""
    checked = origin_of(origin)
    if checked is None:
        raise InvalidArgument("origin", "must be a scheme and a host", hint="write https://api.example.com")
    return checked


def checked_metadata(url: object) -> str:
    """Return the URL of a resource's metadata, or raise InvalidArgument for what is no URL in a challenge."""
    if normal_uri(url) is None or set(str(url)) & set('?#"\\'):
        raise InvalidArgument(
            "resource_metadata", "must be a URL", hint="clawguard.web.metadata.metadata_url makes it"
        )
    return str(url)


def origin_of(text: object) -> str | None:
    """Return a scheme and host in their normal form; None where there is anything else, if only a query."""
    normal = normal_uri(text)
    if normal is None or set(str(text)) & set("?#"):
        return None
    origin, path = normal[:-1], normal[-1:]
    return origin if path == "/" and origin.count("/") == 2 else None


def refusal_for(
    error: ClawguardError, *, require: ScopeSet | None = None, scheme: Scheme = "Bearer"
) -> Refusal:
    """Return the answer to an error of `REFUSED`; `require` names what the request needed before."""
    if isinstance(error, InsufficientScope):
        return _insufficient_scope(error, require, scheme)
    if isinstance(error, InvalidToken | SessionEnded | TokenSuperseded):
        return _invalid(error, scheme)
    if isinstance(error, NoSession):
        return MISSING
    return _DENIED if isinstance(error, AccessDenied) else _UNAVAILABLE


def _scheme_of(credentials: str) -> str:
    return credentials.replace("\t", " ").partition(" ")[0].lower()


def _insufficient_scope(error: InsufficientScope, require: ScopeSet | None, scheme: Scheme) -> Refusal:
    """Name every scope needed; text that is no scope, from an error the app made up, goes nowhere."""
    try:
        needed = parse_scopes((*(require or ()), *error.required))
    except InvalidArgument:
        needed = ScopeSet()
    challenge = f'{_CHALLENGES[scheme]}, error="insufficient_scope"'
    if needed:
        challenge += f', scope="{needed}"'
    return _refusal(403, "insufficient_scope", "the session lacks a scope that this needs", challenge)


def _invalid(error: AccessDenied, scheme: Scheme) -> Refusal:
    """Answer alike for a forged, an ended and a replaced token: the caller learns that it is of no use."""
    if isinstance(error, InvalidProof) and scheme == "DPoP":
        challenge = f'{_DPOP}, error="invalid_dpop_proof"'
        return _refusal(401, "invalid_dpop_proof", "the DPoP proof is not valid", challenge)
    challenges = [f'{_CHALLENGES[scheme]}, error="invalid_token"']
    if isinstance(error, InvalidProof):
        challenges.append(_DPOP)
    return _refusal(401, "invalid_token", "the token is not valid", *challenges)


def _refusal(status: int, code: str, description: str, *challenges: str) -> Refusal:
    body = json.dumps({"error": code, "error_description": description}).encode()
    return Refusal(status, code, body, challenges)


def _invalid_request(description: str) -> Refusal:
    return _refusal(400, "invalid_request", description, f'{_BEARER}, error="invalid_request"')


MISSING: Final = _refusal(401, "unauthorized", "a bearer token is needed", _BEARER, _DPOP)
"""The answer to a request without credentials: it is told the schemes and no error code (section 3.1)."""

CROSS_ORIGIN: Final = _refusal(403, "cross_origin", "a page of another origin may have sent this request")
"""The answer to what another site's page may have had a browser send with its cookie."""

_TWICE = _invalid_request("send one token, in one place: an Authorization header, or the cookie set for it")
_MALFORMED = _invalid_request("the Authorization header is malformed")
_DENIED = _refusal(403, "access_denied", "access is denied")
_UNAVAILABLE = _refusal(503, "temporarily_unavailable", "access cannot be checked at the moment")
