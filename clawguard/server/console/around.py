"""Around every answer of the console: headers that keep a page to itself, and problems shown as pages."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clawguard.server.console.entry import COOKIE
from clawguard.server.console.sheets import sheet_for
from clawguard.server.forms import answer_oauth_errors
from clawguard.server.problems import answer_problems, problem, request_id_of
from clawguard.web.cookies import clear_cookie

__all__ = ["Enclosure", "show_problems"]

_logger = logging.getLogger("clawguard.server")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "same-origin",  # with `no-referrer` browsers would send forms with `Origin: null`
    "x-frame-options": "DENY",
}
_RAW = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]


class Enclosure:
    """Add the headers to every answer, and pass over fields of a form that were left empty."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; the lifespan is the server's."""
        has_begun = False

        async def enclosed(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                message = {**message, "headers": [*message.get("headers", ()), *_RAW]}
            await send(message)

        scope["query_string"] = _filled(scope["query_string"])
        try:
            await self._app(scope, receive, enclosed)
        except Exception as error:
            if has_begun:
                raise
            _logger.exception("a request failed", extra={"error": type(error).__name__})
            failed = problem(scope, 500, "internal_error", "an error of the server")
            await _page_of(Request(scope), failed)(scope, receive, enclosed)


def _filled(query: bytes) -> bytes:
    """Return a query string without the fields that have no value."""
    fields = [each for each in query.split(b"&") if each.partition(b"=")[2] or b"=" not in each]
    return b"&".join(fields)


def show_problems(app: FastAPI) -> None:
    """Have an app show as pages what the server tells as problems, in the same words."""
    before = dict(app.exception_handlers)
    answer_problems(app)
    answer_oauth_errors(app)
    for kind, tell in app.exception_handlers.copy().items():
        if isinstance(kind, type) and before.get(kind) is not tell:
            app.add_exception_handler(kind, _shown(tell))


def _shown(tell: Callable[..., Any]) -> Callable[..., Any]:
    async def show(request: Request, raised: Exception) -> Response:
        told = tell(request, raised)
        answer: Response = await told if inspect.isawaitable(told) else told
        return _page_of(request, answer)

    return show


def _page_of(request: Request, answer: Response) -> Response:
    status, told = answer.status_code, json.loads(bytes(answer.body))
    if status == HTTPStatus.UNAUTHORIZED:
        return _to_the_door(request, is_over=told.get("code") != "unauthorized")
    detail = str(told.get("detail") or told.get("error_description")).partition("; ")[
        0
    ]  # hints are for programs
    faults = [f"{each['at']}: {each['message']}" for each in told.get("errors", ())]
    headers = {name: answer.headers[name] for name in ("Allow", "Retry-After") if name in answer.headers}
    if "hx-request" in request.headers:
        return PlainTextResponse("; ".join([detail, *faults]), status, headers)
    title = told.get("title") or HTTPStatus(status).phrase
    return sheet_for(request).page(
        "problem.html",
        status,
        headers,
        title=title,
        detail=detail,
        faults=faults,
        status_code=status,
        request_id=request_id_of(request.scope),
    )


def _to_the_door(request: Request, *, is_over: bool) -> Response:
    """Send whoever has no valid token to log in; a page that asked by script is told to go there itself."""
    sheet = sheet_for(request)
    door = f"{sheet.base}/login" + ("?ended=true" if is_over else "")
    headers = {"Set-Cookie": clear_cookie(COOKIE)} if is_over else {}
    if "hx-request" in request.headers:
        return Response(status_code=401, headers={**headers, "HX-Redirect": door})
    if not is_over and request.method == "GET" and _is_from_elsewhere(request):
        return sheet.page("again.html", HTTPStatus.UNAUTHORIZED)
    return RedirectResponse(door, 303, headers)


def _is_from_elsewhere(request: Request) -> bool:
    """Tell whether another site's link led here: its request comes without a cookie that is `Strict`."""
    return request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
