"""Serving one durable subscriber: a thread that gives it each event until it is taken, or parked."""

from __future__ import annotations

import concurrent.futures
import inspect
import logging
import threading
from typing import Any

from clawguard.clock import SECOND
from clawguard.errors import ClawguardError
from clawguard.events.cursors import Bench, Change, Cursor, Lease, Standing
from clawguard.events.event import Event
from clawguard.events.signals import Receiver, name_of

__all__ = ["Server"]

_logger = logging.getLogger("clawguard.events")

_BATCH = 200
_MOVE_AFTER = SECOND // 10  # microseconds; what a crash may have given out again is no more than that
_LOOK_AGAIN = 0.25  # seconds; the events of other processes wake nobody here
_REST = 1.0  # seconds, after a fault of the store
_FIRST_WAIT, _LONGEST_WAIT = SECOND // 10, 30 * SECOND


class Server:
    """Give a receiver the events of its cursor, in order, for as long as the lease is had."""

    def __init__(self, cursor: Cursor, receiver: Receiver, *, tries: int, bench: Bench) -> None:
        self.cursor = cursor
        self.receiver = receiver
        self.tries = tries
        self._bench = bench
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        name = f"clawguard-subscriber-{self.cursor.name}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """Stop after the call under way, waiting for that at most `timeout` seconds."""
        self._stopped = True
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout)

    def _run(self) -> None:
        while not self._stopped:
            try:
                standing = self.cursor.find()
                if standing is None:
                    _logger.warning("the subscriber %s was removed", self.cursor.name)
                    return
                rest = 0.0 if self._serve(standing) else self._time_to_wait(standing)
            except ClawguardError as error:
                if self._stopped:
                    return
                _logger.error("the subscriber %s cannot be served: %s", self.cursor.name, error)
                rest = _REST
            if rest:
                self._bench.log.wait(rest)
        self._let_go()

    def _time_to_wait(self, standing: Standing) -> float:
        due = (standing.next_try_at - self._bench.clock.now()) / SECOND
        return min(_LOOK_AGAIN, due) if due > 0 else _LOOK_AGAIN

    def _let_go(self) -> None:
        try:
            if self.cursor.leased_until:
                self.cursor.release()
        except ClawguardError:
            return  # the lease ends by itself

    def _serve(self, standing: Standing) -> bool:
        """Do one round; False where there was nothing to do, or it is not this process's turn."""
        now = self._bench.clock.now()
        if not self.cursor.is_free(standing):
            return False
        if self._replay_one():
            return True
        if standing.next_try_at > now:
            return False
        events = self.cursor.read(standing.position, limit=_BATCH)
        if not events:
            return self.cursor.catch_up(standing.position)
        lease = self.cursor.lease()
        return lease is not None and (lease.position != standing.position or self._give(lease, events))

    def _give(self, lease: Lease, events: list[Event]) -> bool:
        """Give out events for a while, and note how far the receiver has come."""
        taken, until = lease.position, self._bench.clock.now() + _MOVE_AFTER
        for event in events:
            if self._stopped or self._bench.clock.now() >= min(until, self.cursor.leased_until):
                break
            error = self._call(event)
            if error is not None:
                tries = lease.tries if taken == lease.position else 0
                return self._not_taken(event, error, before=lease.position, taken=taken, tries=tries + 1)
            taken = event.seq
        return taken > lease.position and self.cursor.advance(lease.position, taken)

    def _call(self, event: Event) -> BaseException | None:
        """Return what the receiver raised, or None where it took the event."""
        try:
            result = self.receiver(event)
            if inspect.iscoroutine(result):
                self._wait_for(self._bench.bus.submit(result))
        except BaseException as error:  # the thread is ours: whatever it was, the subscriber is tried again
            return error
        return None

    def _wait_for(self, work: concurrent.futures.Future[Any]) -> None:
        while True:
            done, _ = concurrent.futures.wait((work,), _REST)
            if done:
                work.result()
                return
            if self._stopped:
                work.cancel()
                raise TimeoutError

    def _not_taken(self, event: Event, error: BaseException, *, before: int, taken: int, tries: int) -> bool:
        """Note what was taken, and have the event tried later, or park it."""
        kind = type(error).__name__
        _logger.error("the subscriber %s failed on event %d: %s", self.cursor.name, event.seq, kind)
        is_over = tries >= self.tries
        with self._bench.change(durable=False) as change:
            if taken > before and not self.cursor.advance_in(change, before, taken):
                return False
            if is_over and self.cursor.advance_in(change, taken, event.seq):
                self._park(change, event, kind, tries=tries)
            elif not is_over:
                wait = min(_FIRST_WAIT << (tries - 1), _LONGEST_WAIT)
                mark = {"name": self.cursor.name, "owner": self.cursor.owner, "position": taken}
                due = change.now + wait
                change.tx.run(
                    "cursor.fail", tries=tries, next_try_at=due, until=due + self.cursor.lease_length, **mark
                )
        if event.type != "subscriber.failed":
            self._bench.bus.report(name_of(self.receiver), kind, 1)
        return True

    def _park(self, change: Change, event: Event, kind: str, *, tries: int) -> None:
        mark = {"name": self.cursor.name, "seq": event.seq}
        change.tx.run("parked.insert", error=kind, tries=tries, now=change.now, **mark)
        if event.type not in ("subscriber.failed", "subscriber.parked"):  # an alarm about alarms never ends
            data = {"subscriber": self.cursor.name, "seq": event.seq, "tries": tries}
            change.writer.append("subscriber.parked", reason=kind, data=data)

    def _replay_one(self) -> bool:
        """Try a parked event once more, where that was asked for."""
        name = self.cursor.name
        rows = self._bench.store.read("parked.due", name=name)
        if not rows or self.cursor.lease() is None:
            return False
        events = self._bench.log.read(after=rows[0][0] - 1, limit=1)
        error = self._call(events[0])
        with self._bench.change(durable=False) as change:
            if error is None:
                change.tx.run("parked.delete", name=name, seq=events[0].seq)
            else:
                self._park(change, events[0], type(error).__name__, tries=1)
        return True
