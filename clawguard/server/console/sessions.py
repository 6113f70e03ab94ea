"""The pages of sessions: the table, and one session with its line, its events and its conversation."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from clawguard.models import STATES
from clawguard.server.answers import HistoryAnswer, SessionAnswer, SessionPage
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.console.sheets import Piece, Sheet, Shown
from clawguard.server.events import read_events
from clawguard.server.fields import SessionId
from clawguard.server.history import read_history
from clawguard.server.models import EventFilters, SessionFilters, TreeFilters
from clawguard.server.sessions import list_sessions, show_session, show_tree

__all__ = ["Id", "Line", "Listed", "router"]

router = APIRouter(route_class=StrictRoute, prefix="/sessions")

_SHOWN = 200  # of a tree, and of a session's events: a page is for people
Id = Annotated[SessionId, Path()]
Listed = Annotated[SessionPage, Depends(list_sessions)]
Found = Annotated[SessionAnswer, Depends(show_session)]
Filters = Annotated[SessionFilters, Query()]


async def _line_from_its_root(
    found: Found, state: Held, caller: Annotated[Caller, may("clawguard:sessions:read")]
) -> SessionPage:
    line = await show_tree(found.root_id, TreeFilters(limit=_SHOWN, cursor=None), state, caller)
    drawn = {each.id for each in line.items}
    if found.id in drawn:
        return line
    above = await state.manager.sessions.lineage(found.id, workspace_id=caller.workspace_id)
    own = [SessionAnswer.model_validate(each.to_dict()) for each in above if each.id not in drawn]
    return SessionPage(items=[*line.items, *own], next_cursor=line.next_cursor)


Line = Annotated[SessionPage, Depends(_line_from_its_root)]


@router.get("")
async def show_table(sheet: Shown, filters: Filters, listed: Listed) -> Response:
    """Return the page of the table."""
    rows = _rows(sheet, filters, listed)
    return sheet.page("sessions.html", rows=rows.text, states=STATES, **_told(filters))


@router.get("/rows")
async def show_rows(sheet: Shown, filters: Filters, listed: Listed) -> Response:
    """Return the table's rows, where they are others than before."""
    return sheet.answer(_rows(sheet, filters, listed))


def _rows(sheet: Sheet, filters: SessionFilters, listed: SessionPage) -> Piece:
    return sheet.piece("session_rows.html", listed=listed, **_told(filters))


def _told(filters: SessionFilters) -> dict[str, Any]:
    """Return the filters, those that every page of the list has, and whether there are any to clear."""
    kept = filters.model_dump(exclude_unset=True, exclude={"cursor"}, mode="json")
    return {"filters": filters, "kept": kept, "is_narrowed": bool(kept.keys() - {"live", "limit"})}


@router.get("/{session_id}")
async def show_one(sheet: Shown, found: Found, line: Line) -> Response:
    """Return the page of a session."""
    told = _line(found, line)
    seen = sheet.piece("session_live.html", oob=True, **told).seen
    return sheet.page("session.html", oob=False, seen=seen, **told)


@router.get("/{session_id}/facts")
async def show_facts(sheet: Shown, found: Found, line: Line) -> Response:
    """Return what a session's row says and the tree that it stands in, where they are others than before."""
    return sheet.answer(sheet.piece("session_live.html", oob=True, **_line(found, line)))


def _line(found: SessionAnswer, line: SessionPage) -> dict[str, Any]:
    return {"session": found, "tree": _tree(line), "is_cut": line.next_cursor is not None}


@router.get("/{session_id}/timeline")
async def show_timeline(
    session_id: Id, sheet: Shown, state: Held, caller: Annotated[Caller, may("clawguard:events:read")]
) -> Response:
    """Return a session's events, the newest first."""
    log = state.manager.events
    after = await asyncio.to_thread(log.before_last, _SHOWN, session_id=session_id)
    asked = EventFilters(types=None, session_id=session_id, after=after, limit=_SHOWN)
    found = await read_events(asked, state, caller)
    is_cut = len(found.items) == _SHOWN
    told = {"session_id": session_id, "events": found.items[::-1], "is_cut": is_cut}
    return sheet.answer(sheet.piece("session_timeline.html", **told))


@router.get("/{session_id}/history")
async def show_conversation(
    session_id: Id, sheet: Shown, history: Annotated[HistoryAnswer, Depends(read_history)]
) -> Response:
    """Return the newest entries of a session's conversation."""
    entries = [each.model_dump() for each in history.items]
    told = {"session_id": session_id, "entries": entries, "count": history.count}
    return sheet.answer(sheet.piece("session_history.html", **told))


Tree = list[tuple[SessionAnswer, list[object]]]


def _tree(line: SessionPage) -> Tree:
    """Return sessions, parents before children, as they hang below each other."""
    hung: dict[str, list[object]] = {}
    roots: Tree = []
    for session in line.items:
        below: list[object] = []
        hung[session.id] = below
        above = roots if session.parent_id is None else hung.get(session.parent_id)
        if above is not None:
            above.append((session, below))
    return roots
