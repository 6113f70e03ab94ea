"""A stream over HTTP that ends with its session, whatever server and framework: here uvicorn, and none."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from clawguard import SessionManager, Verifier, current_session
from clawguard.web.asgi import ClawguardMiddleware


async def ticker(_scope: Any, _receive: Any, send: Any) -> None:
    """Say who listens, then go on for ever."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    line = f"news for {current_session().agent_id}\n".encode()
    while True:
        await send({"type": "http.response.body", "body": line, "more_body": True})
        await asyncio.sleep(0.05)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical"))
    listener = socket.create_server(("127.0.0.1", 0))  # it listens before the first client comes
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def main() -> None:
    with SessionManager.open() as manager, Verifier.open() as verifier:
        session = manager.create("listener", scopes="news:read", ttl=60)
        with serving(ClawguardMiddleware(ticker, verifier, require="news:read")) as url:
            print("without a token:", httpx.get(url).status_code)
            with httpx.stream("GET", url, headers=session.headers()) as response:
                lines = response.iter_lines()
                print(response.status_code, next(lines))
                manager.revoke(session, reason="leaked")
                try:
                    for _ in lines:
                        pass
                except httpx.RemoteProtocolError:
                    print("the stream broke off with its session")
            print("afterwards:", httpx.get(url, headers=session.headers()).status_code)


if __name__ == "__main__":
    main()
