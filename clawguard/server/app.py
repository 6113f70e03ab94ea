"""The app: every router, put together, over one state; the console below it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from clawguard.server import agents, checking, events, health, history, keys, oauth, sessions, wellknown
from clawguard.server.boundary import Boundary
from clawguard.server.console import add_console
from clawguard.server.forms import OAuthProblem, answer_oauth_errors
from clawguard.server.loads import Loads
from clawguard.server.metrics import Meters
from clawguard.server.problems import Fault, Problem, answer_problems
from clawguard.server.rates import Rates
from clawguard.server.settings import Settings
from clawguard.server.state import State
from clawguard.server.tail import Tail
from clawguard.sessions.aio import AsyncSessionManager
from clawguard.sessions.manager import SessionManager
from clawguard.web.fastapi import ClawguardBearer
from clawguard.web.front import Front

__all__ = ["create_app"]

_VERSION = "1"
_ROUTERS = (sessions, agents, history, events, keys, checking, oauth, wellknown, health)
RESOURCE_PATH = "/.well-known/oauth-protected-resource"  # RFC 9728, 3
_REF = "#/components/schemas/{model}"


def create_app(manager: SessionManager | AsyncSessionManager, *, settings: Settings | None = None) -> FastAPI:
    """Return the ASGI app that serves an open manager; whoever opened it closes it.

    `app.state.clawguard` is the `State` that every endpoint works with. Logs go to the standard logger
    `clawguard.server`.
    """
    settings = settings or Settings()
    state = _state(manager, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        state.tail.stop()

    app = FastAPI(
        title="clawguard",
        version=_VERSION,
        summary="Short-lived, scoped, revocable sessions for agents",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.clawguard = state
    for each in _ROUTERS:
        app.include_router(each.router)
    answer_problems(app)
    answer_oauth_errors(app)
    add_console(app, state)
    app.add_middleware(Boundary, meters=state.meters, loads=state.loads, max_body=settings.max_body)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]  # FastAPI's own way to extend it
    return app


def _state(manager: SessionManager | AsyncSessionManager, settings: Settings) -> State:
    plain = manager._plain if isinstance(manager, AsyncSessionManager) else manager
    metadata = None if settings.origin is None else settings.origin + RESOURCE_PATH
    return State(
        manager=AsyncSessionManager(plain),
        families=plain._families,
        settings=settings,
        guard=ClawguardBearer(plain, origin=settings.origin, resource_metadata=metadata),
        front=Front.of(
            plain,
            require=(),
            origin=settings.origin,
            certificate_of=None,
            optional=True,
            cookie=None,
            resource_metadata=metadata,
        ),
        tail=Tail(plain.events),
        meters=Meters(),
        loads=Loads(settings),
        rates=Rates(settings, now=plain._parts.clock.now),
        now=plain._parts.clock.now,
    )


def _openapi(app: FastAPI) -> dict[str, Any]:
    """Return the description of all endpoints, once made, with what their problems look like."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        schemas = made["components"]["schemas"]
        for model in (Fault, Problem, OAuthProblem):
            schema = model.model_json_schema(ref_template=_REF)
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        app.openapi_schema = made
    return app.openapi_schema
