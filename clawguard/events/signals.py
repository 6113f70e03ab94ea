"""The live bus: blinker signals and pattern receivers, each receiver isolated, on a thread of its own.

Blinker's own `send` stops at the first exception and holds receivers weakly; both would lose events
silently. So receivers are held strongly unless asked otherwise and called one by one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from blinker import ANY, NamedSignal, Namespace

from clawguard.errors import InvalidArgument
from clawguard.events.coroutines import CoroutineRunner
from clawguard.events.entries import Entry
from clawguard.events.event import Event
from clawguard.events.registry import EventTypes
from clawguard.events.types import EVENT_TYPES, signal_name
from clawguard.forks import call_around_fork

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Dispatch", "EventBus", "Receiver", "Signals", "check_receiver", "name_of"]

Dispatch = Literal["thread", "inline"]
Receiver = Callable[[Event], Any]
FailureReport = Callable[[str, str, int], None]

_logger = logging.getLogger("clawguard.events")
_CAPACITY = 10_000
_LOOK_AGAIN = 1.0  # seconds; a signal's exception can strike between the flag and the wake-up
_REST = 0.002  # seconds; a stream of events wakes the thread once in so long, not once an event
_FAILURES = (Exception, SystemExit, asyncio.CancelledError)  # what a caller's own thread survives


def _report_to_nobody(_receiver: str, _error: str, _count: int) -> None:
    """Stand in until the recorder takes the reports."""


class _StrongSignal(NamedSignal):
    """A signal that keeps its receivers alive unless `weak=True` is asked for."""

    def connect(self, receiver: Any, sender: Any = ANY, weak: bool = False) -> Any:
        return super().connect(receiver, sender=sender, weak=weak)


class Signals(Namespace):
    """The signals by attribute: `manager.signals.session_created.connect(receiver)`.

    Receivers get `(manager, event=)`, after the commit, in commit order, in this process only.
    """

    def __init__(self) -> None:
        super().__init__()
        for each in EVENT_TYPES:
            self.add(each)

    def add(self, event_type: str) -> None:
        """Make the signal of an event type, where there is none."""
        name = signal_name(event_type)
        self.setdefault(name, _StrongSignal(name))

    def __getattr__(self, name: str) -> NamedSignal:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(sorted(self))
            raise AttributeError(f"there is no signal {name!r}; the signals are {known}") from None


class EventBus:
    """Deliver committed events to this process's receivers; no operation waits for them."""

    def __init__(self, *, dispatch: Dispatch, capacity: int = _CAPACITY) -> None:
        if dispatch not in ("thread", "inline"):
            raise InvalidArgument("dispatch", "must be 'thread' or 'inline'")
        self.types = EventTypes()
        self.signals = Signals()
        self.sender: object = None
        self.report: FailureReport = _report_to_nobody
        self._inline = dispatch == "inline"
        self._capacity = capacity
        self._failures: tuple[type[BaseException], ...] = _FAILURES if self._inline else (BaseException,)
        self._patterns: list[tuple[str, Receiver]] = []
        self._coroutines = CoroutineRunner(capacity)
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._queue: deque[Entry] = deque()
        self._is_resting = True
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._taken = 0
        self._delivering = 0
        self._done = 0
        self._delivering_here: set[int] = set()
        self._one_at_a_time = threading.Lock()
        self._closed = False
        self._is_over = False

    @property
    def wanted(self) -> bool:
        """Whether anybody listens at all."""
        return bool(self._patterns) or any(signal.receivers for signal in list(self.signals.values()))

    def on(self, pattern: str, receiver: Receiver) -> Receiver:
        """Have a plain or async callable called with every `Event` whose type fits the pattern."""
        check_receiver(receiver)
        entry = (self.types.check_pattern(pattern), receiver)
        with self._lock:
            self._patterns = [*self._patterns, entry]
        return receiver

    def off(self, receiver: Receiver) -> None:
        """Stop calling a receiver given to `on`."""
        with self._lock:
            self._patterns = [(pattern, each) for pattern, each in self._patterns if each != receiver]

    def register(self, name: str, payload: type[BaseModel] | None) -> None:
        """Make a type of the host's own known; who listens to a pattern that it fits hears it."""
        self.types.register(name, payload)
        self.signals.add(name)

    def queue(self, entries: Sequence[Entry]) -> None:
        """Take entries in commit order; what finds the queue full is dropped, counted and reported.

        The write lock is held here, so this is as short as can be: `deliver` does the rest.
        """
        room = max(0, self._capacity - len(self._queue))
        self._queue.extend(entries[:room])
        self._taken += min(room, len(entries))
        if len(entries) > room:
            self.report("the queue of live events", "overflow", len(entries) - room)

    def deliver(self) -> None:
        """Have what is queued delivered: by the dispatching thread, or here where the bus was opened so."""
        if self._inline:
            self._deliver_inline()
        elif self._queue and self._is_resting:
            with self._lock:
                if self._thread is None and not self._start():
                    return
                self._is_resting = False
                self._changed.notify_all()

    def _start(self) -> bool:
        thread = threading.Thread(target=self._run, name="clawguard-events", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            _logger.error("no thread could be started for the receivers; the next event tries again")
            return False
        self._thread = thread
        return True

    def _deliver_inline(self) -> None:
        here = threading.get_ident()
        if here in self._delivering_here:
            return  # a receiver that called back: what it did is delivered after the event under way
        self._delivering_here.add(here)
        try:
            # Its holder delivers what this thread queued as well: a receiver of its may wait for this thread.
            while self._queue and self._one_at_a_time.acquire(blocking=False):
                try:
                    self._deliver_queued()
                finally:
                    self._one_at_a_time.release()
        finally:
            self._delivering_here.discard(here)

    def wait_for(self, work: Awaitable[Any], check: Callable[[], None]) -> None:
        """Run what an async receiver returned where those run: see `CoroutineRunner.wait_for`."""
        self._coroutines.wait_for(work, check)

    def flush(self, timeout: float | None) -> bool:
        """Wait until everything queued so far is delivered; False after `timeout` seconds.

        A receiver cannot wait for itself: called in one, it is False at once.
        """
        if threading.current_thread() is self._thread or threading.get_ident() in self._delivering_here:
            return False
        deadline = None if timeout is None else time.monotonic() + timeout
        last = self._taken
        self.deliver()
        with self._lock:
            self._changed.wait_for(lambda: self._done >= last or self._is_over, timeout)
            idle = self._done >= last
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        return idle and self._coroutines.flush(left)

    def close(self, timeout: float = 2.0) -> None:
        """Deliver what is queued, for at most `timeout` seconds, and stop."""
        self.flush(timeout)
        with self._lock:
            self._closed = True
            self._is_over = self._thread is None
            self._changed.notify_all()
        self._coroutines.close()

    def after_fork(self) -> None:
        """Begin with an empty queue in a forked child: what was queued is the parent's to deliver."""
        self._coroutines = CoroutineRunner(self._capacity)
        self._begin_anew()

    def _run(self) -> None:
        while not self._closed:
            with suppress(BaseException):  # a failure whose report failed too: nothing may end this thread
                self._deliver_queued()
            time.sleep(_REST)
            with self._lock:
                self._changed.wait_for(self._is_woken, _LOOK_AGAIN)
        with suppress(BaseException):
            self._deliver_queued()
        with self._lock:
            self._is_over = True
            self._changed.notify_all()

    def _deliver_queued(self) -> None:
        while (entry := self._next()) is not None:
            self._hand_out(entry)

    def _next(self) -> Entry | None:
        """Take the next entry, if there is one; ends the one before."""
        with self._lock:
            self._done += self._delivering
            self._delivering = 0
            self._changed.notify_all()
            if not self._queue:
                return None
            self._delivering = 1
            return self._queue.popleft()

    def _is_woken(self) -> bool:
        """Tell whether there is anything to do; whoever queues looks at the flag after it has queued."""
        self._is_resting = True
        woken = bool(self._queue) or self._closed
        self._is_resting = not woken
        return woken

    def _hand_out(self, entry: Entry) -> None:
        """Call each receiver with a record of its own: what one does to its data, no other sees."""
        event_type = entry.body["type"]
        for pattern, receiver in self._patterns:
            if fnmatchcase(event_type, pattern):
                self._call(receiver, entry.event())
        signal = self.signals[signal_name(event_type)]
        for receiver in [] if signal.is_muted else list(signal.receivers_for(self.sender)):
            self._call(receiver, entry.event(), self.sender)

    def _call(self, receiver: Callable[..., Any], event: Event, *sender: object) -> None:
        try:
            result = receiver(*sender, event=event) if sender else receiver(event)
            failed = partial(self._failed, receiver, event)
            if inspect.iscoroutine(result) and not self._coroutines.run(receiver, result, failed):
                self.report(name_of(receiver), "overflow", 1)
        except self._failures as error:
            self._failed(receiver, event, error)

    def _failed(self, receiver: object, event: Event, error: BaseException) -> None:
        name = name_of(receiver)
        _logger.error("the receiver %s failed on %s: %s", name, event.type, type(error).__name__)
        if event.type != "subscriber.failed":
            self.report(name, type(error).__name__, 1)


def check_receiver(receiver: object) -> None:
    """Raise InvalidArgument for what cannot be called with an event, or would never run."""
    if not callable(receiver):
        raise InvalidArgument("receiver", "must be callable with one event")
    if inspect.isasyncgenfunction(receiver) or inspect.isgeneratorfunction(receiver):
        raise InvalidArgument("receiver", "is a generator, and would never run")


def name_of(receiver: object) -> str:
    """Return what a receiver is called in reports."""
    return str(getattr(receiver, "__qualname__", type(receiver).__qualname__))
