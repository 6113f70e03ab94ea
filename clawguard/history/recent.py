"""The newest entries of conversations, remembered: the store says each time how much of that still stands.

An entry's id never comes again, and below an entry nothing changes: while the newest one known stands where
it stood, so does all before it. So one keyed read finds what came after it, or that it is gone.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from operator import attrgetter
from typing import NamedTuple

from cachetools import LRUCache

from clawguard.forks import call_around_fork
from clawguard.history import transcript
from clawguard.history.content_keys import Contents
from clawguard.history.records import Entry
from clawguard.store import Store

__all__ = ["Recent"]

_MOST_ENTRIES = 256  # of one conversation
_MOST_TEXT = 8_388_608  # characters, of all together
_AN_ENTRY = 512  # what one takes beside its text, roughly


class _Held(NamedTuple):
    """Hold the newest entries of a conversation, the oldest of them first; never none."""

    last_id: int
    entries: tuple[Entry, ...]
    size: int

    @classmethod
    def of(cls, last_id: int, entries: tuple[Entry, ...]) -> _Held:
        kept = entries[-_MOST_ENTRIES:]
        return cls(last_id, kept, sum(_AN_ENTRY + entry.size for entry in kept))

    def reaches(self, limit: int) -> bool:
        return len(self.entries) >= limit or self.entries[0].seq == 1


class Recent:
    """Read the newest entries of a conversation: from the store only those that are not remembered."""

    def __init__(self, store: Store, contents: Contents) -> None:
        self._store = store
        self._contents = contents
        self._begin_anew()
        call_around_fork(self)

    def tail(self, session_id: str, *, limit: int) -> tuple[Entry, ...]:
        """Return the newest `limit` entries, the oldest of them first."""
        with self._lock:
            before = self._held.get(session_id) if limit <= _MOST_ENTRIES else None
        held = self._continued(session_id, before, limit)
        if held is None:
            read = transcript.read(self._store, self._contents, "entry.tail", session_id, limit=limit)
            keys, rows = read
            entries = keys.open(session_id, [row[1:] for row in reversed(rows)])
            if not 0 < len(rows) <= _MOST_ENTRIES:
                return entries
            held = _Held.of(rows[0][0], entries)
        if held is not before:
            with self._lock, suppress(ValueError):  # more text than is remembered of all
                self._held[session_id] = held
        return held.entries[-limit:]

    def after_fork(self) -> None:
        """Begin empty in a forked child: the parent may have held the lock."""
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._lock = threading.Lock()
        self._held: LRUCache[str, _Held] = LRUCache(_MOST_TEXT, getsizeof=attrgetter("size"))

    def _continued(self, session_id: str, held: _Held | None, limit: int) -> _Held | None:
        """Return what is remembered and what came since; None where that is too little, or stands no more."""
        if held is None or not held.reaches(limit):
            return None
        last = held.entries[-1].seq
        given = {"seq": last, "limit": limit + 1}
        keys, rows = transcript.read(self._store, self._contents, "entry.since", session_id, **given)
        if not rows or rows[0][0] != held.last_id or len(rows) > limit:
            return None
        if len(rows) == 1:
            return held
        return _Held.of(rows[-1][0], held.entries + keys.open(session_id, [row[1:] for row in rows[1:]]))
