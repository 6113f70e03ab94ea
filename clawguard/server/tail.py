"""The end of the log, read once for all who follow it: a thousand streams are one query, not a thousand."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from clawguard.errors import EventsArchived
from clawguard.events.audit import AuditLog
from clawguard.events.event import Event

__all__ = ["Tail"]

_logger = logging.getLogger("clawguard.server")

_KEPT = 500
_PAGE = 1_000
_AT_ONCE = 4  # pages that are read for those who lag, in threads that others need too
_POLL = 0.1
_REST = 1.0  # after a store that did not answer


class Tail:
    """Keep the latest events for the streams of one event loop; it reads while anybody follows.

    A stream holds a position and no queue: one that is slow, or begins further back, reads pages of its own.
    """

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._kept: deque[Event] = deque(maxlen=_KEPT)
        self._position = 0
        self._news = asyncio.Event()
        self._followers = 0
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._reader: asyncio.Task[None] | None = None
        self._probing: asyncio.Task[int] | None = None
        self.stopped = False

    @property
    def followers(self) -> int:
        """How many follow."""
        return self._followers

    def stop(self) -> None:
        """End every stream; for good."""
        self.stopped = True
        self._news.set()

    async def probe(self) -> None:
        """Return when the log has answered, or raise what it raises; once for all who ask at one time.

        What it asks never writes: a log that cannot be written to just now can be read.
        """
        if self._probing is None or self._probing.done():
            self._probing = asyncio.create_task(asyncio.to_thread(getattr, self._log, "archived"))
        await asyncio.shield(self._probing)

    @asynccontextmanager
    async def following(self) -> AsyncIterator[int]:
        """Have the log read for the length of a block; give the number of its last event."""
        if self._reader is None:
            last, _ = await asyncio.to_thread(self._log.last)
            if self._reader is None:  # nobody else has begun meanwhile
                self._begin(last)
        self._followers += 1
        try:
            yield self._position
        finally:
            self._followers -= 1
            if not self._followers and self._reader is not None:
                self._reader.cancel()
                self._reader = None

    def _begin(self, last: int) -> None:
        self._kept.clear()
        self._position = last
        self._news = asyncio.Event()
        self._reader = asyncio.create_task(self._read_on())

    async def after(
        self, position: int, read: Callable[[int, int], list[Event]], fits: Callable[[Event], bool]
    ) -> tuple[Sequence[Event], int]:
        """Return what came after a position and fits, and the position behind it.

        `read(after, limit)` finds in the log what fits, where that is no longer kept here.
        """
        head = self._position
        if position >= head:
            return (), position
        first = self._kept[0].seq if self._kept else head + 1
        if position + 1 >= first:
            fresh = [event for event in self._kept if event.seq > position and fits(event)]
            return fresh, head
        async with self._turn:
            found = await asyncio.to_thread(read, position, _PAGE)
        last = found[-1].seq if found else position
        return found, last if len(found) == _PAGE else max(last, head)

    async def wait(self, position: int, seconds: float) -> bool:
        """Wait for something after a position; False when nothing came in so many seconds."""
        news = self._news
        if self.stopped or self._position > position:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), seconds)
        return self.stopped or self._position > position

    async def _read_on(self) -> None:
        while not self.stopped:
            try:
                fresh = await asyncio.to_thread(self._fetch, self._position)
            except Exception as error:  # whatever it was, others follow what this reads
                _logger.error("the log cannot be followed at the moment: %s", type(error).__name__)
                await asyncio.sleep(_REST)
                continue
            if fresh:
                self._kept.extend(fresh)
                self._position = fresh[-1].seq
                self._news.set()
                self._news = asyncio.Event()
            else:
                await asyncio.sleep(_POLL)

    def _fetch(self, position: int) -> list[Event]:
        try:
            return self._log.read(after=position, limit=_PAGE) if self._log.last()[0] > position else []
        except EventsArchived as gone:
            return self._log.read(after=gone.until, limit=_PAGE)
