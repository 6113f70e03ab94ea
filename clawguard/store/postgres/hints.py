"""Hints: who follows the log rests on the connection that he reads it by, until another process sends word.

A hint says nothing but that there may be something to read. One that is lost costs time, up to the next look.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable
from contextlib import suppress

import psycopg

from clawguard.store.pool import Pool
from clawguard.store.postgres.connections import Connection

__all__ = ["Hints"]

_Selector = getattr(selectors, "PollSelector", selectors.SelectSelector)  # a child inherits nothing of it


class Hints:
    """Rest until there is a hint, or somebody of this process wakes who rests."""

    def __init__(self, connections: Callable[[], Pool[Connection]]) -> None:
        self._connections = connections
        self._wakes, self._waker = socket.socketpair()
        self._wakes.setblocking(False)
        self._waker.setblocking(False)

    def rest(self, seconds: float) -> None:
        """Return after so many seconds at most; where there is no connection, there are no hints."""
        pool = self._connections()
        connection = pool.take_idle()
        if connection is None:
            self._wait(None, seconds)
            return
        try:
            if not connection.hints:
                self._wait(connection.pgconn.socket, seconds)
                connection.listen()
            connection.hints.clear()
        except (psycopg.Error, OSError):
            pool.drop(connection)  # the next look at the log finds out whether there is another
        except BaseException:
            pool.drop(connection)
            raise
        else:
            pool.give(connection)

    def wake(self) -> None:
        """End the rest that is being taken, or else the next one; a signal's handler may call this."""
        with suppress(OSError):  # full: nobody can miss it, or closed
            self._waker.send(b"\0")

    def close(self) -> None:
        """Let go of what `wake` writes to."""
        self._wakes.close()
        self._waker.close()

    def _wait(self, server: int | None, seconds: float) -> None:
        with _Selector() as selector:
            selector.register(self._wakes, selectors.EVENT_READ)
            if server is not None:
                selector.register(server, selectors.EVENT_READ)
            selector.select(seconds)
        with suppress(BlockingIOError):
            self._wakes.recv(1_024)
