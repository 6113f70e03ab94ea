"""The heartbeat: one thread that renews the leases of all turns that are held here, while they are held."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Protocol
from weakref import WeakKeyDictionary

from clawguard.clock import SECOND
from clawguard.forks import call_around_fork
from clawguard.sessions.change import Change

__all__ = ["Heartbeat", "Kept"]

_logger = logging.getLogger("clawguard.sessions")

_BEATS = 3  # in one lease: two of them may fail


class Kept(Protocol):
    """Be something with a lease: `lease` microseconds of ticket `number`."""

    @property
    def number(self) -> int: ...
    @property
    def lease(self) -> int: ...


class Heartbeat:
    """Renew leases until told to let go; what nobody refers to any more is let go by itself."""

    def __init__(self, change: Callable[..., Change]) -> None:
        self._change = change
        self._closed = False
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._next: WeakKeyDictionary[Kept, float] = WeakKeyDictionary()
        self._wakes: SimpleQueue[None] = SimpleQueue()
        self._sleeps_until = math.inf
        self._thread: threading.Thread | None = None

    def after_fork(self) -> None:
        """Keep nothing in a forked child: all of it is the parent's."""
        self._begin_anew()

    def keep(self, kept: Kept) -> None:
        """Renew a lease from now on, three times before it ends."""
        due = time.monotonic() + _interval(kept)
        with self._lock:
            self._next[kept] = due
            is_early = due < self._sleeps_until
            if self._thread is None and not self._closed:
                thread = threading.Thread(target=self._run, name="clawguard-heartbeat", daemon=True)
                thread.start()  # where none can be had, the next turn tries again
                self._thread = thread
        if is_early:
            self._wakes.put(None)

    def let_go(self, kept: Kept) -> None:
        """Renew it no more."""
        with self._lock:
            self._next.pop(kept, None)

    def close(self) -> None:
        """Renew nothing any more, and wait for the beat under way."""
        self._closed = True
        self._wakes.put(None)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            due = self._due()
            if due:
                self._beat(due)
            else:
                self._sleep()

    def _due(self) -> list[Kept]:
        """Return what is to be renewed now, and else note until when there is nothing to do."""
        with self._lock:
            now = time.monotonic()
            due = [kept for kept, at in self._next.items() if at <= now]
            self._sleeps_until = min(self._next.values(), default=math.inf)
        return due

    def _sleep(self) -> None:
        until = self._sleeps_until
        rest = None if until == math.inf else max(0.0, until - time.monotonic())
        with suppress(Empty):
            self._wakes.get(timeout=rest)

    def _beat(self, due: list[Kept]) -> None:
        gone: list[Kept] = []
        try:
            with self._change(durable=False) as change:
                for kept in due:
                    given = {"until": change.now + kept.lease, "length": kept.lease}
                    if not change.tx.run("turn.renew", number=kept.number, **given):
                        gone.append(kept)
        except Exception as error:  # whatever it was, the other leases must be renewed
            if not self._closed:
                _logger.error("the leases of %d turn(s) could not be renewed: %s", len(due), error)
        with self._lock:
            for kept in due:
                if kept in self._next:  # else it was let go meanwhile
                    self._next[kept] = time.monotonic() + _interval(kept)
            for kept in gone:
                self._next.pop(kept, None)


def _interval(kept: Kept) -> float:
    return kept.lease / SECOND / _BEATS
