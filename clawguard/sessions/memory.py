"""What is remembered of a token, as long as it stands: held against the row, or within a bound the feed."""

from __future__ import annotations

from typing import Literal

from clawguard.errors import InvalidArgument
from clawguard.sessions.cache import CacheEntry, ContextCache
from clawguard.sessions.feed import Feed
from clawguard.store import Store

__all__ = ["Consistency", "Memory"]

Consistency = Literal["bounded", "linearizable"]


class Memory:
    """Find the context of a token that was seen before, if its session is what it was."""

    def __init__(self, store: Store, cache: ContextCache, feed: Feed | None) -> None:
        self._store = store
        self._cache = cache
        self._feed = feed

    @property
    def position(self) -> int:
        """The event up to which the log is known; to be read before the row of what is then remembered."""
        return 0 if self._feed is None else self._feed.position

    def find(self, digest: bytes, *, audience: str, now: int, consistency: Consistency) -> CacheEntry | None:
        """Return what a token means, or None where that has to be found out anew."""
        if consistency not in ("bounded", "linearizable"):
            raise InvalidArgument("consistency", "must be 'bounded' or 'linearizable'")
        entry = self._cache.get(digest)
        if entry is None or entry.context.audience != audience or now >= entry.ends_at:
            return None
        if self._is_vouched_for(entry, now=now, consistency=consistency):
            return entry
        return entry if self._is_what_the_row_says(entry, now=now) else None

    def _is_vouched_for(self, entry: CacheEntry, *, now: int, consistency: Consistency) -> bool:
        if self._feed is None or consistency == "linearizable" or now >= entry.due_at:
            return False
        is_written_down = entry.is_counted or entry.cnf is not None  # then the row is near at hand
        return not is_written_down and self._feed.vouches_for(entry)

    def _is_what_the_row_says(self, entry: CacheEntry, *, now: int) -> bool:
        position = self.position
        rows = self._store.read("validate.pulse", id=entry.context.session_id)
        if not rows:
            return False
        version, due_at, revision = rows[0]
        if version != entry.version or revision != entry.revision or now >= due_at:
            return False
        entry.position, entry.due_at = position, due_at
        return True
