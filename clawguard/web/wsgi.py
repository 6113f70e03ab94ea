"""WSGI: a middleware that checks the token of each request and binds its session for the app."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.guard import CertificateProof, Proof, normal_uri
from clawguard.models import SessionContext
from clawguard.scopes import Scopes, ScopeSet, parse_scopes
from clawguard.sessions.current import Use, Validator
from clawguard.web.bearer import REFUSED, Refusal, Scheme, carries_token, read_credential, refusal_for

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

__all__ = ["ENVIRON_KEY", "ClawguardMiddleware"]

ENVIRON_KEY = "clawguard.session"
_MAX_SOURCE = 255
_IN_A_PATH = "/:@!$&'()*+,;="  # what a path may hold as it is, beside letters and digits (RFC 3986, 3.3)


class Checker(Validator, Protocol):
    """Check a token and say where it came from: a `Verifier` or a `SessionManager`."""

    def validate(
        self,
        token_or_context: str | SessionContext,
        /,
        *,
        require: Scopes = ...,
        source: str | None = ...,
        proof: Proof | None = ...,
    ) -> SessionContext:
        """Return the context as it now stands, or raise."""


class ClawguardMiddleware:
    """Let a request through to the app only with a valid token that holds every scope of `require`.

    In the app, and while its response is iterated, `current_session()` and `@requires` work, and
    `environ["clawguard.session"]` is the context. What they refuse is answered as RFC 6750 says, as long as
    the response has not started. A streamed response breaks off when its session ends.

    `origin` is where clients reach the app, such as `https://api.example.com`: what DPoP proofs are held
    against, by default the request's own scheme and Host header. `certificate_of` returns the certificate
    (DER or PEM) that the TLS terminator reports for a request, or None; no header is trusted by itself.
    """

    def __init__(
        self,
        app: WSGIApplication,
        verifier: Checker,
        *,
        require: Scopes = (),
        origin: str | None = None,
        certificate_of: Callable[[WSGIEnvironment], bytes | str | None] | None = None,
    ) -> None:
        self._app = app
        self._verifier = verifier
        self._require = parse_scopes(require, argument="require")
        self._origin = None if origin is None else _checked_origin(origin)
        self._certificate_of = certificate_of

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        found = read_credential(
            environ.get("HTTP_AUTHORIZATION"),
            dpop=environ.get("HTTP_DPOP"),
            method=environ["REQUEST_METHOD"],
            url=_url_of(environ, self._origin),
            elsewhere=carries_token(environ.get("QUERY_STRING", ""), environ.get("HTTP_COOKIE", "")),
        )
        if isinstance(found, Refusal):
            return _Request(environ, start_response, self._require).refuse(found)
        request = _Request(environ, start_response, self._require, found.scheme)
        caller = _Caller(self._verifier, _source_of(environ))
        # A context of its own: the session stays bound in it, and is never seen outside it.
        bound = copy_context()
        try:
            proof = found.proof or self._certificate(environ)
            session = bound.run(Use(caller, found.token, require=self._require, proof=proof).__enter__)
            environ[ENVIRON_KEY] = session
            body = bound.run(self._app, environ, start_response)
        except REFUSED as error:
            return request.answer(error)
        if isinstance(body, list | tuple):
            return body
        return _Body(body, request, bound, partial(caller.validate, session, require=self._require))

    def _certificate(self, environ: WSGIEnvironment) -> CertificateProof | None:
        """Return what the terminator reports, where there is somebody to ask; what is none proves nothing."""
        reported = None if self._certificate_of is None else self._certificate_of(environ)
        if not reported:
            return None
        try:
            return CertificateProof(reported)
        except InvalidArgument:
            return None


class _Caller:
    """Check for one caller: whatever is checked for it, the source is known."""

    def __init__(self, checker: Checker, source: str | None) -> None:
        self._checker = checker
        self._source = source

    def validate(
        self, token_or_context: str | SessionContext, /, *, require: Scopes = (), proof: Proof | None = None
    ) -> SessionContext:
        return self._checker.validate(token_or_context, require=require, source=self._source, proof=proof)

    def recheck(self, context: SessionContext, /) -> None:
        self._checker.recheck(context)


class _Request:
    """Answer one request in the app's place."""

    def __init__(
        self,
        environ: WSGIEnvironment,
        start_response: StartResponse,
        require: ScopeSet,
        scheme: Scheme = "Bearer",
    ) -> None:
        self._scheme = scheme
        self._is_head = environ.get("REQUEST_METHOD") == "HEAD"
        self._start_response = start_response
        self._require = require

    def answer(self, error: ClawguardError) -> list[bytes]:
        """Answer the error being handled; where headers are out already, the server raises it again."""
        return self.refuse(refusal_for(error, require=self._require, scheme=self._scheme), sys.exc_info())

    def refuse(self, refusal: Refusal, cause: ExcInfo | None = None) -> list[bytes]:
        """Answer with a refusal."""
        self._start_response(f"{refusal.status} {refusal.reason_phrase}", list(refusal.headers), cause)
        return [] if self._is_head else [refusal.body]


class _Body:
    """Iterate the app's response with the session bound, and check it again before each part goes out."""

    def __init__(
        self, body: Iterable[bytes], request: _Request, bound: Context, check: Callable[[], object]
    ) -> None:
        self._body = body
        self._parts = bound.run(iter, body)
        self._request = request
        self._bound = bound
        self._check = check

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            part = self._bound.run(next, self._parts)
            self._check()
        except REFUSED as error:
            answer = self._request.answer(error)
            self._parts = iter(())
            return b"".join(answer)
        return part

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            self._bound.run(close)


def _source_of(environ: WSGIEnvironment) -> str | None:
    """Return the caller's address; a Unix socket has none, and what is not printable is none."""
    address = environ.get("REMOTE_ADDR") or ""
    return address if address.isprintable() and 0 < len(address) <= _MAX_SOURCE else None


def _url_of(environ: WSGIEnvironment, origin: str | None) -> str:
    """Return the request's URL without its query: at the origin that was given, else at the one it names.

    A Host header or a path that is none gives the empty text, which is no URL.
    """
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    host = environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}"
    at = origin or _origin_of(f"{environ['wsgi.url_scheme']}://{host}")
    if at is None or path[:1] not in ("", "/"):
        return ""
    return at + quote(path, _IN_A_PATH, "latin-1", "replace")


def _origin_of(text: object) -> str | None:
    """Return a scheme and host in their normal form; None where there is anything else, if only a query."""
    normal = normal_uri(text)
    if normal is None or set(str(text)) & set("?#"):
        return None
    origin, path = normal[:-1], normal[-1:]
    return origin if path == "/" and origin.count("/") == 2 else None


def _checked_origin(origin: object) -> str:
    checked = _origin_of(origin)
    if checked is None:
        raise InvalidArgument("origin", "must be a scheme and a host", hint="write https://api.example.com")
    return checked
