"""The pool: connections, each lent to one caller at a time."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from clawguard.errors import StoreBusy

__all__ = ["Pool"]

_logger = logging.getLogger("clawguard.store")
_LOOK_AGAIN = 0.001  # seconds


class Closable(Protocol):
    """Be let go of."""

    def close(self) -> None: ...


C = TypeVar("C", bound=Closable)


class Pool(Generic[C]):
    """Lend connections, at most `limit` at a time, the last used first.

    They are counted, not held: one that an exception tore away from its caller is gone, and makes room.
    """

    def __init__(self, open_one: Callable[[], C], *, limit: int, timeout: float = 5.0) -> None:
        self._open_one = open_one
        self._idle: deque[C] = deque()
        self._living: weakref.WeakSet[C] = weakref.WeakSet()
        self._limit = limit
        self._timeout = timeout
        self._opening = threading.Lock()
        self._is_resting = False
        self._closed = False

    def take(self) -> C:
        """Return a connection for this caller alone; it must be given back or dropped."""
        if self._is_resting:
            with self._opening:  # held until the fork is over: else callers would hand them on for ever
                pass
        try:
            return self._idle.pop()
        except IndexError:
            return self._another()

    def take_idle(self) -> C | None:
        """Return a connection that is open and free, as `take` does; None where there is none."""
        try:
            return None if self._is_resting else self._idle.pop()
        except IndexError:
            return None

    def give(self, connection: C) -> None:
        """Put a connection back; one that was out when the pool was closed is closed now."""
        self._idle.append(connection)
        if self._closed:
            self.close()

    def drop(self, connection: C) -> None:
        """Close a connection that failed, and make room for another."""
        self._living.discard(connection)
        connection.close()

    def drop_idle(self) -> None:
        """Close what lies idle."""
        while True:
            try:
                self.drop(self._idle.pop())
            except IndexError:
                return

    def close(self) -> None:
        """Close what is idle, and each connection still out as it comes back."""
        self._closed = True
        self.drop_idle()

    def hold(self) -> None:
        """Wait until none is being opened, and let none be opened until `go_on`."""
        self._opening.acquire()

    def come_to_rest(self) -> None:
        """Close every connection, waiting for those in use, and let nobody take one until `go_on`.

        One that an exception still holds (its traceback does) would keep a fork waiting for ever: it is given
        up after the timeout.
        """
        deadline = time.monotonic() + self._timeout
        self.hold()
        self._is_resting = True
        self.drop_idle()
        while self._living:
            if time.monotonic() >= deadline:
                _logger.error("forking beside %d connection(s) that did not come back", len(self._living))
                return
            time.sleep(_LOOK_AGAIN)
            self.drop_idle()

    def go_on(self) -> None:
        """Let connections be taken and opened again."""
        self._is_resting = False
        self._opening.release()

    def idle(self) -> tuple[C, ...]:
        """Return what lies idle now."""
        return tuple(self._idle)

    def living(self) -> tuple[C, ...]:
        """Return every connection that is open, lent or idle."""
        return tuple(self._living)

    def _another(self) -> C:
        deadline = time.monotonic() + self._timeout
        while True:
            with self._opening:
                if len(self._living) < self._limit and time.monotonic() < deadline:
                    connection = self._open_one()
                    self._living.add(connection)
                    return connection
            if time.monotonic() >= deadline:
                raise StoreBusy("no connection was free", hint="repeat the call")
            time.sleep(_LOOK_AGAIN)
            try:
                return self._idle.pop()
            except IndexError:
                continue
