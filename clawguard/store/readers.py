"""The pool of readers: connections that only read, each lent to one caller at a time."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

from clawguard.errors import StoreBusy
from clawguard.store.connections import Connection

__all__ = ["ReaderPool"]

_logger = logging.getLogger("clawguard.store")
_LOOK_AGAIN = 0.001  # seconds


class ReaderPool:
    """Lend readers, at most `limit` at a time, the last used first.

    They are counted, not held: one that an exception tore away from its caller is gone, and makes room.
    """

    def __init__(self, open_one: Callable[[], Connection], *, limit: int, timeout: float = 5.0) -> None:
        self._open_one = open_one
        self._idle: deque[Connection] = deque()
        self._living: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._limit = limit
        self._timeout = timeout
        self._opening = threading.Lock()
        self._is_resting = False
        self._closed = False

    def take(self) -> Connection:
        """Return a reader for this caller alone; it must be given back or dropped."""
        if self._is_resting:
            with self._opening:  # held until the fork is over: else callers would hand readers on for ever
                pass
        try:
            return self._idle.pop()
        except IndexError:
            return self._another()

    def give(self, reader: Connection) -> None:
        """Put a reader back; one that was out when the pool was closed is closed now."""
        self._idle.append(reader)
        if self._closed:
            self.close()

    def drop(self, reader: Connection) -> None:
        """Close a reader that failed, and make room for another."""
        self._living.discard(reader)
        reader.close()

    def close(self) -> None:
        """Close what is idle, and each reader still out as it comes back."""
        self._closed = True
        self._close_idle()

    def come_to_rest(self) -> None:
        """Close every reader, waiting for those in use, and let nobody take one until `go_on`.

        One that an exception still holds (its traceback does) would keep a fork waiting for ever: it is given
        up after the timeout.
        """
        deadline = time.monotonic() + self._timeout
        self._opening.acquire()
        self._is_resting = True
        self._close_idle()
        while self._living:
            if time.monotonic() >= deadline:
                _logger.error("forking beside %d reader(s) that did not come back", len(self._living))
                return
            time.sleep(_LOOK_AGAIN)
            self._close_idle()

    def go_on(self) -> None:
        """Let readers be taken again."""
        self._is_resting = False
        self._opening.release()

    def idle(self) -> tuple[Connection, ...]:
        """Return what lies idle now."""
        return tuple(self._idle)

    def living(self) -> tuple[Connection, ...]:
        """Return every reader that is open, lent or idle."""
        return tuple(self._living)

    def _close_idle(self) -> None:
        while True:
            try:
                self.drop(self._idle.pop())
            except IndexError:
                return

    def _another(self) -> Connection:
        deadline = time.monotonic() + self._timeout
        while True:
            with self._opening:
                if len(self._living) < self._limit:
                    reader = self._open_one()
                    self._living.add(reader)
                    return reader
            if time.monotonic() >= deadline:
                raise StoreBusy("no reader was free", hint="repeat the call")
            time.sleep(_LOOK_AGAIN)
            try:
                return self._idle.pop()
            except IndexError:
                continue
