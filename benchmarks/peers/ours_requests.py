"""What clawguard's guards add to a request, in Flask, in Django REST framework and in FastAPI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.material import LIFE, SCOPES
from clawguard import SessionManager, Verifier

from .measures import Measure, added, awaiting, calls, expect
from .requests import asgi, wsgi

__all__ = ["drf_request", "fastapi_request", "flask_request"]


def flask_request(manager: SessionManager, verifier: Verifier) -> Measure:
    """Guard a Flask app."""
    import flask

    from clawguard.web.flask import Clawguard

    def made() -> flask.Flask:
        app = flask.Flask("bench")
        app.add_url_rule("/", view_func=lambda: "ok")
        return app

    guarded = made()
    Clawguard(guarded, verifier, require="docs:read")
    token = _token(manager, lambda token: wsgi(guarded, token=token)())
    return added(partial(calls, wsgi(guarded, token=token)), partial(calls, wsgi(made())))


def drf_request(manager: SessionManager, verifier: Verifier, folder: Path) -> Measure:
    """Guard a view of a Django site."""
    from .django_app import handler, set_up, view

    set_up(folder / "site.db")

    from django.conf import settings

    from clawguard.web.drf import ClawguardAuthentication, requires_scopes

    settings.ROOT_URLCONF = (
        view("bare"),
        view("guarded", ClawguardAuthentication, requires_scopes("docs:read")),
    )
    bare = handler()
    settings.MIDDLEWARE = ["clawguard.web.django.ClawguardMiddleware"]
    settings.CLAWGUARD = {"verifier": verifier}
    guarded = handler()
    token = _token(manager, lambda token: wsgi(guarded, "/guarded", token)())
    return added(
        partial(calls, wsgi(guarded, "/guarded", token)),
        partial(calls, wsgi(bare, "/bare")),
    )


def fastapi_request(manager: SessionManager, verifier: Verifier, runner: asyncio.Runner) -> Measure:
    """Guard an endpoint of a FastAPI app."""
    from fastapi import FastAPI, Security

    from clawguard.web.fastapi import ClawguardBearer

    def made(*dependencies: Any) -> FastAPI:
        app = FastAPI(openapi_url=None)

        @app.get("/", dependencies=dependencies)
        async def answer() -> str:
            return "ok"

        return app

    app = made(Security(ClawguardBearer(verifier), scopes=["docs:read"]))
    token = _token(manager, lambda token: runner.run(_answer(asgi(app, token))))
    return added(partial(awaiting, runner, asgi(app, token)), partial(awaiting, runner, asgi(made())))


async def _answer(serve: Callable[[], Awaitable[int]]) -> int:
    return await serve()


def _token(manager: SessionManager, answer: Callable[[str], int]) -> str:
    """Return a token that is let in, once one that was revoked is not."""
    session, revoked = (manager.create("planner", scopes=SCOPES, ttl=LIFE) for _ in range(2))
    manager.revoke(revoked)
    statuses = [answer(each.token) for each in (session, revoked)]
    expect("answers of the guarded app", found=statuses, expected=[200, 401])
    return session.token
