"""The context cache: it saves parsing and the signature, never the decision.

It is keyed by the SHA-256 of the token, bounded, and fires no events: cachetools drops expired and
overflowing entries silently, so natural expiry comes from the table.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping

from cachetools import TTLCache

from clawguard.clock import SECOND, Clock
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


class ContextCache:
    """Keep contexts by token digest, at most `capacity`, each for at most an hour."""

    def __init__(self, *, capacity: int, clock: Clock) -> None:
        self._capacity = capacity
        self._clock = clock
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._entries: TTLCache[bytes, CacheEntry] = TTLCache(
            self._capacity, _LONGEST, timer=self._clock.elapsed
        )

    def get(self, digest: bytes) -> CacheEntry | None:
        """Return the entry of a token, if it is remembered."""
        with self._lock:
            try:
                return self._entries[digest]
            except KeyError:
                return None

    def put(self, digest: bytes, entry: CacheEntry) -> None:
        """Remember an entry, in the place of the one before."""
        with self._lock:
            self._entries.pop(digest, None)
            self._entries[digest] = entry

    def drop(self, digest: bytes) -> None:
        """Forget a token."""
        with self._lock:
            self._entries.pop(digest, None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def after_fork(self) -> None:
        """Begin empty in a forked child: the parent may have held the lock."""
        self._begin_anew()
