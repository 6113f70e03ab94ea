"""Agents: who has live sessions in the caller's workspace, and who may have none."""

from typing import Annotated

from fastapi import APIRouter, Query

from clawguard.server.answers import AgentAnswer, AgentPage, DisabledAnswer, SessionAnswer
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.models import AgentFilters
from clawguard.server.problems import answers
from clawguard.sessions.switches import KnownAgent

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/v1/agents", tags=["agents"])

_OFTEN = (400, 401, 403, 408, 413, 422, 429, 500, 503)


@router.get("", responses=answers(*_OFTEN))
async def list_agents(
    filters: Annotated[AgentFilters, Query()],
    state: Held,
    caller: Annotated[Caller, may("clawguard:sessions:read")],
) -> AgentPage:
    """Return a page of the workspace's agents that have live sessions or are disabled, by name."""
    page = await state.manager.agents.page(
        workspace_id=caller.workspace_id, limit=filters.limit, cursor=filters.cursor
    )
    return AgentPage(items=[_told(each) for each in page.items], next_cursor=page.next_cursor)


def _told(agent: KnownAgent) -> AgentAnswer:
    newest, disabled = agent.newest, agent.disabled
    return AgentAnswer(
        agent_id=agent.agent_id,
        live=agent.live,
        newest=None if newest is None else SessionAnswer.model_validate(newest.to_dict()),
        disabled=None
        if disabled is None
        else DisabledAnswer(at=disabled.disabled_at, reason=disabled.reason, by=disabled.disabled_by),
    )
