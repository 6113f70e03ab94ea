"""The search's index: written behind the entries, in batches, and made anew from them."""

from __future__ import annotations

from collections.abc import Callable

from clawguard.clock import SECOND
from clawguard.history.words import words_of
from clawguard.sessions.change import Change
from clawguard.sessions.parts import Parts

__all__ = ["Indexing"]

_BATCH = 500
_HOLD = SECOND // 50  # what one batch may take of the write lock, before its commit
_NEWEST = 2**63 - 1
_MERGED_PAGES = 200


class Indexing:
    """Keep the index of entries by their words: an append does not wait for it, a search does."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def catch_up(self) -> None:
        """Index what was appended and not indexed yet, up to what is there now."""
        [(until, newest)] = self._parts.store.read("words.behind")
        while until < newest:
            with self._parts.change(durable=False) as change:
                [(until, present)] = change.tx.run("words.behind")
                newest = min(newest, present)  # what is removed meanwhile is not waited for
                if until < newest:
                    until, _ = self._index(change, after=until)
                    change.tx.run("words.reach", until=until)

    def compact(self, *, progress: Callable[[int], None] | None) -> int:
        """Make the index anew and merge it; return how many entries it went through."""
        until, newest, total = 0, 1, 0
        while until < newest:
            with self._parts.change(durable=False) as change:
                [(_, newest)] = change.tx.run("words.behind")
                until, count = self._index(change, after=until)
                if until >= newest:
                    change.tx.run("words.delete_stretch", after=until, until=_NEWEST)
            total += count
            if progress is not None:
                progress(total)
        pages = -_MERGED_PAGES  # below zero: from now on, what is merged is everything
        while self._merge(pages):
            pages = _MERGED_PAGES
        return total

    def _index(self, change: Change, *, after: int) -> tuple[int, int]:
        """Index the entries after one, as many as the lock may be held for; return the last and how many."""
        clock = self._parts.clock
        end, count = clock.elapsed() + _HOLD, 0
        for entry_id, *columns in change.tx.run("entry.stretch", after=after, limit=_BATCH):
            change.tx.run("words.delete_stretch", after=after, until=entry_id)
            found = words_of(*columns)
            if found is not None:
                change.tx.run("words.insert", id=entry_id, words=found[0], tools=found[1])
            after, count = entry_id, count + 1
            if clock.elapsed() >= end:
                break
        return after, count

    def _merge(self, pages: int) -> bool:
        """Merge some pages of the index; False where there was nothing left to merge."""
        with self._parts.change(durable=False) as change:
            before = change.tx.run("words.written")[0][0]
            change.tx.run("words.merge", pages=pages)
            return bool(change.tx.run("words.written")[0][0] - before >= 2)
