"""A server that speaks HTTP, and answers whatever a test says."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Hostile", "http"]

Answer = Callable[[dict[str, Any]], bytes]


class Asked(NamedTuple):
    """Hold one request as it came."""

    path: str
    body: dict[str, Any]


class Hostile:
    """Say who it is, and then whatever it is told to; `asked` holds every question."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.answer: Answer = lambda _: b""
        self.is_kept = True

    def talk(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                part = connection.recv(65_536)
                if not part:
                    return
                rest += part
            head, _, rest = rest.partition(b"\r\n\r\n")
            lines = head.decode().lower().split("\r\n")
            length = next((int(each[15:]) for each in lines if each.startswith("content-length:")), 0)
            while len(rest) < length:
                rest += connection.recv(65_536)
            body, rest = rest[:length], rest[length:]
            path = lines[0].split()[1]
            if path.endswith("oauth-authorization-server"):
                connection.sendall(http({"token_issuer": "urn:hostile"}))
                continue
            question = json.loads(body) if body else {}
            self.asked.append(Asked(path, question))
            told = self.answer(question)
            connection.sendall(told)
            if not self.is_kept or not told.startswith(b"HTTP/1.1 200 OK\r\nContent-Length"):
                return


def http(value: Any) -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
