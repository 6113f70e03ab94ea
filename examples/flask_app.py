"""A Flask app with an open page and a guarded one, served by the standard library."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import flask
import httpx

from clawguard import SessionManager, Verifier, current_session
from clawguard.web.flask import Clawguard


def make_app(verifier: Verifier | SessionManager) -> flask.Flask:
    app = flask.Flask("notes")
    guard = Clawguard(app, verifier, optional=True)

    @app.route("/")
    def welcome() -> str:
        return "welcome"

    @app.route("/notes")
    @guard.requires("notes:read")
    def notes() -> str:
        return f"notes for {current_session().agent_id}"

    return app


class Quiet(WSGIRequestHandler):
    def log_message(self, *args: Any) -> None:
        """Log nothing."""


@contextmanager
def serving(app: Any) -> Iterator[str]:
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def main() -> None:
    with SessionManager.open() as manager, Verifier.open() as verifier:
        session = manager.create("planner", scopes="notes:*", ttl=60)
        with serving(make_app(verifier)) as url:
            print("nobody, the open page:", httpx.get(url).text)
            print("nobody, the notes:", httpx.get(f"{url}/notes").status_code)
            print("the planner:", httpx.get(f"{url}/notes", headers=session.headers()).text)
            manager.revoke(session, reason="leaked")
            print("afterwards:", httpx.get(f"{url}/notes", headers=session.headers()).status_code)


if __name__ == "__main__":
    main()
