"""A server in the test's own process, callers of two workspaces, and one way to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from clawguard import IssuedSession, SessionManager
from clawguard.server import Settings, create_app

__all__ = ["BASE", "Scene"]

BASE = "http://127.0.0.1"


class Scene:
    """Serve a manager in this process; `ask` sends one request as a caller."""

    def __init__(self, manager: SessionManager, settings: Settings | None = None) -> None:
        self.manager = manager
        self.app = create_app(manager, settings=settings)
        self.admin = self.caller("*")

    def caller(self, scopes: str, *, workspace: str = "default", **given: Any) -> IssuedSession:
        """Return a session that calls the server."""
        return self.manager.create("host", scopes=scopes, workspace_id=workspace, **given)

    def ask(
        self,
        method: str,
        path: str,
        *,
        as_: IssuedSession | None = None,
        headers: dict[str, str] | None = None,
        **sent: Any,
    ) -> httpx.Response:
        """Return the answer to one request."""
        own = {} if as_ is None else as_.headers()
        return self.run(lambda client: client.request(method, path, headers=own | (headers or {}), **sent))

    def get(self, path: str, *, as_: IssuedSession | None = None, **sent: Any) -> httpx.Response:
        """Return the answer to a GET, by default as the admin."""
        return self.ask("GET", path, as_=as_ or self.admin, **sent)

    def post(self, path: str, body: Any = None, *, as_: IssuedSession | None = None) -> httpx.Response:
        """Return the answer to a POST of JSON, by default as the admin."""
        return self.ask("POST", path, as_=as_ or self.admin, json={} if body is None else body)

    def form(self, path: str, as_: IssuedSession | None = None, /, **fields: str) -> httpx.Response:
        """Return the answer to a POST of a form, by default as nobody."""
        return self.ask("POST", path, as_=as_, data=fields)

    def run(self, work: Callable[[httpx.AsyncClient], Any]) -> Any:
        """Run what needs a client on a loop of its own."""

        async def run() -> Any:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await work(client)

        return asyncio.run(run())
