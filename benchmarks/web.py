"""Web: what the ASGI middleware adds to a request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from clawguard.web.asgi import ClawguardMiddleware

from .harness import Result, Setting, alternate, benchmark
from .raw import SCOPES, open_manager

_BUDGET = 50e-6
_REQUESTS = 200


async def _app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


async def _receive() -> dict[str, Any]:
    return {"type": "http.request"}


async def _send(_message: Any) -> None:
    pass


@benchmark("web")
def web(setting: Setting) -> Iterator[Result]:
    """a request through the ASGI middleware, over the same without it"""
    with open_manager(setting.path("web")) as manager, asyncio.Runner() as runner:
        token = manager.create("planner", scopes=SCOPES).token
        headers = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": ("127.0.0.1", 1)}
        guarded = ClawguardMiddleware(_app, manager, require="docs:read")

        async def serve(app: Any) -> None:
            for _ in range(_REQUESTS):
                await asyncio.create_task(app(scope, _receive, _send))

        ours, bare = alternate(
            lambda: runner.run(serve(guarded)),
            lambda: runner.run(serve(_app)),
            rounds=setting.size(50, 25),
            number=1,
        )
        added = (min(ours) - min(bare)) / _REQUESTS  # whatever else runs here only adds to either
        validate = min(
            alternate(lambda: manager.validate(token, require="docs:read"), rounds=25, number=200)[0]
        )
        detail = f"of these {validate * 1e6:.0f} us are the validate"
        yield Result(
            "a request through the ASGI middleware, added", added, _BUDGET, "microseconds", detail=detail
        )
