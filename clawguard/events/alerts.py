"""Alerts: whoever waits for something of a session is woken when this process commits it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from clawguard.events.entries import Entry

__all__ = ["Alerts"]

Wake = Callable[[], None]


class Alerts:
    """Keep who is to be woken, by session; other processes wake nobody here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[Wake]] = {}

    @contextmanager
    def waking(self, session_id: str, wake: Wake) -> Iterator[None]:
        """Have `wake` called, from any thread, within the block; it must not wait or raise."""
        with self._lock:
            self._waiting.setdefault(session_id, []).append(wake)
        try:
            yield
        finally:
            with self._lock:
                others = [each for each in self._waiting.pop(session_id, ()) if each is not wake]
                if others:
                    self._waiting[session_id] = others

    def sound(self, written: Sequence[Entry]) -> None:
        """Wake whoever waits for a session that these entries are about."""
        if self._waiting:
            for session_id in {entry.body.get("session_id") for entry in written}:
                self.wake(session_id)

    def wake(self, session_id: str | None) -> None:
        """Wake whoever waits for a session."""
        if session_id is not None:
            with self._lock:
                wakes = tuple(self._waiting.get(session_id, ()))
            for wake in wakes:
                wake()
