"""Receivers of webhooks on this machine: one that speaks HTTP, and one that does whatever a test says."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from clawguard import Event
from tests.subscribing import PATIENCE

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
OTHER_SECRET = "whsec_" + base64.b64encode(bytes(range(64))).decode()


@dataclass(frozen=True)
class Delivery:
    """One request as it came; `connection` tells those of one connection from others."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: tuple[str, int]

    def __getitem__(self, name: str) -> str:
        (value,) = (each for key, each in self.headers if key.lower() == name.lower())
        return value

    def verified(self, secret: str = SECRET) -> Any:
        """Return the body, as a receiver reads it that trusts nobody."""
        return Webhook(secret).verify(self.body, dict(self.headers))


Answer = Callable[[Delivery], int | tuple[int, dict[str, str], bytes]]


class Hook(ThreadingHTTPServer):
    """Keep what is delivered, and answer as told: with 204 at first."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.deliveries: list[Delivery] = []
        self.answer: Answer = lambda delivery: 204
        self.tls = tls
        super().__init__(("127.0.0.1", port), _Handler)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.server_port}/hook"

    @property
    def ids(self) -> list[str]:
        return [each["webhook-id"] for each in self.deliveries]

    def get_request(self) -> tuple[socket.socket, Any]:
        plain, address = super().get_request()
        if self.tls is None:
            return plain, address
        return self.tls.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that break off are what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        delivery = Delivery(self.path, self.headers.items(), body, self.client_address)
        self.server.deliveries.append(delivery)
        answer = self.server.answer(delivery)
        status, headers, content = (answer, {}, b"") if isinstance(answer, int) else answer
        self.send_response(status)
        given = {name.lower() for name in headers}
        if status != 204 and not given & {"content-length", "transfer-encoding"}:
            self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running(hook: Hook) -> Iterator[Hook]:
    """Serve until the end of the block."""
    thread = threading.Thread(target=hook.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        hook.shutdown()
        hook.server_close()


@contextmanager
def rough(act: Callable[[socket.socket], object]) -> Iterator[Rough]:
    """Have each connection treated by a function, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Rough(listener, act)
        threading.Thread(target=server.run, daemon=True).start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)


class Rough:
    """A server that need not speak HTTP; `connections` counts who came."""

    def __init__(self, listener: socket.socket, act: Callable[[socket.socket], object]) -> None:
        self.listener = listener
        self.act = act
        self.connections = 0
        self.port = int(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/"

    def run(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._treat, args=(connection,), daemon=True).start()

    def _treat(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        with connection, suppress(OSError):
            self.act(connection)


def request_of(connection: socket.socket) -> bytes:
    """Read one whole request; nothing where the other side has gone."""
    text = b""
    while b"\r\n\r\n" not in text:
        part = connection.recv(65_536)
        if not part:
            return b""
        text += part
    head, _, body = text.partition(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body


def event(**given: Any) -> Event:
    """Return an event as a log holds them."""
    fields: dict[str, Any] = {
        "seq": 7,
        "id": "01a1fccf-cf9e-7037-aefb-eac59a7e9560",
        "type": "session.expired",
        "at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "workspace_id": "default",
        "session_id": "01a1fccf-d021-72be-9eed-2ab647482519",
        "version": 2,
        "agent_id": "planner",
        "subject": "user:ana",
        "actor": "host",
        "cause": "revoked",
        "reason": "leaked",
        "cause_id": "01a1fccf-d022-72be-9eed-2ab647482519",
        "data": {},
        "prev_hash": "0" * 64,
        "hash": "1" * 64,
    }
    return Event(**{**fields, **given})
