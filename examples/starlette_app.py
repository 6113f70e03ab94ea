"""A Starlette app whose routes name scopes in Starlette's own way, served by uvicorn."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from clawguard import SessionManager, Verifier
from clawguard.web.asgi import ClawguardMiddleware
from clawguard.web.starlette import ClawguardBackend


@requires("notes:read")
async def notes(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"notes for {request.user.display_name}")


@requires("notes:write")
async def write(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"written by {request.user.display_name}")


def make_app(verifier: Verifier) -> Starlette:
    return Starlette(
        routes=[Route("/notes", notes), Route("/notes", write, methods=["POST"])],
        middleware=[
            Middleware(ClawguardMiddleware, verifier=verifier),
            Middleware(AuthenticationMiddleware, backend=ClawguardBackend()),
        ],
    )


@contextmanager
def serving(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))  # it listens before the first client comes
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/notes"
    finally:
        server.should_exit = True
        thread.join()


def main() -> None:
    with SessionManager.open() as manager, Verifier.open() as verifier:
        reader = manager.create("reader", scopes="notes:read", ttl=60).headers()
        writer = manager.create("writer", scopes="notes:*", ttl=60).headers()
        with serving(make_app(verifier)) as url:
            print("nobody reads:", httpx.get(url).status_code)
            print("the reader reads:", httpx.get(url, headers=reader).text)
            print("the reader writes:", httpx.post(url, headers=reader).status_code)
            print("the writer writes:", httpx.post(url, headers=writer).text)


if __name__ == "__main__":
    main()
