"""The gate that transactions pass: shut while the process forks.

A connection of SQLite's must not cross a fork: the child would inherit its lock tables and believe that it
holds locks which no other process sees. So all of them are closed before, and opened anew on both sides.
"""

from __future__ import annotations

import threading

__all__ = ["Gate"]


class Gate:
    """Know who is inside; shut, it lets nobody in and waits until all are out."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._inside: set[int] = set()
        self._is_shut = False

    def enter(self) -> None:
        """Go in, waiting while the gate is shut."""
        with self._lock:
            self._changed.wait_for(lambda: not self._is_shut)
            self._inside.add(threading.get_ident())

    def leave(self) -> None:
        """Go out; nothing happens for a thread that is not inside."""
        with self._lock:
            self._inside.discard(threading.get_ident())
            self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody in any more and wait until all are out."""
        with self._lock:
            self._is_shut = True
            self._changed.wait_for(lambda: not self._inside)

    def reopen(self) -> None:
        """Let everybody in again."""
        with self._lock:
            self._is_shut = False
            self._changed.notify_all()
