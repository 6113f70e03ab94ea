"""The page of agents: who has live sessions, who is disabled, and how to end all of one."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from clawguard.server.agents import list_agents
from clawguard.server.answers import AgentPage
from clawguard.server.bodies import StrictRoute
from clawguard.server.console.sheets import Shown
from clawguard.server.models import AgentFilters

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/agents")

Filters = Annotated[AgentFilters, Query()]
Listed = Annotated[AgentPage, Depends(list_agents)]


@router.get("")
async def show_agents(sheet: Shown, filters: Filters, listed: Listed) -> Response:
    """Return the page of agents."""
    rows = sheet.piece("agent_rows.html", listed=listed, filters=filters)
    return sheet.page("agents.html", rows=rows.text)


@router.get("/rows")
async def show_rows(sheet: Shown, filters: Filters, listed: Listed) -> Response:
    """Return the agents, where they are others than before."""
    return sheet.answer(sheet.piece("agent_rows.html", listed=listed, filters=filters))
