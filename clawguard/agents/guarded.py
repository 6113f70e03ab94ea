"""ASGI: what stands before an MCP server that is served over HTTP, and answers what its tools refuse."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from clawguard.agents.callers import EXCHANGE_KEY, Callers
from clawguard.errors import ClawguardError, InsufficientScope
from clawguard.models import SessionContext
from clawguard.scopes import Scopes
from clawguard.sessions.current import unbind
from clawguard.web.asgi import SCOPE_KEY, App, ClawguardMiddleware, Message, Receive, Scope, Send

__all__ = ["GuardedApp"]

_CREDENTIALS = (b"authorization", b"dpop")
_CHALLENGE = b"www-authenticate"


class GuardedApp:
    """Let a request through to an MCP server's app only with a valid token that holds all of `require`.

    The server never sees the token: a name that is good for this one request stands in for it. A tool that
    is refused a scope has the request answered with 403 and all scopes needed, as long as nothing of the
    response has gone out and unless `step_up` is off. Refusals name `metadata_url` (RFC 9728, 5.1), whose
    path alone is open. Nothing is bound in the server but by `Callers.run`, so that a task which outlives its
    request acts for nobody.
    """

    def __init__(
        self,
        app: App,
        callers: Callers,
        *,
        metadata_url: str | None,
        require: Scopes = (),
        step_up: bool = True,
        origin: str | None = None,
        certificate_of: Callable[[Scope], bytes | str | None] | None = None,
    ) -> None:
        self._app = app
        self._callers = callers
        self._step_up = step_up
        self._metadata_url = metadata_url
        self._open_path = None if metadata_url is None else urlsplit(metadata_url).path
        self._guard = ClawguardMiddleware(
            self._serve, callers.checker, require=require, origin=origin, certificate_of=certificate_of
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the lifespan is the app's own."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == self._open_path:
            await self._run({**scope, "headers": _without_credentials(scope)}, receive, send)
        else:
            await self._guard(scope, receive, self._pointing(send))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = scope[SCOPE_KEY]
        exchange = _Exchange(session, send, waits=scope.get("method") == "POST", step_up=self._step_up)
        with self._callers.admitted(session) as stand_in:
            headers = [*_without_credentials(scope), (b"authorization", b"Bearer " + stand_in.encode())]
            inner = {**scope, "headers": headers, EXCHANGE_KEY: exchange}
            await self._run(inner, receive, exchange.send)
        if exchange.refusal is not None:
            raise exchange.refusal

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        bind_again = unbind()
        try:
            await self._app(scope, receive, send)
        finally:
            bind_again()

    def _pointing(self, send: Send) -> Send:
        """Have refusals name the resource's metadata."""
        url = self._metadata_url
        if url is None:
            return send

        async def pointing(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] in (401, 403):
                headers = [
                    (name, _pointed(value, url) if name == _CHALLENGE else value)
                    for name, value in message["headers"]
                ]
                message = {**message, "headers": headers}
            await send(message)

        return pointing


def _pointed(challenge: bytes, url: str) -> bytes:
    """Add to the first challenge of a header, behind its first parameter."""
    first, comma, rest = challenge.partition(b", ")
    return (
        challenge
        if b"resource_metadata=" in challenge
        else first + f', resource_metadata="{url}"'.encode() + comma + rest
    )


def _without_credentials(scope: Scope) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in scope["headers"] if name not in _CREDENTIALS]


class _Exchange:
    """Be one request's answer: its start is held back until its first part, so that it can be a refusal yet.

    A request that is no POST streams to a client that waits for the start alone: nothing is held back there.
    """

    def __init__(self, session: SessionContext, send: Send, *, waits: bool, step_up: bool) -> None:
        self.session = session
        self.refusal: ClawguardError | None = None
        self._send = send
        self._waits = waits
        self._step_up = step_up
        self._start: Message | None = None
        self._has_started = False

    def refuse(self, error: ClawguardError) -> None:
        """Drop whatever the server still answers, and have the refusal sent in its place."""
        is_told = self._step_up or not isinstance(error, InsufficientScope)
        if is_told and not self._has_started:
            self.refusal = self.refusal or error

    async def send(self, message: Message) -> None:
        """Send what the server answers, unless a refusal is the answer."""
        if self.refusal is not None:
            return
        if self._waits and message["type"] == "http.response.start":
            self._start = message
            return
        self._has_started = True
        if self._start is not None:
            start, self._start = self._start, None
            await self._send(start)
        await self._send(message)
