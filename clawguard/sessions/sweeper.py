"""The thread between calls: it does chores, such as to record natural ends, and rests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from clawguard.forks import call_around_fork
from clawguard.store import Hints

__all__ = ["Sweeper"]

_logger = logging.getLogger("clawguard.sessions")


class _Wakes:
    """Rest until somebody wakes who rests: what there is to `Hints` without another process."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[None] = SimpleQueue()  # an Event, set in Python, a signal could leave locked

    def rest(self, seconds: float) -> None:
        with suppress(Empty):
            self._queue.get(timeout=seconds)

    def wake(self) -> None:
        if self._queue.empty():
            self._queue.put(None)

    def close(self) -> None:
        pass


class Sweeper:
    """Run chores every so many seconds, and at once when kicked; made anew in a forked child.

    `hints` gives where to rest: what ends a rest there kicks too.
    """

    def __init__(
        self,
        chores: Sequence[Callable[[], object]],
        *,
        every: float | None,
        hints: Callable[[], Hints | None] = lambda: None,
    ) -> None:
        self._chores = chores
        self._every = every
        self._hints = hints
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._failing: set[Callable[[], object]] = set()
        self._rests: Hints = self._hints() or _Wakes()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Start the thread, unless `every` is None: then the chores are the owner's to run."""
        with self._starting:
            if self._every is not None and self._thread is None and not self._stopped:
                thread = threading.Thread(target=self._run, name="clawguard-sweeper", daemon=True)
                thread.start()
                self._thread = thread

    def kick(self) -> None:
        """Have the chores run now rather than at the next turn."""
        if self._every is None:
            return
        self._rests.wake()
        if self._thread is None:
            self.start()

    def stop(self) -> None:
        """Stop the thread and wait for the chore under way."""
        with self._starting:
            self._stopped = True
        self._rests.wake()
        if self._thread is not threading.current_thread():
            if self._thread is not None:
                self._thread.join()
            self._rests.close()

    def after_fork(self) -> None:
        """Start again in a forked child, at once: threads are not inherited."""
        running = self._thread is not None and not self._stopped
        self._rests.close()
        self._begin_anew()
        if running:
            self.kick()

    def _run(self) -> None:
        every = self._every or 0.0
        while True:
            self._rests.rest(every)
            if self._stopped:
                return
            for chore in self._chores:
                self._do(chore)

    def _do(self, chore: Callable[[], object]) -> None:
        try:
            chore()
        except Exception as error:  # whatever it was, the thread must live on
            if not self._stopped and chore not in self._failing:  # once for all the tries of an outage
                _logger.error("a background chore failed and is tried again: %s", error)
            self._failing.add(chore)
        else:
            self._failing.discard(chore)
