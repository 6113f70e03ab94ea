"""The page of agents: who has live sessions, and how to end all of one."""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends
from starlette.responses import Response

from clawguard.server.answers import SessionAnswer
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.console.sheets import Shown
from clawguard.server.models import SessionFilters
from clawguard.server.sessions import list_sessions

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/agents")

_PAGES = 2  # of a thousand sessions each: then the page says that there are more


class Agent(NamedTuple):
    """Tell of one agent's live sessions."""

    agent_id: str
    sessions: tuple[SessionAnswer, ...]

    @property
    def newest(self) -> SessionAnswer:
        """Its newest live session."""
        return self.sessions[0]

    @property
    def subjects(self) -> list[str]:
        """On whose behalf."""
        return sorted({each.subject for each in self.sessions})

    @property
    def scopes(self) -> list[str]:
        """All that any of them holds."""
        return sorted({scope for each in self.sessions for scope in each.scopes})


class Agents(NamedTuple):
    """Hold the agents, who has most sessions first, and whether there are more sessions than were counted."""

    items: tuple[Agent, ...]
    is_cut: bool


async def _agents(state: Held, caller: Annotated[Caller, may("clawguard:sessions:read")]) -> Agents:
    found: dict[str, list[SessionAnswer]] = {}
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await list_sessions(SessionFilters(live=True, limit=1_000, cursor=cursor), state, caller)
        for each in page.items:
            found.setdefault(each.agent_id, []).append(each)
        cursor = page.next_cursor
        if cursor is None:
            break
    agents = [Agent(agent_id, tuple(sessions)) for agent_id, sessions in found.items()]
    return Agents(
        tuple(sorted(agents, key=lambda each: (-len(each.sessions), each.agent_id))), cursor is not None
    )


Found = Annotated[Agents, Depends(_agents)]


@router.get("")
async def show_agents(sheet: Shown, agents: Found) -> Response:
    """Return the page of agents."""
    return sheet.page("agents.html", rows=sheet.piece("agent_rows.html", agents=agents).text)


@router.get("/rows")
async def show_rows(sheet: Shown, agents: Found) -> Response:
    """Return the agents, where they are others than before."""
    return sheet.answer(sheet.piece("agent_rows.html", agents=agents))
