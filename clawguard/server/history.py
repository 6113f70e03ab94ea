"""Conversations: read one, search those of the caller's workspace."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from clawguard.server.answers import HistoryAnswer, HitAnswer, SearchAnswer
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.fields import SessionId
from clawguard.server.models import HistoryFilters, SearchFilters
from clawguard.server.problems import answers

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/v1", tags=["history"])

_OFTEN = (400, 401, 403, 404, 408, 413, 422, 429, 500, 503)


@router.get("/sessions/{session_id}/history", responses=answers(*_OFTEN, 409))
async def read_history(
    session_id: Annotated[SessionId, Path(description="a session's id")],
    filters: Annotated[HistoryFilters, Query()],
    state: Held,
    caller: Annotated[Caller, may("clawguard:history:read")],
) -> HistoryAnswer:
    """Return the newest entries of a session's conversation, the oldest of them first."""
    workspace, history = caller.workspace_id, state.manager.history
    count = await history.count(session_id, workspace_id=workspace)
    found = await history.tail(session_id, filters.limit, workspace_id=workspace)
    return HistoryAnswer.model_validate({"items": [each.to_dict() for each in found], "count": count})


@router.get("/history/search", responses=answers(*_OFTEN, 409))
async def search_history(
    filters: Annotated[SearchFilters, Query()],
    state: Held,
    caller: Annotated[Caller, may("clawguard:history:read")],
) -> SearchAnswer:
    """Return the entries that hold any of the words in `q`, the best first; `inv*` stands for a beginning."""
    narrowed = filters.model_dump(exclude={"q", "session_id"}, exclude_none=True)
    if filters.session_id is not None:
        narrowed["session"] = filters.session_id
    hits = await state.manager.history.search(filters.q, workspace_id=caller.workspace_id, **narrowed)
    return SearchAnswer(items=[HitAnswer.model_validate(each.to_dict()) for each in hits])
