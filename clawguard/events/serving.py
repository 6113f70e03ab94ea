"""Serving one durable subscriber: a thread that gives it each event until it is taken, or parked."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from contextlib import suppress

from clawguard.clock import SECOND
from clawguard.errors import ClawguardError, EventRefused, ReceiverFailed, ReceiverUnavailable
from clawguard.events.coroutines import LoopEnded
from clawguard.events.cursors import Bench, Change, Cursor, Lease, Standing
from clawguard.events.event import Event
from clawguard.events.signals import Receiver, name_of

__all__ = ["Server"]

_logger = logging.getLogger("clawguard.events")

_BATCH = 200
_MOVE_AFTER = SECOND // 10  # microseconds; what a crash may have given out again is no more than that
_LOOK_AGAIN = 0.25  # seconds; the events of other processes wake nobody here
_GATHER = 0.02  # seconds; a stream of events is taken in batches, for each costs writes
_REST = 1.0  # seconds, after a fault of the store
_MOST_LAPSES = 5  # an event that so many died or hung over is parked


class _Left(Exception):
    """The server was stopped and does not wait for the call under way."""


class Server:
    """Give a receiver the events of its cursor, in order, while nobody else is at work on them."""

    def __init__(self, cursor: Cursor, receiver: Receiver, *, tries: int, bench: Bench) -> None:
        self.cursor = cursor
        self.receiver = receiver
        self.tries = tries
        self.is_over = False
        self._bench = bench
        self._careful = 0
        self._outages = 0
        self._replaying = 0  # the number of a parked event that is being tried
        self._is_behind = False
        self._stopped = False
        self._is_left = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        name = f"clawguard-subscriber-{self.cursor.name}"
        thread = threading.Thread(target=self._run, name=name, daemon=True)
        thread.start()
        self._thread = thread

    def stop(self) -> None:
        """Have it end after the call under way."""
        self._stopped = True

    def join(self, timeout: float) -> None:
        """Wait for its end at most `timeout` seconds; then a call under way is left to itself.

        Others may work on the subscriber at once, and nobody takes it for a death. A receiver that calls this
        is not waited for.
        """
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)
        if thread is not None and thread.is_alive():
            self._let_go()
        self._is_left = True

    def _run(self) -> None:
        try:
            while not (self._stopped or self._bench.log.is_closed):
                self._turn()
        finally:
            self._let_go()
            self.is_over = True

    def _turn(self) -> None:
        try:
            standing = self.cursor.find()
            if standing is None:
                _logger.warning("the subscriber %s was removed", self.cursor.name)
                self._stopped = True
                return
            if self._serve(standing):
                rest = 0.0 if self._is_behind else _GATHER
            else:
                rest = self._time_to_wait(standing)
        except _Left:
            return
        except Exception as error:  # whatever it was, the subscriber must be served on
            rest = _REST
            if not self._stopped:
                with suppress(Exception):
                    _logger.error("the subscriber %s cannot be served: %s", self.cursor.name, error)
        if rest > _GATHER:
            self._bench.log.wait(rest)
        elif rest:
            time.sleep(rest)

    def _time_to_wait(self, standing: Standing) -> float:
        due = standing.waits(self._bench.clock.now()) / SECOND
        return min(_LOOK_AGAIN, due) if due > 0 else _LOOK_AGAIN

    def _let_go(self) -> None:
        with suppress(ClawguardError):  # else the lease ends by itself
            seq, self._replaying = self._replaying, 0
            if seq:
                self._begin_anew(seq)
            if self.cursor.leased_until:
                self.cursor.release()

    def _serve(self, standing: Standing) -> bool:
        """Do one round; False where there was nothing to do, or it is not this process's turn."""
        now = self._bench.clock.now()
        if not standing.is_free_for(self.cursor.owner, now=now) or standing.pattern != self.cursor.types:
            return False  # or the name is for other events by now: who asked for those serves it
        if standing.waits(now):
            return False
        events = self.cursor.read(standing.position, limit=_BATCH)
        self._is_behind = len(events) == _BATCH
        if not events:
            return self.cursor.catch_up(standing.position) or self._replay_one()
        lease = self.cursor.lease()
        if lease is None:
            return False
        if lease.position != standing.position:
            self.cursor.release()
            return True
        if lease.lapses:
            self._careful = _BATCH
        if lease.lapses >= _MOST_LAPSES:
            return self._park_unseen(lease, events[0])
        return self._give(lease, events)

    def _give(self, lease: Lease, events: list[Event]) -> bool:
        """Give out events for a while, and note how far the receiver has come."""
        clock = self._bench.clock
        noted = taken = lease.position
        until = clock.now() + _MOVE_AFTER
        for event in events:
            if self._stopped or clock.now() >= min(until, self.cursor.leased_until):
                break
            error = self._call(event)
            if error is not None:
                return self._not_taken(event, error, before=noted, taken=taken)
            taken = event.seq
            if self._careful:  # one may end this process: those before it are not to be blamed
                self._careful -= 1
                if not self.cursor.advance(noted, taken, keep=True):
                    return True
                noted = taken
        if taken > noted:
            self.cursor.advance(noted, taken)
        else:
            self.cursor.release()
        return True

    def _call(self, event: Event) -> BaseException | None:
        """Return what the receiver raised, None where it took the event; raise _Left where nobody waits."""
        try:
            result = self.receiver(event)
            while inspect.isawaitable(result):
                try:
                    self._bench.bus.wait_for(result, self._check_left)
                    break
                except LoopEnded:
                    if self._stopped:
                        raise _Left from None
                    result = self.receiver(event)  # no fault of its own: again, on a loop that runs
        except _Left:
            raise
        except BaseException as error:  # the thread is ours: whatever it was, the subscriber is tried again
            return error
        self._outages = 0
        return None

    def _check_left(self) -> None:
        if self._is_left:
            raise _Left

    def _not_taken(self, event: Event, error: BaseException, *, before: int, taken: int) -> bool:
        """Note what was taken, and have the event tried later, or park it."""
        reason = _reason(error)
        with self._bench.change(durable=False) as change:
            if taken > before and not self.cursor.advance_in(change, before, taken):
                return True
            if isinstance(error, ReceiverUnavailable):
                self._wait_in(change, taken)
            else:
                tries = self.cursor.fail_in(change, taken)
                is_last = tries is not None and (tries >= self.tries or isinstance(error, EventRefused))
                if is_last and self.cursor.advance_in(change, taken, event.seq):
                    self._park(change, event, reason, tries=tries or 0)
        self._report(event, error, reason)
        return True

    def _wait_in(self, change: Change, position: int) -> None:
        self.cursor.wait_in(change, position, outages=self._outages)
        self._outages += 1

    def _report(self, event: Event, error: BaseException, reason: str) -> None:
        with suppress(Exception):
            _logger.error("the subscriber %s failed on event %d: %s", self.cursor.name, event.seq, reason)
            if event.type != "subscriber.failed":
                self._bench.bus.report(name_of(self.receiver), type(error).__name__, 1)

    def _park_unseen(self, lease: Lease, event: Event) -> bool:
        """Park an event that ended or hung whoever was at work on it."""
        with self._bench.change(durable=False) as change:
            if self.cursor.advance_in(change, lease.position, event.seq):
                self._park(change, event, "lapsed", tries=lease.tries + lease.lapses)
        return True

    def _park(self, change: Change, event: Event, kind: str, *, tries: int) -> None:
        mark = {"name": self.cursor.name, "seq": event.seq}
        change.tx.run("parked.insert", error=kind, tries=tries, now=change.now, **mark)
        self._raise_alarm(change, event, kind, tries=tries)

    def _raise_alarm(self, change: Change, event: Event, kind: str, *, tries: int) -> None:
        if event.type not in ("subscriber.failed", "subscriber.parked"):  # an alarm about alarms never ends
            data = {"subscriber": self.cursor.name, "seq": event.seq, "tries": tries}
            change.writer.append("subscriber.parked", reason=kind, data=data)

    def _replay_one(self) -> bool:
        """Try a parked event once more, where that was asked for and nothing else is to do."""
        name = self.cursor.name
        rows = self._bench.store.read("parked.due", name=name)
        lease = self.cursor.lease() if rows else None
        if lease is None:
            return False
        (seq,) = rows[0]
        with self._bench.change(durable=False) as change:
            begun = change.tx.run("parked.begin", name=name, seq=seq)
        events = self._bench.log.read(after=seq - 1, limit=1) if begun else []
        if not events or events[0].seq != seq:
            self.cursor.release()
            return True
        self._replaying = seq
        error = self._call(events[0])
        self._replaying = 0
        with self._bench.change(durable=False) as change:
            if error is None:
                change.tx.run("parked.delete", name=name, seq=seq)
            elif isinstance(error, ReceiverUnavailable):
                change.tx.run("parked.begin_anew", name=name, seq=seq)
                self._wait_in(change, lease.position)
            elif rows := change.tx.run("parked.fail", name=name, seq=seq, error=_reason(error)):
                self._raise_alarm(change, events[0], _reason(error), tries=rows[0][0])
        self.cursor.release()
        return True

    def _begin_anew(self, seq: int) -> None:
        """Have a parked event tried once more, whose try was left."""
        with self._bench.change(durable=False) as change:
            change.tx.run("parked.begin_anew", name=self.cursor.name, seq=seq)


def _reason(error: BaseException) -> str:
    """Return what is kept of an error: its type, and of one that is meant for the log its message."""
    kind = type(error).__name__
    if not isinstance(error, EventRefused | ReceiverFailed | ReceiverUnavailable):
        return kind
    with suppress(Exception):  # one of the host's own may have no message, or none that can be read
        text = "".join(each if each.isprintable() else " " for each in str(error.message))
        return text.encode(errors="replace").decode().strip()[:255] or kind
    return kind
