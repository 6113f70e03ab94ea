"""Ask the console as a browser does, without one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount

from clawguard import IssuedSession
from clawguard.server.console.entry import COOKIE
from tests.server.scene import Scene

__all__ = ["BY_SCRIPT", "FORM", "OWN", "PUBLIC", "cookie", "enter", "get", "post", "routes"]

OWN = {"Sec-Fetch-Site": "same-origin"}
BY_SCRIPT = {"HX-Request": "true"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PUBLIC = {"/login", "/logout"}


def cookie(session: IssuedSession) -> dict[str, str]:
    return {"Cookie": f"{COOKIE}={session.token}"}


def get(
    scene: Scene, path: str, as_: IssuedSession | None = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Return the answer to a browser's GET."""
    return scene.ask("GET", f"/console{path}", headers=cookie(as_ or scene.admin) | (headers or {}))


def post(scene: Scene, path: str, as_: IssuedSession | None = None, /, **fields: str) -> httpx.Response:
    """Return the answer to a form that a page of the console sent."""
    headers = cookie(as_ or scene.admin) | OWN | FORM
    return scene.ask("POST", f"/console{path}", headers=headers, content=urlencode(fields))


def enter(scene: Scene, token: str, **headers: str) -> httpx.Response:
    return scene.ask("POST", "/console/login", headers=OWN | headers, data={"token": token})


def routes(scene: Scene) -> Iterator[tuple[str, str]]:
    """Yield method and path of everything the console answers."""
    (console,) = (each.app for each in scene.app.routes if isinstance(each, Mount))
    assert isinstance(console, FastAPI)
    for each in _flat(console.routes):
        if isinstance(each, APIRoute):
            yield from ((method, each.path) for method in each.methods or ())


def _flat(routes: Any) -> Iterator[Any]:
    for each in routes:
        inner = getattr(each, "original_router", None)
        yield from (_flat(inner.routes) if inner is not None else (each,))
