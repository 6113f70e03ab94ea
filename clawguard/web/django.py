"""Django: a middleware, under WSGI and ASGI, set up by `settings.CLAWGUARD`. The extra is `django`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextvars import Context, copy_context
from functools import partial
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from clawguard.errors import InvalidArgument
from clawguard.models import SessionContext
from clawguard.sessions.awaiting import read
from clawguard.sessions.current import unbind
from clawguard.web.asgi import address_of, read_scope
from clawguard.web.bearer import REFUSED, Credential, Refusal
from clawguard.web.front import REFUSAL_KEY, SESSION_KEY, Caller, Front
from clawguard.web.wsgi import read_environ

__all__ = ["ClawguardMiddleware"]

_SETTING = "CLAWGUARD"
_WATCH_EVERY = 0.25
_OPTIONS = {
    "verifier", "require", "origin", "certificate_of", "optional", "cookie", "resource_metadata",
}  # fmt: skip

Check = Callable[[], object]


class ClawguardMiddleware:
    """Let a request through to the views only with a valid token that holds every scope required.

    `settings.CLAWGUARD` is a dict: `verifier`, a `Verifier` or `SessionManager`, or what returns one, or the
    dotted path of either; and the options of `clawguard.web.wsgi.ClawguardMiddleware`, where
    `certificate_of` is called with the HttpRequest. In views, sync and async, and in streamed responses
    `current_session()` and `@requires` work; what they refuse is answered. A stream breaks off when its
    session ends; an async view is cancelled within a second: list this last, since
    above a middleware that is not async Django runs it as a plain one.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._front = _front_of(getattr(settings, _SETTING, None))
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Answer one request."""
        return self._answer_async(request) if self._is_async else self._answer(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer what a view was refused."""
        return _response(request, request.META[REFUSAL_KEY](error)) if isinstance(error, REFUSED) else None

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        found, caller = self._read(request)
        try:
            if isinstance(found, Refusal):
                return self._answer_nobody(request, found, caller)
            with self._front.use(found, request, caller=caller) as session:
                request.META[SESSION_KEY] = session
                response: HttpResponseBase = self._get_response(request)
                _guard_stream(response, caller, session)
                return response
        except REFUSED as error:
            return _response(request, request.META[REFUSAL_KEY](error))

    def _answer_nobody(self, request: HttpRequest, found: Refusal, caller: Caller) -> HttpResponseBase:
        if not self._front.lets_through(found):
            return _response(request, found)
        bind_again = unbind()
        try:
            response: HttpResponseBase = self._get_response(request)
            _guard_stream(response, caller, None)
            return response
        finally:
            bind_again()

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        found, caller = self._read(request)
        try:
            if isinstance(found, Refusal):
                return await self._answer_nobody_async(request, found, caller)
            async with self._front.use(found, request, caller=caller) as session:
                request.META[SESSION_KEY] = session
                response: HttpResponseBase = await self._get_response(request)
                _guard_stream(response, caller, session)
                return response
        except REFUSED as error:
            return _response(request, request.META[REFUSAL_KEY](error))

    async def _answer_nobody_async(
        self, request: HttpRequest, found: Refusal, caller: Caller
    ) -> HttpResponseBase:
        if not self._front.lets_through(found):
            return _response(request, found)
        bind_again = unbind()
        try:
            response: HttpResponseBase = await self._get_response(request)
            _guard_stream(response, caller, None)
            return response
        finally:
            bind_again()

    def _read(self, request: HttpRequest) -> tuple[Credential | Refusal, Caller]:
        front = self._front
        if isinstance(request, ASGIRequest):
            scope = dict(request.scope)
            found = read_scope(scope, front)
            address = address_of(scope)
        else:
            found = read_environ(request.META, front, encoding="utf-8")  # Django has decoded the path
            address = request.META.get("REMOTE_ADDR")
        request.META.pop(SESSION_KEY, None)
        request.META[REFUSAL_KEY] = front.refuse(found)
        return found, front.caller(address)


def _guard_stream(response: HttpResponseBase, caller: Caller, session: SessionContext | None) -> None:
    """Have a stream run in the context that is here, for as long as its session lives; nobody's does."""
    if not isinstance(response, StreamingHttpResponse):
        return
    check = _nothing if session is None else partial(caller.recheck, session)
    bound: Context = copy_context()
    parts: Any = response.streaming_content
    if response.is_async:
        response.streaming_content = _watched(aiter(parts), bound, partial(read, caller, check))
    else:
        response.streaming_content = _checked(iter(parts), bound, check)


def _nothing() -> None:
    """Check nobody's request: nothing ends."""


def _checked(parts: Iterator[bytes], bound: Context, check: Check) -> Iterator[bytes]:
    """Give the parts of a stream, each further one while its session lives, with the session bound."""
    is_first = True
    for part in iter(partial(bound.run, next, parts, None), None):
        if not is_first:
            check()
        is_first = False
        yield part


async def _watched(
    parts: AsyncIterator[bytes], bound: Context, check: Callable[[], Awaitable[object]]
) -> AsyncIterator[bytes]:
    """Do the same, and look again while a part is waited for."""
    is_first = True
    while True:
        # A task, since it alone can be given the context in which the session stays bound.
        waited = asyncio.get_running_loop().create_task(_next(parts), context=bound)
        try:
            while not (await asyncio.wait((waited,), timeout=_WATCH_EVERY))[0]:
                await check()
        finally:
            waited.cancel()
        part = waited.result()
        if part is None:
            return
        if not is_first:
            await check()
        is_first = False
        yield part


async def _next(parts: AsyncIterator[bytes]) -> bytes | None:
    return await anext(parts, None)


def _response(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    body = b"" if request.method == "HEAD" else refusal.body
    return HttpResponse(body, status=refusal.status, headers=dict(refusal.headers))


def _front_of(options: object) -> Front[HttpRequest]:
    if not isinstance(options, Mapping) or "verifier" not in options or options.keys() - _OPTIONS:
        raise InvalidArgument(
            f"settings.{_SETTING}",
            f"must be a dict with verifier and none but {', '.join(sorted(_OPTIONS))}",
            hint='write CLAWGUARD = {"verifier": "project.access.open_verifier"}',
        )
    verifier = options["verifier"]
    if isinstance(verifier, str):
        verifier = import_string(verifier)
    return Front.of(
        verifier if hasattr(verifier, "validate") else verifier(),
        require=options.get("require", ()),
        origin=options.get("origin"),
        certificate_of=options.get("certificate_of"),
        optional=options.get("optional", False),
        cookie=options.get("cookie"),
        resource_metadata=options.get("resource_metadata"),
    )
