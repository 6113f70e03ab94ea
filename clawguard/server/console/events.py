"""The page of the log: its newest events, and those that come."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from clawguard.events.audit import AuditLog
from clawguard.events.types import EVENT_TYPES
from clawguard.server.answers import EventAnswer
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.console.sheets import Shown
from clawguard.server.events import read_events
from clawguard.server.models import EventFilters
from clawguard.server.state import State

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/events")

_SHOWN = 100
_BACK = 1_000  # so far back the log is looked through at first, and so many come at once
Reader = Annotated[Caller, may("clawguard:events:read")]
Filters = Annotated[EventFilters, Query()]


@router.get("")
async def show_log(sheet: Shown, filters: Filters, state: Held, caller: Reader) -> Response:
    """Return the page of the log, with its newest events."""
    events, after = await _behind(filters, None, state, caller)
    kinds = sorted({f"{each.partition('.')[0]}.*" for each in EVENT_TYPES} | set(EVENT_TYPES))
    return sheet.page("events.html", events=events[:_SHOWN], after=after, filters=filters, kinds=kinds)


@router.get("/rows")
async def show_news(sheet: Shown, filters: Filters, state: Held, caller: Reader) -> Response:
    """Return the events after a number, the newest first; 204 where there is nothing behind it."""
    events, after = await _behind(filters, filters.after, state, caller)
    if after <= filters.after:
        return Response(status_code=204)
    return sheet.page("event_news.html", events=events, after=after, filters=filters)


async def _behind(
    filters: EventFilters, after: int | None, state: State, caller: Caller
) -> tuple[list[EventAnswer], int]:
    """Return the events behind a number, the newest first, and up to where the log has been looked through.

    Without a number, those at its end.
    """
    archived, head = await asyncio.to_thread(_bounds, state.manager.events)
    begin = max(archived, head - _BACK if after is None else after)
    found = await read_events(filters.model_copy(update={"after": begin, "limit": _BACK}), state, caller)
    last = found.items[-1].seq if found.items else 0
    return found.items[::-1], last if found.next_after is not None else max(head, last)


def _bounds(log: AuditLog) -> tuple[int, int]:
    return log.archived, log.last()[0]
