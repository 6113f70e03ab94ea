"""Cursors: how far a named subscriber has come in the log, moved by whoever holds its lease.

An event counts as taken when the cursor has been moved past it. What was given out before that, and lost with
its process, is given out again: at least once, in order, known by its id.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from clawguard.clock import SECOND, Clock
from clawguard.errors import InvalidArgument, StoreBusy
from clawguard.events.audit import AuditLog
from clawguard.events.event import Event
from clawguard.events.log import LogWriter
from clawguard.events.signals import EventBus
from clawguard.store import Store, Transaction

__all__ = ["Bench", "Change", "Changes", "Cursor", "Lease", "Standing"]


class Change(Protocol):
    """Be a transaction that can append events."""

    tx: Transaction
    writer: LogWriter
    now: int


_CATCH_UP_EVERY = 60 * SECOND
_FAR_AHEAD = 1_000

Changes = Callable[..., AbstractContextManager[Change]]


class Bench(NamedTuple):
    """Hold what cursors and those who serve them work with."""

    store: Store
    log: AuditLog
    bus: EventBus
    change: Changes
    clock: Clock


class Standing(NamedTuple):
    """Hold the columns of `cursor.get`, in its order."""

    position: int
    owner: str | None
    lease_until: int
    next_try_at: int


class Lease(NamedTuple):
    """Hold the columns of `cursor.lease`, in its order; `tries` are those of the next event."""

    position: int
    tries: int


class Cursor:
    """Poll a subscriber's events by hand: `take` some, deal with them, then `move` past them.

    One process of many serves a name at a time; another may when it has not called for as long as a `lease`.
    """

    def __init__(self, name: str, types: str, *, owner: str, lease: int, bench: Bench) -> None:
        self.name = name
        self.types = types
        self.owner = owner
        self.lease_length = lease
        self.leased_until = 0
        self._store, self._log, self._change, self._clock = bench.store, bench.log, bench.change, bench.clock
        self._scanned = 0
        self._next_catch_up = 0

    def __repr__(self) -> str:
        return f"Cursor({self.name!r})"

    def take(self, limit: int = 100) -> list[Event]:
        """Return the next events, at most `limit` (1 to 1,000); they come again until `move`.

        Raises StoreBusy while another process serves this name.
        """
        lease = self.lease()
        if lease is None:
            raise StoreBusy(f"another process serves {self.name!r}", hint="call again when it has stopped")
        events = self.read(lease.position, limit=limit)
        if not events:
            self.catch_up(lease.position)
        return events

    def move(self, event: Event) -> None:
        """Say that everything up to an event has been dealt with; further back than that changes nothing.

        Raises StoreBusy where another process serves this name by now: it is given the same events.
        """
        if not isinstance(event, Event):
            raise InvalidArgument("event", "must be an Event", hint="the last one that was dealt with")
        before = self.standing().position
        if event.seq > before and not self.advance(before, event.seq):
            raise StoreBusy(f"another process serves {self.name!r} by now", hint="let go of these events")

    def release(self) -> None:
        """Let another process serve this name at once."""
        self.leased_until = 0
        with self._change(durable=False) as change:
            change.tx.run("cursor.release", name=self.name, owner=self.owner)

    def standing(self) -> Standing:
        """Return how the subscriber stands; InvalidArgument where it was removed."""
        found = self.find()
        if found is None:
            raise InvalidArgument("name", f"the subscriber {self.name!r} was removed", hint="make it anew")
        return found

    def find(self) -> Standing | None:
        """Return how the subscriber stands, or None where it was removed."""
        rows = self._store.read("cursor.get", name=self.name)
        return Standing(*rows[0]) if rows else None

    def is_free(self, standing: Standing) -> bool:
        """Tell whether nobody else holds the lease."""
        return standing.owner in (None, self.owner) or standing.lease_until <= self._clock.now()

    def lease(self) -> Lease | None:
        """Take the lease, or hold it longer; None while another has it."""
        if not self.is_free(self.standing()):
            return None
        with self._change(durable=False) as change:
            until = change.now + self.lease_length
            mark = {"name": self.name, "owner": self.owner, "now": change.now}
            rows = change.tx.run("cursor.lease", until=until, **mark)
        self.leased_until = until if rows else 0
        return Lease(*rows[0]) if rows else None

    def read(self, position: int, *, limit: int) -> list[Event]:
        """Return the events behind a position that this subscriber is for."""
        head = self._log.last()[0]  # before the page, so that nothing which comes meanwhile is passed over
        after = max(position, self._scanned)
        events = self._log.read(after=after, types=self.types, limit=limit)
        if not events:
            self._scanned = max(after, head)
        return events

    def catch_up(self, position: int) -> bool:
        """Move past what is not for this subscriber, once in a while: else no archive could pass it."""
        ahead, now = self._scanned - position, self._clock.now()
        if ahead <= 0 or (ahead < _FAR_AHEAD and now < self._next_catch_up):
            return False
        self._next_catch_up = now + _CATCH_UP_EVERY
        lease = self.lease()
        return lease is not None and lease.position == position and self.advance(position, self._scanned)

    def advance(self, before: int, position: int) -> bool:
        """Move from one position to another; False where the lease or the position is another's by now."""
        with self._change(durable=False) as change:
            return self.advance_in(change, before, position)

    def advance_in(self, change: Change, before: int, position: int) -> bool:
        """Move in a transaction that is under way."""
        until = change.now + self.lease_length
        mark = {"name": self.name, "owner": self.owner, "before": before}
        moved = change.tx.run("cursor.move", position=position, until=until, **mark)
        self.leased_until = until if moved else 0
        return bool(moved)
