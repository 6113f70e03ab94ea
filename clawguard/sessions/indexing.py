"""The search's index: written behind the entries, in batches, and made anew from them."""

from __future__ import annotations

from collections.abc import Callable

from clawguard.errors import OutcomeUnknown, SearchUnavailable, StoreBusy, StoreUnavailable, StoreUpgraded
from clawguard.history.content_keys import PLAINTEXT
from clawguard.history.records import IndexCheck
from clawguard.history.words import words_of
from clawguard.sessions.change import Change
from clawguard.sessions.parts import Parts
from clawguard.store import Row

__all__ = ["Indexing"]

_BATCH = 500
_MOST_TEXT = 262_144  # characters that are indexed in one hold of the write lock
_NEWEST = 2**63 - 1
_MERGED_PAGES = 200


class Indexing:
    """Keep the index of entries by their words: an append does not wait for it, a search does."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._limit = _BATCH

    def catch_up(self) -> None:
        """Index what was appended and not indexed yet, up to what is there now."""
        [(until, newest)] = self._parts.store.read("words.behind")
        if until < newest and self._parts.contents.current().active != PLAINTEXT:
            return
        while until < newest:
            with self._parts.change(durable=False) as change:
                [(until, present)] = change.tx.run("words.behind")
                newest = min(newest, present)  # what is removed meanwhile is not waited for
                if until < newest:
                    until, _ = self._index(change, after=until)
                    change.tx.run("words.reach", until=until)

    def compact(self, *, progress: Callable[[int], None] | None) -> int:
        """Make the index anew and merge it; return how many entries it went through."""
        self._check_fts()
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
        self._merge_all()
        return total

    def empty(self) -> None:
        """Leave nothing in the index, nor in its pages: all entries are sealed by now."""
        with self._parts.change(durable=False) as change:
            change.tx.run("words.delete_stretch", after=0, until=_NEWEST)
        self._merge_all()

    def check(self) -> IndexCheck:
        """Compare the index with the entries: see `History.check_index`."""
        self._check_fts()
        self.catch_up()
        is_whole = True
        try:
            with self._parts.change(durable=False) as change:
                change.tx.run("words.check")
        except (StoreBusy, StoreUpgraded, OutcomeUnknown):
            raise
        except StoreUnavailable:
            is_whole = False
        is_plain = self._parts.contents.current().active == PLAINTEXT
        missing, stray = self._parts.store.read("words.compare", is_plain=is_plain)[0]
        return IndexCheck(is_whole, missing, stray)

    def check_searchable(self) -> None:
        """Raise SearchUnavailable where there is no index to search."""
        if self._parts.contents.current().active != PLAINTEXT:
            raise SearchUnavailable(
                "conversations are encrypted here, and there is no index of their words",
                hint="load() a conversation and look in it",
            )
        self._check_fts()

    def _check_fts(self) -> None:
        if not self._parts.store.read("words.available"):
            raise SearchUnavailable("this SQLite was built without FTS5", hint="use one that has it")

    def _index(self, change: Change, *, after: int) -> tuple[int, int]:
        """Index the entries after one, as many as the lock may be held for; return the last and how many.

        One removal for all of them: the index writes itself out whenever it is read.
        """
        rows = _some_of(change.tx.run("entry.stretch", after=after, limit=self._limit))
        if not rows:
            return after, 0
        keys = self._parts.contents.under(change.tx, change.writer.revision)
        self._limit = min(_BATCH, 2 * len(rows))  # what is read of long entries and not taken is read again
        until = int(rows[-1][0])
        change.tx.run("words.delete_stretch", after=after, until=until)
        for entry_id, *columns in rows:
            found = words_of(*columns)
            if found is not None and keys.active == PLAINTEXT:
                change.tx.run("words.insert", id=entry_id, words=found[0], tools=found[1])
        return until, len(rows)

    def _merge_all(self) -> None:
        pages = -_MERGED_PAGES  # below zero: from now on, what is merged is everything
        while self._merge(pages):
            pages = _MERGED_PAGES

    def _merge(self, pages: int) -> bool:
        """Merge some pages of the index; False where there was nothing left to merge."""
        with self._parts.change(durable=False) as change:
            before = change.tx.run("words.written")[0][0]
            change.tx.run("words.merge", pages=pages)
            return bool(change.tx.run("words.written")[0][0] - before >= 2)


def _some_of(rows: list[Row]) -> list[Row]:
    """Return the first rows, as many as can be indexed without keeping other writers waiting for long."""
    room = _MOST_TEXT
    for place, (_, _, content, data, _) in enumerate(rows, 1):
        room -= len(content) + len(data or "")
        if room < 0:
            return rows[:place]
    return rows
