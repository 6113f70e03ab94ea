"""The context cache: it saves parsing and the signature, never the decision.

It is keyed by the SHA-256 of the token, bounded, and fires no events: cachetools drops expired and
overflowing entries silently, so natural expiry comes from the table. What ended here takes no room any more.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence

from cachetools import TTLCache

from clawguard.clock import SECOND, Clock
from clawguard.events.entries import Entry
from clawguard.forks import call_around_fork
from clawguard.models import SessionContext

__all__ = ["CacheEntry", "ContextCache", "digest_of"]

_LONGEST = 3_600 * SECOND


class CacheEntry:
    """Hold what one token was found to mean, and the version of its row and the revision it was found at.

    `position` is the event up to which the log was known before the row was read, `due_at` when that is due;
    as they are by default, the row is read first.
    `is_counted` says that each use is taken from the row's, `cnf` what the token is bound to.
    """

    __slots__ = (
        "cnf",
        "context",
        "due_at",
        "ends_at",
        "is_counted",
        "next_touch",
        "position",
        "revision",
        "source",
        "touch_every",
        "version",
    )

    def __init__(
        self,
        context: SessionContext,
        *,
        version: int,
        revision: int,
        ends_at: int,
        touch_every: int,
        source: str | None,
        is_counted: bool,
        cnf: Mapping[str, str] | None,
        position: int = 0,
        due_at: int = 0,
    ) -> None:
        self.context = context
        self.version = version
        self.revision = revision
        self.position = position
        self.due_at = due_at
        self.ends_at = ends_at
        self.touch_every = touch_every
        self.next_touch = 0
        self.source = source
        self.is_counted = is_counted
        self.cnf = cnf


def digest_of(token: str) -> bytes:
    """Return what a token is remembered by: the token itself is kept nowhere."""
    return hashlib.sha256(token.encode()).digest()


class _Entries(TTLCache[bytes, CacheEntry]):
    """Keep entries for an hour at most, and by which digest each session's latest one is to be found."""

    def __init__(self, capacity: int, clock: Clock) -> None:
        super().__init__(capacity, _LONGEST, timer=clock.elapsed)
        self._latest: dict[str, bytes] = {}

    def latest(self, session_id: str) -> tuple[bytes, CacheEntry] | None:
        """Return a session's latest entry and its digest."""
        digest = self._latest.get(session_id)
        entry = None if digest is None else self.get(digest)
        return None if digest is None or entry is None else (digest, entry)

    def add(self, digest: bytes, entry: CacheEntry) -> None:
        self[digest] = entry
        self._latest[entry.context.session_id] = digest

    def drop(self, digest: bytes) -> None:
        entry = self.pop(digest, None)
        if entry is not None:
            self._left(digest, entry)

    def expire(self, time: float | None = None) -> list[tuple[bytes, CacheEntry]]:
        gone = list(super().expire(time))
        for each in gone:
            self._left(*each)
        return gone

    def popitem(self) -> tuple[bytes, CacheEntry]:
        gone = super().popitem()
        self._left(*gone)
        return gone

    def _left(self, digest: bytes, entry: CacheEntry) -> None:
        if self._latest.get(entry.context.session_id) == digest:
            del self._latest[entry.context.session_id]


class ContextCache:
    """Keep contexts by token digest, at most `capacity`, each for at most an hour."""

    def __init__(self, *, capacity: int, clock: Clock) -> None:
        self._capacity = capacity
        self._clock = clock
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._entries = _Entries(self._capacity, self._clock)

    def get(self, digest: bytes) -> CacheEntry | None:
        """Return the entry of a token, if it is remembered."""
        with self._lock:
            try:
                return self._entries[digest]
            except KeyError:
                return None

    def put(self, digest: bytes, entry: CacheEntry) -> None:
        """Remember an entry, in the place of the one before and of an older generation's."""
        with self._lock:
            latest = self._entries.latest(entry.context.session_id)
            if latest is not None and latest[1].context.generation < entry.context.generation:
                self._entries.drop(latest[0])
            self._entries.add(digest, entry)

    def drop(self, digest: bytes) -> None:
        """Forget a token."""
        with self._lock:
            self._entries.drop(digest)

    def heard(self, written: Sequence[Entry]) -> None:
        """Hear what a transaction of this process wrote, and forget whose sessions have ended."""
        ended = [entry.body["session_id"] for entry in written if entry.body["type"] == "session.expired"]
        if not ended:
            return  # most transactions end nothing
        with self._lock:
            for session_id in ended:
                latest = self._entries.latest(session_id)
                if latest is not None:
                    self._entries.drop(latest[0])

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def after_fork(self) -> None:
        """Begin empty in a forked child: the parent may have held the lock."""
        self._begin_anew()
