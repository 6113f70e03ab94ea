"""A FastAPI app whose endpoints depend on a session, served by uvicorn; its OpenAPI page names the scopes."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import httpx
import uvicorn
from fastapi import FastAPI, Security

from clawguard import SessionContext, SessionManager, Verifier, requires
from clawguard.web.fastapi import ClawguardBearer, answer_refusals


@requires("mail:send")
def send_mail(to: str) -> str:
    return f"sent to {to}"


def make_app(verifier: Verifier) -> FastAPI:
    guard = ClawguardBearer(verifier)
    app = FastAPI()
    answer_refusals(app)

    @app.get("/notes")
    async def notes(session: Annotated[SessionContext, Security(guard, scopes=["notes:read"])]) -> str:
        return f"notes for {session.agent_id}"

    @app.post("/mail")
    def mail(_session: Annotated[SessionContext, Security(guard)]) -> str:
        return send_mail("ana@example.com")

    return app


@contextmanager
def serving(app: Any) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
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
        planner = manager.create("planner", scopes="notes:*", ttl=60).headers()
        with serving(make_app(verifier)) as url:
            print("nobody:", httpx.get(f"{url}/notes").json()["error"])
            print("planner:", httpx.get(f"{url}/notes", headers=planner).json())
            refused = httpx.post(f"{url}/mail", headers=planner)
            print("mail:", refused.status_code, refused.headers["WWW-Authenticate"].rpartition(", ")[2])
            page = httpx.get(f"{url}/openapi.json").json()
            print("the page says:", page["paths"]["/notes"]["get"]["security"])


if __name__ == "__main__":
    main()
