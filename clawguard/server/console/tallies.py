"""What charts show, reckoned from the log and kept: a minute of a workspace is a few numbers."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any

from clawguard.clock import SECOND, to_microseconds
from clawguard.errors import EventsArchived
from clawguard.events.audit import AuditLog
from clawguard.events.event import Event

__all__ = ["Tallies"]

MINUTE = 60 * SECOND
_MINUTES = 24 * 60
_PAGE = 1_000
_PAGES = 50  # that one question reads at most; the next goes on from there
_WORKSPACES = 16
_TYPES = ("session.created", "session.expired", "guard.denied")


class _Tally:
    """Hold the minutes of one workspace, and up to where the log was read for it."""

    def __init__(self) -> None:
        self.position = 0
        self.minutes: dict[int, Counter[str]] = {}

    def sum(self, at: int, step: int) -> Counter[str]:
        """Return what some minutes count together."""
        found = (self.minutes.get(each, Counter[str]()) for each in range(at, at + step))
        return sum(found, Counter[str]())


class Tallies:
    """Count what happens in a workspace by the minute, over a day; what was read is not read again."""

    def __init__(self, log: AuditLog, *, now: Callable[[], int]) -> None:
        self._log = log
        self._now = now
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Tally] = OrderedDict()

    def read(self, workspace_id: str, *, minutes: int, step: int) -> list[tuple[int, Counter[str]]]:
        """Return `minutes` up to now, in steps of so many: when each begins (seconds), what it counts."""
        with self._lock:
            tally = self._tally(workspace_id)
            self._catch_up(tally, workspace_id)
            last = self._now() // MINUTE
            begin = (last - minutes) // step * step + step
            return [(at * 60, tally.sum(at, step)) for at in range(begin, last + 1, step)]

    def _tally(self, workspace_id: str) -> _Tally:
        tally = self._kept.pop(workspace_id, None)
        if tally is None:
            tally = _Tally()
            tally.position = self._before(self._now() - _MINUTES * MINUTE)
        self._kept[workspace_id] = tally
        if len(self._kept) > _WORKSPACES:
            self._kept.popitem(last=False)
        return tally

    def _catch_up(self, tally: _Tally, workspace_id: str) -> None:
        head = self._log.last()[0]
        for _ in range(_PAGES):
            found = self._page(tally, workspace_id)
            for event in found:
                minute = tally.minutes.setdefault(to_microseconds(event.at) // MINUTE, Counter())
                minute.update(_counted(event))
            if len(found) < _PAGE:
                tally.position = max(head, found[-1].seq if found else 0)
                break
            tally.position = found[-1].seq
        oldest = self._now() // MINUTE - _MINUTES
        tally.minutes = {at: counts for at, counts in tally.minutes.items() if at >= oldest}

    def _page(self, tally: _Tally, workspace_id: str) -> list[Event]:
        wanted: dict[str, Any] = {"types": _TYPES, "workspace_id": workspace_id, "limit": _PAGE}
        try:
            return self._log.read(after=tally.position, **wanted)
        except EventsArchived as gone:
            return self._log.read(after=gone.until, **wanted)

    def _before(self, moment: int) -> int:
        """Return the number of the last event before a moment: times in the log never fall."""
        low, high = self._log.archived, self._log.last()[0]
        while low < high:
            middle = (low + high) // 2
            found = self._log.read(after=middle, limit=1)
            if found and to_microseconds(found[0].at) < moment:
                low = middle + 1
            else:
                high = middle
        return low


def _counted(event: Event) -> dict[str, int]:
    if event.type == "session.created":
        return {"created": 1}
    if event.type == "session.expired":
        return {f"ended:{event.cause}": 1}
    return {"denied": int(event.data.get("count", 1))}
