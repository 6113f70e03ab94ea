"""Events for relays, and servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
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


@contextmanager
def pretender(talk: Talk) -> Iterator[int]:
    """Listen at a port of the loopback, and leave what is said on each connection to `talk`."""

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

    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
