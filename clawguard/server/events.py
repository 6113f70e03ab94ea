"""The log: pages, and streams that end with the caller's session or the server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from fnmatch import fnmatchcase
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import StreamingResponse

from clawguard.errors import EventsArchived
from clawguard.events.event import Event
from clawguard.server.answers import EventAnswer, EventPage
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.models import EventFilters, StreamFilters
from clawguard.server.problems import answers
from clawguard.server.state import State

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/v1/events", tags=["events"])

_OFTEN = (400, 401, 403, 404, 408, 410, 413, 422, 429, 500, 503)
SCOPE = "clawguard:events:read"
_AT_ONCE = {"X-Accel-Buffering": "no"}  # proxies gather answers otherwise
_TURN = 64  # how many events one stream sends before the others have their turn


@router.get("", responses=answers(*_OFTEN))
async def read_events(
    filters: Annotated[EventFilters, Query()],
    state: Held,
    caller: Annotated[Caller, may(SCOPE)],
) -> EventPage:
    """Return the events of the caller's workspace after a number, in order."""
    given = filters.model_dump(exclude_none=True)
    events = await asyncio.to_thread(state.manager.events.read, workspace_id=caller.workspace_id, **given)
    if not events and filters.session_id is not None:
        await state.manager.sessions.get(filters.session_id, workspace_id=caller.workspace_id)
    more = events[-1].seq if len(events) == filters.limit else None
    items = [EventAnswer.model_validate(each.to_dict()) for each in events]
    return EventPage(items=items, next_after=more)


_EVENT = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
    "required": ["id", "event", "data"],
    "additionalProperties": False,
}
_SSE = {"description": "Server-sent events", "content": {"text/event-stream": {"schema": _EVENT}}}
_LINES = {
    "description": "One event a line, each as the page has it",
    "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
}


async def _streaming(state: Held, caller: Annotated[Caller, may(SCOPE)]) -> AsyncIterator[Caller]:
    """Give who may follow, with a place among the streams until the answer has gone out."""
    with state.loads.stream(caller.workspace_id):
        yield caller


Follower = Annotated[Caller, Depends(_streaming)]


@router.get("/stream", response_class=StreamingResponse, responses={200: _SSE, **answers(*_OFTEN)})
async def stream_events(
    filters: Annotated[StreamFilters, Query()],
    state: Held,
    caller: Follower,
    last_event_id: Annotated[
        str, Header(pattern=r"^[0-9]{0,15}$", description="goes on behind this event")
    ] = "",
) -> StreamingResponse:
    """Follow the log as server-sent events; each has its number as `id`, its type as `event`.

    A client that reconnects sends the last number as `Last-Event-ID` and misses nothing.
    """
    after = int(last_event_id) if last_event_id else filters.after
    stream = await _opened(state, caller, filters, after)
    return StreamingResponse(_written(stream, _as_sse), media_type="text/event-stream", headers=_AT_ONCE)


@router.get("/lines", response_class=StreamingResponse, responses={200: _LINES, **answers(*_OFTEN)})
async def stream_lines(
    filters: Annotated[StreamFilters, Query()],
    state: Held,
    caller: Follower,
) -> StreamingResponse:
    """Follow the log as lines of JSON; an empty line says that nothing has happened."""
    stream = await _opened(state, caller, filters, filters.after)
    return StreamingResponse(_written(stream, _as_line), media_type="application/x-ndjson", headers=_AT_ONCE)


async def _opened(
    state: State, caller: Caller, filters: StreamFilters, after: int | None
) -> AsyncIterator[Event | None]:
    """Check everything that can be refused before the answer begins."""
    narrowed: dict[str, Any] = {"types": filters.types, "session_id": filters.session_id}
    log = state.manager.events

    def read(after: int, limit: int) -> list[Event]:
        return log.read(after=after, limit=limit, workspace_id=caller.workspace_id, **narrowed)

    first = await asyncio.to_thread(_first, read, after)
    if filters.session_id is not None and not first:
        await state.manager.sessions.get(filters.session_id, workspace_id=caller.workspace_id)

    def fits(event: Event) -> bool:
        return (
            event.workspace_id == caller.workspace_id
            and filters.session_id in (None, event.session_id)
            and (filters.types is None or any(fnmatchcase(event.type, each) for each in filters.types))
        )

    return _follow(state, caller, after, filters.idle, read, fits)


def _first(read: Callable[[int, int], list[Event]], after: int | None) -> list[Event]:
    """Return the first event of a stream; refuse what cannot be asked for, pass over what was archived."""
    try:
        return read(after or 0, 1)
    except EventsArchived as gone:
        if after is not None:
            raise
        return read(gone.until, 1)


async def _follow(
    state: State,
    caller: Caller,
    after: int | None,
    idle: float | None,
    read: Callable[[int, int], list[Event]],
    fits: Callable[[Event], bool],
) -> AsyncIterator[Event | None]:
    """Yield events as they come, and None where a while has brought none.

    The caller's row is read again before each: nothing is said to whose session has ended, or lost the scope.
    The guard, which looks four times a second, ends a stream that says nothing.
    """
    tail, beat, now = state.tail, state.settings.heartbeat, asyncio.get_running_loop().time
    with state.meters.streams.track_inprogress():
        async with tail.following() as last:
            position = last if after is None else after
            happened = said = now()
            while not tail.stopped:
                events, position = await tail.after(position, read, fits)
                for number, event in enumerate(events, 1):
                    await state.manager.recheck(caller, require=SCOPE)
                    yield event
                    if number % _TURN == 0:
                        await asyncio.sleep(0)
                if events:
                    happened = said = now()
                    continue
                if idle is not None and now() >= happened + idle:
                    return
                if now() >= said + beat:
                    said = now()
                    yield None
                until = said + beat if idle is None else min(said + beat, happened + idle)
                await tail.wait(position, until - now())


def _as_sse(event: Event | None) -> str:
    if event is None:
        return ": nothing new\n\n"
    return f"id: {event.seq}\nevent: {event.type}\ndata: {json.dumps(event.to_dict())}\n\n"


def _as_line(event: Event | None) -> str:
    return "\n" if event is None else json.dumps(event.to_dict()) + "\n"


async def _written(
    stream: AsyncIterator[Event | None], write: Callable[[Event | None], str]
) -> AsyncIterator[bytes]:
    async for event in stream:
        yield write(event).encode()
