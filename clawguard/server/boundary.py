"""The outermost layer: a request's id, how large and slow its body may be, one log line, one last catch."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from clawguard.clock import SystemClock, new_id
from clawguard.server.forms import come_back
from clawguard.server.loads import PLACE_KEY, Crowded, Loads
from clawguard.server.metrics import Meters
from clawguard.server.problems import REQUEST_ID_KEY, problem
from clawguard.web.asgi import SCOPE_KEY, address_of
from clawguard.web.bearer import source_of

__all__ = ["Boundary"]

_logger = logging.getLogger("clawguard.server")

_BODY_SECONDS = 10.0
_HEALTH = "/health/"
_GIVEN_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


class _Gone(Exception):
    """The caller has gone before its request was whole."""


class Boundary:
    """Stand around an app; `max_body` is in bytes.

    A body is read whole before the app is called: it is small, and then nothing inside has to wait for it.
    """

    def __init__(self, app: ASGIApp, *, meters: Meters, loads: Loads, max_body: int) -> None:
        self._app = app
        self._meters = meters
        self._loads = loads
        self._max_body = max_body
        self._clock = SystemClock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        request_id = _given_id(scope) or new_id(self._clock.now())
        scope[REQUEST_ID_KEY] = request_id
        exchange = _Exchange(send, request_id)
        with bound_contextvars(request_id=request_id):
            try:
                await self._answer(scope, receive, exchange)
            except _Gone:
                return
            finally:
                self._tell(scope, exchange, perf_counter() - start)

    async def _answer(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        try:
            body = await self._read(scope, receive)
            if isinstance(body, int):
                code, detail = _REFUSED[body]
                await problem(scope, body, code, detail)(scope, receive, exchange.send)
                return
            await self._pass_on(scope, _replaying(body, receive), exchange)
        except _Gone:
            raise
        except Crowded as crowded:
            await come_back(scope, crowded)(scope, receive, exchange.send)
        except Exception as error:
            # One that has begun is left as it is: the server breaks it off, and its client sees that.
            kind = type(error).__name__
            if exchange.status is None:
                _logger.exception("a request failed", extra={"error": kind})
                detail = "an error of the server"
                await problem(scope, 500, "internal_error", detail)(scope, receive, exchange.send)
            else:
                _logger.info("an answer was broken off", extra={"error": kind})

    async def _pass_on(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        """Have the app answer, in its turn; whether the server does well is answered in any case."""
        if scope["path"].startswith(_HEALTH):
            await self._app(scope, receive, exchange.send)
            return
        place = scope[PLACE_KEY] = self._loads.request()
        exchange.begun = place.leave  # what goes on from there is sent, and nobody works at it
        try:
            await self._app(scope, receive, exchange.send)
        finally:
            place.leave()

    async def _read(self, scope: Scope, receive: Receive) -> bytes | int:
        """Return the body, or the status that refuses it."""
        if _length(scope) > self._max_body:
            return 413
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] != "http.request":
                        raise _Gone
                    part = message.get("body", b"")
                    size += len(part)
                    if size > self._max_body:
                        return 413
                    parts.append(part)
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            return 408

    def _tell(self, scope: Scope, exchange: _Exchange, seconds: float) -> None:
        found = getattr(scope.get("route"), "path", None)
        route = "none" if found is None else scope.get("root_path", "") + found
        status = exchange.status or 499
        self._meters.answered(route, scope["method"], status, seconds)
        session = scope.get(SCOPE_KEY)
        _logger.info(
            "request",
            extra={
                "method": scope["method"] if scope["method"].isalpha() else "?",
                "route": route,
                "status": status,
                "milliseconds": round(seconds * 1_000, 1),
                "source": source_of(address_of(scope)),
                "session_id": getattr(session, "session_id", None),
            },
        )


_REFUSED = {
    413: ("body_too_large", "the body is larger than this server takes"),
    408: ("request_timeout", "the body did not come in time"),
}


class _Exchange:
    """Send an answer with the headers that every answer has."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._request_id = request_id.encode()
        self.status: int | None = None
        self.begun: Callable[[], None] = _nothing

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.begun()
            given: list[Any] = list(message.get("headers", ()))
            named = {name.lower() for name, _ in given}
            given += [each for each in _HEADERS if each[0] not in named]
            message = {**message, "headers": [*given, (b"x-request-id", self._request_id)]}
        await self._send(message)


def _nothing() -> None:
    return


def _replaying(body: bytes, receive: Receive) -> Receive:
    is_told = False

    async def again() -> Message:
        nonlocal is_told
        if is_told:
            return await receive()
        is_told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _given_id(scope: Scope) -> str | None:
    """Return the id that a proxy has given the request, where it has and it is one."""
    found = [value for name, value in scope["headers"] if name == b"x-request-id"]
    return found[0].decode() if len(found) == 1 and _GIVEN_ID.fullmatch(found[0]) else None


def _length(scope: Scope) -> int:
    found = [value for name, value in scope["headers"] if name == b"content-length"]
    return int(found[0]) if found and found[0].isdigit() and len(found[0]) < 16 else 0
