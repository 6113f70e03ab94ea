"""Whole requests without a network, through an app's own entry: WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from wsgiref.util import setup_testing_defaults

__all__ = ["asgi", "wsgi"]


def wsgi(app: Callable[..., Any], path: str = "/", token: str | None = None) -> Callable[[], int]:
    """Return what has a WSGI app answer one request, and returns its status."""
    base: dict[str, Any] = {"PATH_INFO": path, "REMOTE_ADDR": "127.0.0.1", "QUERY_STRING": ""}
    setup_testing_defaults(base)
    if token is not None:
        base["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    def serve() -> int:
        statuses: list[str] = []
        body = app(base.copy(), lambda status, *_: statuses.append(status))
        b"".join(body)
        getattr(body, "close", _nothing)()
        return int(statuses[-1][:3])

    return serve


def asgi(app: Callable[..., Any], token: str | None = None) -> Callable[[], Awaitable[int]]:
    """Return what has an ASGI app answer one request, and returns its status."""
    headers = [(b"host", b"127.0.0.1")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    base = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": headers}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def serve() -> int:
        statuses: list[int] = []

        async def send(message: Any) -> None:
            if "status" in message:
                statuses.append(message["status"])

        await app({**base, "client": ("127.0.0.1", 1)}, receive, send)
        return statuses[-1]

    return serve


def _nothing() -> None:
    pass
