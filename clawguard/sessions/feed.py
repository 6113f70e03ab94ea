"""Bounded staleness: what others change is heard of from the log, and memory is trusted for a bound at most.

The clock is read before the log is: a read that began at an instant saw all that was acknowledged before it.
So an answer from memory is no older than the bound, whatever becomes of networks, pauses and other clocks.

What waits for its place in the log is heard of too, and again when it has it: that costs a look at the row.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from typing import NamedTuple

from clawguard.clock import SECOND, Clock
from clawguard.errors import StoreUnavailable
from clawguard.events.entries import Entry
from clawguard.forks import call_around_fork
from clawguard.sessions.cache import CacheEntry
from clawguard.store import Store

__all__ = ["LEAST_BOUND", "Feed", "Freshness"]

LEAST_BOUND = SECOND // 4
_PAGE = 1_000
_MOST_CHANGED = 65_536


class Freshness(NamedTuple):
    """Tell how old an answer from memory may be (`bound`) and for how long one may still be given (`lease`).

    Both in seconds; without a lease every validate reads the row. `position` is the last event heard of.
    """

    bound: float
    lease: float
    position: int


class Feed:
    """Know which contexts may be answered from memory: those whose sessions the log does not name since.

    Every event that names a session counts, whatever it says; the revision stands for keys and policy.
    """

    def __init__(self, store: Store, clock: Clock, *, bound: int) -> None:
        self._store = store
        self._clock = clock
        self._bound = bound
        self._count = 0  # of what was noted so far; a forked child goes on from there, as its cache does
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._position = 0
        self._source = self._store.feed_source
        self._revision = -1
        self._lease_until = 0
        self._unlinked: frozenset[int] = frozenset()  # what waited for its place and was noted
        self._changed: dict[str, int] = {}  # by session, when it was last noted
        self._forgotten = 0  # what was noted before may have named any session

    @property
    def bound(self) -> float:
        """How old an answer from memory may be, in seconds."""
        return self._bound / SECOND

    @property
    def poll_every(self) -> float:
        """How often the log is to be read, in seconds: a third of the bound."""
        return self._bound / 3 / SECOND

    @property
    def position(self) -> int:
        """How much has been noted; to be read before the row that a context is made of."""
        return self._count

    def vouches_for(self, entry: CacheEntry) -> bool:
        """Tell whether a context may be answered from memory: nothing said otherwise by the bound ago."""
        until = self._lease_until  # before all else, for what was noted by then is what it vouches for
        since = entry.position
        return (
            since >= self._forgotten
            and self._changed.get(entry.context.session_id, 0) <= since
            and entry.revision == self._revision
            and self._clock.elapsed() < until
        )

    def follow(self) -> None:
        """Hear what the log tells by now; memory is good for the bound from when this began."""
        began = self._clock.elapsed()
        revision, last, told = self._store.read("feed.head")[0]
        unlinked: dict[int, str | None] = dict(json.loads(told))
        if self._source != self._store.feed_source:
            self._begin_elsewhere(last)
        elif last < self._position:
            raise StoreUnavailable("the log is shorter than it was", hint="open the store again")
        if self._revision < 0:
            self._skip(last)
        self._note([session_id for number, session_id in unlinked.items() if number not in self._unlinked])
        while self._position < last:
            rows = self._store.read("feed.page", after=self._position, limit=_PAGE)
            if not rows or rows[0][0] != self._position + 1:  # archived meanwhile: who was named is not known
                self._skip(last)
                break
            self._note([session_id for _, session_id in rows])
            self._position = rows[-1][0]
        self._unlinked = frozenset(unlinked)
        self._revision = revision
        self._lease_until = began + self._bound

    def heard(self, written: Sequence[Entry]) -> None:
        """Hear what this process committed, at once."""
        self._note([entry.body.get("session_id") for entry in written])
        if any(entry.body.get("session_id") is None for entry in written):
            self._lease_until = 0  # keys, policy: the next look at the log tells

    def freshness(self) -> Freshness:
        """Return how things stand."""
        left = max(0, self._lease_until - self._clock.elapsed())
        return Freshness(self._bound / SECOND, left / SECOND, self._position)

    def after_fork(self) -> None:
        """Begin anew in a forked child, without a lease: its own thread takes one."""
        self._begin_anew()

    def _begin_elsewhere(self, last: int) -> None:
        """Go on with a log that another server may keep by now: of the one before nothing is vouched for."""
        self._source = self._store.feed_source
        self._unlinked = frozenset()
        self._skip(last)

    def _note(self, session_ids: Sequence[str | None]) -> None:
        with self._lock:
            self._count += 1
            for session_id in session_ids:
                if session_id is not None:
                    self._changed[session_id] = self._count
        if len(self._changed) > _MOST_CHANGED:
            self._forget()

    def _skip(self, until: int) -> None:
        """Go on behind an event without knowing whom those up to it name."""
        self._forget()
        self._position = until

    def _forget(self) -> None:
        """Vouch no more for what was read by now, and remember anew."""
        with self._lock:
            self._count += 1
            self._forgotten = self._count
            self._changed = {}
