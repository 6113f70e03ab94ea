"""Starlette: its own `@requires`, its user, and where the middleware stands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from clawguard import SessionManager, current_session
from clawguard.errors import InvalidArgument, SessionEnded
from clawguard.web.asgi import ClawguardMiddleware
from clawguard.web.starlette import ClawguardBackend
from tests.web.adapters import Sent, over_asgi
from tests.web.test_asgi import run_alone


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        yield manager


@requires("docs:read")
async def read(request: Request) -> JSONResponse:
    user = request.user
    return JSONResponse([user.display_name, user.identity, user.is_authenticated, request.auth.scopes])


@requires("authenticated")
def only_somebody(request: Request) -> JSONResponse:
    return JSONResponse("")


def app(manager: SessionManager, **options: Any) -> Starlette:
    return Starlette(
        routes=[Route("/", read), Route("/somebody", only_somebody)],
        middleware=[
            Middleware(ClawguardMiddleware, verifier=manager, **options),
            Middleware(AuthenticationMiddleware, backend=ClawguardBackend()),
        ],
    )


@pytest.mark.parametrize(
    ("scopes", "status"),
    [("docs:read", 200), ("docs:*", 200), ("*", 200), ("docs:write", 403), ("docs:read:own", 403), ("", 403)],
)
def test_a_wildcard_passes_an_exact_requirement(manager: SessionManager, scopes: str, status: int) -> None:
    session = manager.create("planner", scopes=scopes)
    answer = over_asgi(app(manager))(Sent(tuple(session.headers().items()), path="/"))
    assert answer.status == status


def test_the_user_is_the_agent(manager: SessionManager) -> None:
    session = manager.create("planner", scopes="docs:*")
    answer = over_asgi(app(manager))(Sent(tuple(session.headers().items()), path="/"))
    assert answer.body == f'["planner","{session.id}",true,["authenticated","docs:*"]]'.encode()


def test_nobody_is_not_authenticated(manager: SessionManager) -> None:
    ask = over_asgi(app(manager, optional=True))
    assert ask(Sent(path="/somebody")).status == 403
    headers = tuple(manager.create("planner", scopes="").headers().items())
    assert ask(Sent(headers, path="/somebody")).status == 200


def test_without_the_middleware_nothing_is_taken_for_checked() -> None:
    alone = Starlette(
        routes=[Route("/", read)],
        middleware=[Middleware(AuthenticationMiddleware, backend=ClawguardBackend())],
    )
    with pytest.raises(InvalidArgument, match="ClawguardMiddleware does not stand before this"):
        over_asgi(alone)(Sent(path="/"))


@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_streaming_response_breaks_off(manager: SessionManager, is_wrapped: bool) -> None:
    async def parts() -> Any:
        yield b"first"
        manager.revoke(current_session())
        yield b"second"
        await asyncio.sleep(30)

    def stream(request: Request) -> StreamingResponse:
        return StreamingResponse(parts())

    class Passing(BaseHTTPMiddleware):
        async def dispatch(self, request: Any, call_next: Any) -> Any:
            return await call_next(request)

    middleware = [Middleware(ClawguardMiddleware, verifier=manager)]
    middleware += [Middleware(Passing)] if is_wrapped else []
    sent = run_alone(manager, Starlette(routes=[Route("/", stream)], middleware=middleware))
    assert [each.get("body") for each in sent if each["type"] != "raised"][1:] == [b"first"]
    assert isinstance(sent[-1]["error"], SessionEnded)
