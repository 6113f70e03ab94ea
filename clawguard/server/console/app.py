"""The console's app: the same state as the server's, but that its guard takes the token from a cookie too."""

from __future__ import annotations

from dataclasses import replace

from fastapi import FastAPI
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from clawguard.server.console import agents, charts, entry, events, keys, revoking, sessions
from clawguard.server.console.around import Enclosure, show_problems
from clawguard.server.console.sheets import Templates
from clawguard.server.console.tallies import Tallies
from clawguard.server.state import State
from clawguard.sessions.aio import plain_of
from clawguard.web.fastapi import ClawguardBearer
from clawguard.web.front import Front

__all__ = ["PATH", "add_console"]

PATH = "/console"
_ROUTERS = (entry, sessions, revoking, agents, events, keys, charts)


def add_console(app: FastAPI, state: State) -> None:
    """Put the console below a server's app, at `/console`."""
    console = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    console.state.clawguard = _with_cookie(state)
    console.state.templates = Templates()
    console.state.tallies = Tallies(state.manager.events, now=state.now)
    for each in _ROUTERS:
        console.include_router(each.router)
    show_problems(console)
    console.add_middleware(Enclosure)
    console.mount("/static", _Files(packages=[(__package__, "static")]))
    app.add_api_route(PATH, _enter, include_in_schema=False)
    app.mount(PATH, console)


class _Files(StaticFiles):
    """Serve what pages are made of: one route in logs and metrics, as the others are."""

    path = "/{file}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope["route"] = self
        await super().__call__(scope, receive, send)


def _with_cookie(state: State) -> State:
    plain, origin = plain_of(state.manager), state.settings.origin
    guard = ClawguardBearer(plain, origin=origin, cookie=entry.COOKIE)
    front: Front[HTTPConnection] = Front.of(
        plain,
        require=(),
        origin=origin,
        certificate_of=None,
        optional=True,
        cookie=entry.COOKIE,
        resource_metadata=None,
    )
    return replace(state, guard=guard, front=front)


async def _enter(request: Request) -> RedirectResponse:
    return RedirectResponse(f"{request.scope['root_path']}{PATH}/sessions?live=true", 303)
