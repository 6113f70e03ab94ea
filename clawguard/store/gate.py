"""The gate that transactions pass: shut while the process forks.

A connection of SQLite's must not cross a fork: the child would inherit its lock tables and believe that it
holds locks which no other process sees. So all of them are closed before, and opened anew on both sides.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Gate"]

_LOOK_AGAIN = 0.01  # seconds


class Gate:
    """Know whether a thread is inside; shut, it lets nobody in and waits until that one is out.

    Only the holder of the writers' queue comes here, and `is_held` tells whether this process has one: a
    thread that a signal's exception kept from leaving has let go of the queue all the same.
    """

    def __init__(self, is_held: Callable[[], bool]) -> None:
        self._is_held = is_held
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._is_occupied = False
        self._is_shut = False

    def enter(self) -> None:
        """Go in, waiting while the gate is shut."""
        with self._lock:
            self._is_occupied = False  # this thread holds the queue: whoever was inside has let go of it
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._is_shut)
            self._is_occupied = True

    def leave(self) -> None:
        """Go out."""
        with self._lock:
            self._is_occupied = False
            self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody in any more and wait until nobody is inside."""
        with self._lock:
            self._is_shut = True
            while self._is_occupied and self._is_held():
                self._changed.wait(_LOOK_AGAIN)

    def reopen(self) -> None:
        """Let everybody in again."""
        with self._lock:
            self._is_shut = False
            self._changed.notify_all()
