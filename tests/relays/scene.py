"""Events for relays, and servers that misbehave."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from clawguard import Event
from tests.openers import open_manager
from tests.servers import HOST

SECRET = "hunter2"

Talk = Callable[[socket.socket], Any]


def some_events(count: int = 3) -> list[Event]:
    """Return the first events of a log."""
    with open_manager() as manager:
        for number in range(count):
            manager.create(f"agent-{number}", scopes="x")
        return list(manager.events.read())


def large(event: Event, size: int) -> Event:
    """Return an event with that many bytes more."""
    return replace(event, data={**event.data, "filling": "x" * size})


def drip(connection: socket.socket, text: bytes) -> None:
    """Send a byte now and then, for 4 s in all: whoever waits that long has an answer."""
    for each in text:
        connection.sendall(bytes((each,)))
        time.sleep(4 / len(text))


@contextmanager
def pretender(talk: Talk, *, path: Path | None = None) -> Iterator[int]:
    """Listen at a port of the loopback, or at a path; leave what is said on each connection to `talk`."""

    def serve(one: socket.socket) -> None:
        with one, suppress(OSError):
            one.settimeout(30)
            talk(one)
            while one.recv(65_536):
                pass

    def accept() -> None:
        with suppress(OSError):
            while True:
                one, _ = listener.accept()
                threading.Thread(target=serve, args=(one,), daemon=True).start()

    with socket.socket(socket.AF_UNIX if path else socket.AF_INET) as listener:
        listener.bind(str(path) if path else (HOST, 0))
        listener.listen()
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield 0 if path else listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
