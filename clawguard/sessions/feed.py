"""Bounded staleness: what others change is heard of from the log, and memory is trusted for a bound at most.

The clock is read before the log is: a read that began at an instant saw all that was acknowledged before it.
So an answer from memory is no older than the bound, whatever becomes of networks, pauses and other clocks.
"""

from __future__ import annotations

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
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._position = 0
        self._revision = -1
        self._lease_until = 0
        self._changed: dict[str, int] = {}  # by session, the last event that named it
        self._forgotten = 0  # all up to this event may have named any session

    @property
    def poll_every(self) -> float:
        """How often the log is to be read, in seconds: a third of the bound."""
        return self._bound / 3 / SECOND

    @property
    def position(self) -> int:
        """The last event heard of; to be read before the row that a context is made of."""
        return self._position

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
        revision, last = self._store.read("feed.head")[0]
        if last < self._position:
            raise StoreUnavailable("the log is shorter than it was", hint="open the store again")
        if self._revision < 0:
            self._skip(last)
        while self._position < last:
            rows = self._store.read("feed.page", after=self._position, limit=_PAGE)
            if not rows or rows[0][0] != self._position + 1:  # archived meanwhile: who was named is not known
                self._skip(last)
                break
            self._note(rows)
            self._position = rows[-1][0]
        self._revision = revision
        self._lease_until = began + self._bound

    def heard(self, written: Sequence[Entry]) -> None:
        """Hear what this process committed, at once."""
        self._note([(entry.seq, entry.body.get("session_id")) for entry in written])
        if any(entry.body.get("session_id") is None for entry in written):
            self._lease_until = 0  # keys, policy: the next look at the log tells

    def freshness(self) -> Freshness:
        """Return how things stand."""
        left = max(0, self._lease_until - self._clock.elapsed())
        return Freshness(self._bound / SECOND, left / SECOND, self._position)

    def after_fork(self) -> None:
        """Begin anew in a forked child, without a lease: its own thread takes one."""
        self._begin_anew()

    def _note(self, rows: Sequence[tuple[int, str | None]]) -> None:
        with self._lock:
            for seq, session_id in rows:
                if session_id is not None:
                    self._changed[session_id] = max(seq, self._changed.get(session_id, 0))
        if len(self._changed) > _MOST_CHANGED:
            self._forget(rows[-1][0])

    def _skip(self, until: int) -> None:
        """Go on behind an event without knowing whom those up to it name."""
        self._forget(until)
        self._position = until

    def _forget(self, until: int) -> None:
        """Vouch no more for what is older than an event, and remember anew."""
        with self._lock:
            self._forgotten = max(until, self._forgotten)
            self._changed = {}
