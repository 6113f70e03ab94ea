"""The demo's tool: an HTTP service in a process of its own, which checks tokens with public keys only."""

from __future__ import annotations

import json
import logging
import socketserver
import sys
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from clawguard import Verifier, current_session, requires
from clawguard.web.wsgi import ClawguardMiddleware

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


@requires("docs:read")
def read_docs() -> str:
    """Give a document to whoever may read."""
    return f"docs for {current_session().agent_id}"


@requires("mail:send")
def send_mail() -> str:
    """Take a mail from whoever may send."""
    return f"sent for {current_session().agent_id}"


ROUTES: dict[tuple[str, str], Callable[[], str]] = {("GET", "/docs"): read_docs, ("POST", "/mail"): send_mail}


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request; it knows nothing of tokens."""
    action = ROUTES.get((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
    status, answer = ("404 Not Found", "no such tool") if action is None else ("200 OK", action())
    body = json.dumps({"answer": answer}).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class _Server(WSGIServer):
    def server_bind(self) -> None:
        """Bind without asking the name service what the loopback is called."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]
        self.setup_environ()


class _Handler(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:
        """Leave the telling to the host."""


def main() -> None:
    """Serve on a free port of the loopback until standard input is closed."""
    # Without a handler Python writes warnings to standard error; here the audit trail tells of refusals.
    logging.getLogger("clawguard").addHandler(logging.NullHandler())
    with Verifier.open() as verifier, _Server(("127.0.0.1", 0), _Handler) as server:
        server.set_app(ClawguardMiddleware(app, verifier))
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        serving.start()
        print(json.dumps({"port": server.server_port}), flush=True)
        sys.stdin.read()
        server.shutdown()
        serving.join()


if __name__ == "__main__":
    main()
