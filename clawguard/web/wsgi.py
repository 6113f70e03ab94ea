"""WSGI: a middleware that checks the token of each request and binds its session for the app."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from clawguard.errors import ClawguardError
from clawguard.scopes import Scopes
from clawguard.sessions.current import unbind
from clawguard.web.bearer import REFUSED, Credential, Refusal
from clawguard.web.front import REFUSAL_KEY, SESSION_KEY, Checker, Front, Head, Refuse

if TYPE_CHECKING:
    from types import TracebackType
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

__all__ = ["ENVIRON_KEY", "ClawguardMiddleware", "read_environ"]

ENVIRON_KEY = SESSION_KEY


class ClawguardMiddleware:
    """Let a request through to the app only with a valid token that holds every scope of `require`.

    In the app, and while its response is iterated, `current_session()` and `@requires` work, and
    `environ["clawguard.session"]` is the context. What they refuse is answered as RFC 6750 says, as long as
    the response has not started. A streamed response breaks off when its session ends.

    `origin` is where clients reach the app, such as `https://api.example.com`: what DPoP proofs are held
    against, by default the request's own scheme and Host header. `certificate_of` returns the certificate
    (DER or PEM) that the TLS terminator reports for a request, or None; no header is trusted by itself.
    `optional` lets a request without any credential through to the app, with no session bound; one that has a
    credential is checked all the same. `cookie` names a cookie that may carry the token too, see
    `clawguard.web.cookies`; `resource_metadata` is the URL that refusals name, see `clawguard.web.metadata`.
    """

    def __init__(
        self,
        app: WSGIApplication,
        verifier: Checker,
        *,
        require: Scopes = (),
        origin: str | None = None,
        certificate_of: Callable[[WSGIEnvironment], bytes | str | None] | None = None,
        optional: bool = False,
        cookie: str | None = None,
        resource_metadata: str | None = None,
    ) -> None:
        self._app = app
        self._front = Front.of(
            verifier,
            require=require,
            origin=origin,
            certificate_of=certificate_of,
            optional=optional,
            cookie=cookie,
            resource_metadata=resource_metadata,
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request (PEP 3333)."""
        front = self._front
        found = read_environ(environ, front)
        # A context of its own: the session stays bound in it, and is never seen outside it.
        bound = copy_context()
        request = _Request(environ, start_response, front.refuse(found))
        try:
            if isinstance(found, Credential):
                caller = front.caller(environ.get("REMOTE_ADDR"))
                session = bound.run(front.use(found, environ, caller=caller).__enter__)
                environ[ENVIRON_KEY] = session
                request.check = partial(caller.recheck, session)
            elif front.lets_through(found):
                environ.pop(ENVIRON_KEY, None)
                bound.run(unbind)
            else:
                return request.refuse(found)
            environ[REFUSAL_KEY] = request.refusal_for
            body = bound.run(self._app, environ, request.start_response)
        except REFUSED as error:
            return request.answer(error)
        return body if isinstance(body, list | tuple) else _Body(body, request, bound)


def read_environ(
    environ: WSGIEnvironment, front: Front[Any], *, encoding: str = "latin-1"
) -> Credential | Refusal:
    """Return the credential of a request, or the answer to one that has none or too many."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return front.read(
        Head(
            path.encode(encoding, "replace"),
            method=environ["REQUEST_METHOD"],
            scheme=environ["wsgi.url_scheme"],
            host=environ.get("HTTP_HOST") or f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
            query=environ.get("QUERY_STRING", ""),
            cookies=environ.get("HTTP_COOKIE", ""),
            authorization=environ.get("HTTP_AUTHORIZATION"),
            dpop=environ.get("HTTP_DPOP"),
            origin=environ.get("HTTP_ORIGIN"),
            fetch_site=environ.get("HTTP_SEC_FETCH_SITE"),
            opens_socket="HTTP_UPGRADE" in environ,
        )
    )


class _Request:
    """Answer one request in the app's place; `check` raises once its session may have no more."""

    def __init__(self, environ: WSGIEnvironment, start_response: StartResponse, refuse: Refuse) -> None:
        self.refusal_for = refuse
        self.check: Callable[[], object] = _pass
        self._is_head = environ.get("REQUEST_METHOD") == "HEAD"
        self._start_response = start_response
        self._has_started = False

    def start_response(
        self, status: str, headers: list[tuple[str, str]], cause: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]:
        """Start the app's response; what it writes past its iterable is checked as that is."""
        self._has_started = True
        write = self._start_response(status, headers, cause)

        def checked(part: bytes) -> object:
            self.check()
            return write(part)

        return checked

    def answer(self, error: ClawguardError) -> list[bytes]:
        """Answer the error being handled; where headers are out already, the server raises it again."""
        return self.refuse(self.refusal_for(error), sys.exc_info() if self._has_started else None)

    def refuse(self, refusal: Refusal, cause: ExcInfo | None = None) -> list[bytes]:
        """Answer with a refusal."""
        self._start_response(f"{refusal.status} {refusal.reason_phrase}", list(refusal.headers), cause)
        return [] if self._is_head else [refusal.body]


def _pass() -> None:
    """Check nobody's request: nothing ends."""


class _Body:
    """Iterate the app's response with the session bound, and check it before each further part goes out."""

    def __init__(self, body: Iterable[bytes], request: _Request, bound: Context) -> None:
        self._body = body
        self._parts: Iterator[bytes] | None = None
        self._request = request
        self._bound = bound

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            if self._parts is None:
                self._parts = self._bound.run(iter, self._body)
                return self._bound.run(next, self._parts)
            part = self._bound.run(next, self._parts)
            self._request.check()
        except REFUSED as error:
            answer = self._request.answer(error)
            self._parts = iter(())
            return b"".join(answer)
        return part

    def close(self) -> None:
        close = getattr(self._body, "close", None)
        if close is not None:
            self._bound.run(close)
