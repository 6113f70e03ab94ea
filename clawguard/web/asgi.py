"""ASGI: a middleware that checks each request and WebSocket, and ends them when their session ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.models import SessionContext
from clawguard.scopes import Scopes
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier
from clawguard.sessions.awaiting import read
from clawguard.sessions.current import unbind
from clawguard.web.bearer import REFUSED, Credential, Refusal
from clawguard.web.front import REFUSAL_KEY, SESSION_KEY, Caller, Checker, Front, Head, Refuse

__all__ = ["GUARD_KEY", "SCOPE_KEY", "ClawguardMiddleware", "address_of", "read_scope"]

SCOPE_KEY = SESSION_KEY
GUARD_KEY = "clawguard.guard"  # who let the session in: another guard checks for itself

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_SEPARATORS = dict.fromkeys((b"authorization", b"dpop", b"host", b"origin", b"sec-fetch-site"), ",")
_SEPARATORS[b"cookie"] = "; "
_OVER_HTTP = {"ws": "http", "wss": "https"}  # a WebSocket opens with a GET request, and its proof names that
_ANSWER_EXTENSION = "websocket.http.response"
_PARTS = {f"http.response.{kind}" for kind in ("body", "pathsend", "zerocopysend")}


class ClawguardMiddleware:
    """Let a request or WebSocket through to the app only with a valid token that holds all of `require`.

    In the app `current_session()` and `@requires` work, in `async def` and in threads that have its context,
    and `scope["clawguard.session"]` is the context. What they refuse is answered as RFC 6750 says, as long as
    the response has not started. When the session ends, what still runs for it is cancelled within a second:
    a response that has started breaks off, a WebSocket is closed with code 1008. Runs on asyncio only.

    Under a framework add it as that framework's middleware, so that its error pages stand outside.
    `origin` is where clients reach the app, such as `https://api.example.com`: what DPoP proofs are held
    against, by default the request's own scheme and Host header. `certificate_of` returns the certificate
    (DER or PEM) that the TLS terminator reports for a scope, or None; no header is trusted by itself.
    `optional` lets a request without any credential through to the app, with no session bound; one that has a
    credential is checked all the same. `cookie` names a cookie that may carry the token too, see
    `clawguard.web.cookies`; `resource_metadata` is the URL that refusals name, see `clawguard.web.metadata`.
    """

    def __init__(
        self,
        app: App,
        verifier: Checker | AsyncVerifier | AsyncSessionManager,
        *,
        require: Scopes = (),
        origin: str | None = None,
        certificate_of: Callable[[Scope], bytes | str | None] | None = None,
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or WebSocket; the lifespan is the app's own."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] not in ("http", "websocket"):
            raise InvalidArgument("scope", "must be of type http, websocket or lifespan")
        front = self._front
        found = read_scope(scope, front)
        caller = front.caller(address_of(scope))
        exchange = _Exchange(scope, receive, send, caller)
        if isinstance(found, Refusal) and not front.lets_through(found):
            await exchange.refuse(found)
            return
        refuse = front.refuse(found)
        try:
            if isinstance(found, Credential):
                async with front.use(found, scope, caller=caller) as session:
                    await self._run(scope, exchange, refuse, session)
            else:
                await self._run_unbound(scope, exchange, refuse)
        except REFUSED as error:
            await exchange.answer(error, refuse)
        except Exception:
            if exchange.ended is None:
                raise
            await exchange.answer(exchange.ended, refuse)

    async def _run(
        self, scope: Scope, exchange: _Exchange, refuse: Refuse, session: SessionContext | None
    ) -> None:
        exchange.session = session
        await self._app(
            {**scope, SCOPE_KEY: session, GUARD_KEY: self._front.guard, REFUSAL_KEY: refuse},
            exchange.receive,
            exchange.send,
        )
        if exchange.ended is not None:
            raise exchange.ended

    async def _run_unbound(self, scope: Scope, exchange: _Exchange, refuse: Refuse) -> None:
        bind_again = unbind()
        try:
            await self._run(scope, exchange, refuse, None)
        finally:
            bind_again()


def read_scope(scope: Scope, front: Front[Any]) -> Credential | Refusal:
    """Return the credential of a request or WebSocket, or the answer to one that has none or too many."""
    headers: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _SEPARATORS:
            text = value.decode("latin-1")
            headers[name] = headers[name] + _SEPARATORS[name] + text if name in headers else text
    scheme: str = scope.get("scheme", "http")
    return front.read(
        Head(
            scope["path"].encode("utf-8", "replace"),
            method=scope.get("method", "GET"),
            scheme=_OVER_HTTP.get(scheme, scheme),
            host=headers.get(b"host") or _server_of(scope),
            query=scope.get("query_string", b"").decode("latin-1"),
            cookies=headers.get(b"cookie", ""),
            authorization=headers.get(b"authorization"),
            dpop=headers.get(b"dpop"),
            origin=headers.get(b"origin"),
            fetch_site=headers.get(b"sec-fetch-site"),
            opens_socket=scope["type"] == "websocket",
        )
    )


def address_of(scope: Scope) -> str | None:
    """Return where a request comes from, as the server says."""
    client = scope.get("client")
    return client[0] if client else None


def _server_of(scope: Scope) -> str:
    host, port = scope.get("server") or ("", None)
    return host if port is None else f"{host}:{port}"


class _Exchange:
    """Pass messages between server and app, for as long as the session lives; answer in the app's place."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, caller: Caller) -> None:
        self.session: SessionContext | None = None
        self.ended: ClawguardError | None = None
        self._scope = scope
        self._is_socket = scope["type"] == "websocket"
        self._receive = receive
        self._send = send
        self._caller = caller
        self._started = self._closed = self._has_parts = False

    async def receive(self) -> Message:
        """Return the next message; of a WebSocket only while the session lives."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            await self._check()
        elif message["type"] == "websocket.disconnect":
            self._closed = True
        return message

    async def send(self, message: Message) -> None:
        """Send a message; a further part of a response, or one to a WebSocket, while the session lives."""
        kind = message["type"]
        if kind == "websocket.send" or (kind in _PARTS and self._is_further(message)):
            await self._check()
        self._started = True
        self._closed = self._closed or kind == "websocket.close" or kind.startswith(_ANSWER_EXTENSION)
        await self._send(message)

    def _is_further(self, message: Message) -> bool:
        """Tell the first part of a response from what a stream adds to it; its empty end says nothing."""
        had_parts, self._has_parts = self._has_parts, True
        is_end = message["type"] == "http.response.body" and not (
            message.get("body") or message.get("more_body")
        )
        return had_parts and not is_end

    async def _check(self) -> None:
        if self.session is None:
            return
        try:
            await read(self._caller, self._caller.recheck, self.session)
        except REFUSED as refusal:
            self.ended = refusal
            raise

    async def answer(self, error: ClawguardError, refuse: Refuse) -> None:
        """Answer the error being handled; where a response has started, the server breaks it off."""
        if self._started and not self._is_socket:
            raise error
        await self.refuse(refuse(error))

    async def refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal."""
        if not self._is_socket:
            await self._respond("http.response", refusal)
        elif self._started:
            await self._close(refusal)
        else:
            await self._reject(refusal)

    async def _reject(self, refusal: Refusal) -> None:
        """Refuse a handshake: with the whole answer where the server can send it, else with its own 403."""
        if _ANSWER_EXTENSION in (self._scope.get("extensions") or {}):
            await self._respond(_ANSWER_EXTENSION, refusal)
        else:
            await self._close(refusal)

    async def _close(self, refusal: Refusal) -> None:
        if not self._closed:
            self._closed = True
            await self._send({"type": "websocket.close", "code": refusal.close_code, "reason": refusal.error})

    async def _respond(self, kind: str, refusal: Refusal) -> None:
        headers = [(name.lower().encode(), value.encode()) for name, value in refusal.headers]
        await self._send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
        is_head = self._scope.get("method") == "HEAD"
        await self._send({"type": f"{kind}.body", "body": b"" if is_head else refusal.body})
