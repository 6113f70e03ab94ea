"""The gate that transactions pass: shut while the process forks.

A connection of SQLite's must not cross a fork: the child would inherit its lock tables and believe that it
holds locks which no other process sees. So all of them are closed before, and opened anew on both sides.
"""

from __future__ import annotations

import threading

__all__ = ["Gate"]


class Gate:
    """Count who is inside; shut, it lets nobody in and waits until all are out."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._is_shut = False

    def enter(self) -> None:
        """Go in, waiting while the gate is shut."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut)
            self._inside += 1

    def leave(self) -> None:
        """Go out."""
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody in any more and wait until all are out."""
        with self._changed:
            self._is_shut = True
            self._changed.wait_for(lambda: self._inside == 0)

    def reopen(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()
