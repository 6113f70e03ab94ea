"""Cursors: how far a named subscriber has come in the log, and who is at work on what comes next.

An event counts as taken when the cursor has been moved past it. What was given out before that, and lost with
its process, is given out again: at least once, in order, known by its id.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

from clawguard.clock import SECOND, Clock
from clawguard.errors import InvalidArgument, StoreBusy, StoreUnavailable
from clawguard.events.audit import AuditLog
from clawguard.events.event import Event
from clawguard.events.log import LogWriter, check_page
from clawguard.events.signals import EventBus
from clawguard.store import Store, Transaction

__all__ = ["Bench", "Change", "Changes", "Cursor", "Lease", "Standing"]

_CATCH_UP_EVERY = 60 * SECOND
_FAR_AHEAD = 1_000
_FIRST_WAIT, _LONGEST_WAIT = SECOND // 10, 30 * SECOND  # between tries of one event
_LONGEST_OUTAGE = 5 * SECOND  # between tries while nothing can be taken


class Change(Protocol):
    """Be a transaction that can append events."""

    tx: Transaction
    writer: LogWriter
    now: int


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

    incarnation: str
    pattern: str
    position: int
    owner: str | None
    lease_until: int
    leased_for: int
    next_try_at: int

    def is_free_for(self, owner: str, *, now: int) -> bool:
        """Tell whether nobody else is at work on what comes next."""
        ahead = self.lease_until - now
        return self.owner in (None, owner) or not 0 < ahead <= self.leased_for

    def waits(self, now: int) -> int:
        """Return how long (microseconds) the next event may not be tried yet; a clock may have been ahead."""
        wait = self.next_try_at - now
        return wait if 0 < wait <= _LONGEST_WAIT else 0


class Lease(NamedTuple):
    """Hold where a subscriber stands, how often its next event was tried, and ended who was at work on it."""

    position: int
    tries: int
    lapses: int


class Cursor:
    """Poll a subscriber's events by hand: `take` some, deal with them, then `move` past them.

    One process of many is at work on a name at a time; another may be when it has not called for a `lease`.
    """

    def __init__(
        self, name: str, types: str, *, incarnation: str, owner: str, lease: int, bench: Bench
    ) -> None:
        self.name = name
        self.types = types
        self.incarnation = incarnation
        self.lease_length = lease
        self.leased_until = 0
        self._owner = owner
        self._bench = bench
        self._store, self._log, self._change, self._clock = bench.store, bench.log, bench.change, bench.clock
        self._scanned = (0, 0)  # nothing for this subscriber stands between these two
        self._next_catch_up = 0

    def __repr__(self) -> str:
        return f"Cursor({self.name!r})"

    @property
    def owner(self) -> str:
        """Who works here: another in a forked child."""
        return f"{self._owner}:{os.getpid()}"

    def anew(self) -> Cursor:
        """Return another cursor of the same subscriber, with nothing leased yet."""
        return Cursor(
            self.name,
            self.types,
            incarnation=self.incarnation,
            owner=self._owner,
            lease=self.lease_length,
            bench=self._bench,
        )

    def take(self, limit: int = 100) -> list[Event]:
        """Return the next events, at most `limit` (1 to 1,000); they come again until `move`.

        Raises StoreBusy while another process is at work on this name.
        """
        check_page(after=0, limit=limit)
        standing = self.standing()
        if not standing.is_free_for(self.owner, now=self._clock.now()):
            raise self._busy()
        events = self.read(standing.position, limit=limit)
        if not events:
            self.catch_up(standing.position)
            return []
        lease = self.lease()
        if lease is None or lease.position != standing.position:
            raise self._busy()
        return events

    def move(self, event: Event) -> None:
        """Say that everything up to an event has been dealt with; further back than that changes nothing.

        Raises StoreBusy where another process is at work on this name by now: it is given the same events.
        """
        if not isinstance(event, Event):
            raise InvalidArgument("event", "must be an Event", hint="the last one that was dealt with")
        if not 0 < event.seq <= self._log.last()[0]:
            raise InvalidArgument("event", "is not in this log")
        standing = self.standing()
        if not standing.is_free_for(self.owner, now=self._clock.now()):
            raise self._busy()
        if event.seq > standing.position and not self.advance(standing.position, event.seq, keep=True):
            raise self._busy()

    def release(self) -> None:
        """Let another process work on this name at once."""
        self.leased_until = 0
        with self._change(durable=False) as change:
            change.tx.run("cursor.release", **self._mark())

    def standing(self) -> Standing:
        """Return how the subscriber stands; InvalidArgument where it was removed."""
        found = self.find()
        if found is None:
            raise InvalidArgument("name", f"the subscriber {self.name!r} was removed", hint="make it anew")
        return found

    def find(self) -> Standing | None:
        """Return how the subscriber stands, or None where it was removed, be it to be made anew."""
        rows = self._store.read("cursor.get", name=self.name)
        return Standing(*rows[0]) if rows and rows[0][0] == self.incarnation else None

    def lease(self) -> Lease | None:
        """Begin to work, or go on; None where another is at it."""
        with self._change(durable=False) as change:
            until = change.now + self.lease_length
            given = {"now": change.now, "until": until, "length": self.lease_length}
            rows = change.tx.run("cursor.lease", **given, **self._mark())
        self.leased_until = until if rows else 0
        return Lease(*rows[0]) if rows else None

    def read(self, position: int, *, limit: int) -> list[Event]:
        """Return the events behind a position that this subscriber is for."""
        head = self._log.last()[0]  # before the page, so that nothing which comes meanwhile is passed over
        learnt_at, scanned = self._scanned
        after = scanned if learnt_at == position else position
        events = self._page(after, limit=limit)
        if not events:
            self._scanned = (position, max(after, head))
        return events

    def _page(self, after: int, *, limit: int) -> list[Event]:
        patterns = None if self.types == "*" else [self.types]
        try:
            return self._log.page(patterns, after=after, limit=limit)
        except StoreUnavailable:
            return self._log.page(patterns, after=after, limit=1)  # what stands before an unreadable entry

    def catch_up(self, position: int) -> bool:
        """Move past what is not for this subscriber, once in a while: else no archive could pass it."""
        learnt_at, scanned = self._scanned
        now = self._clock.now()
        is_far = scanned - position >= _FAR_AHEAD or now >= self._next_catch_up
        if learnt_at != position or scanned <= position or not is_far:
            return False
        self._next_catch_up = now + _CATCH_UP_EVERY
        return self.advance(position, scanned)

    def advance(self, before: int, position: int, *, keep: bool = False) -> bool:
        """Move from one position to another, and give the lease back unless asked to `keep` it.

        False where the position is another by now.
        """
        with self._change(durable=False) as change:
            return self.advance_in(change, before, position, keep=keep)

    def advance_in(self, change: Change, before: int, position: int, *, keep: bool = False) -> bool:
        """Move in a transaction that is under way."""
        until = change.now + self.lease_length if keep else 0
        given = {"before": before, "position": position, "until": until}
        moved = bool(change.tx.run("cursor.move", **given, **self._mark()))
        self.leased_until = until if moved else 0
        return moved

    def fail_in(self, change: Change, position: int) -> int | None:
        """Note that the event behind a position was not taken; return its tries, None where it moved on."""
        self.leased_until = 0
        given = {"now": change.now, "position": position, "shortest": _FIRST_WAIT, "longest": _LONGEST_WAIT}
        rows = change.tx.run("cursor.fail", **given, **self._mark())
        return rows[0][0] if rows else None

    def wait_in(self, change: Change, position: int, *, outages: int) -> None:
        """Have nothing tried for a while, the longer the more often nothing could be taken."""
        self.leased_until = 0
        until = change.now + min(_LONGEST_OUTAGE, _FIRST_WAIT << min(outages, 20))
        change.tx.run("cursor.wait", until=until, position=position, **self._mark())

    def _mark(self) -> dict[str, Any]:
        return {"name": self.name, "incarnation": self.incarnation, "owner": self.owner}

    def _busy(self) -> StoreBusy:
        return StoreBusy(
            f"another process is at work on {self.name!r}", hint="call again when it has stopped"
        )
