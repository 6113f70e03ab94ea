"""The page of charts: live sessions, what was created, what ended and why, what was denied."""

import asyncio
from collections import Counter
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from clawguard.models import CAUSES
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.console.sheets import Shown
from clawguard.server.console.tallies import Tallies

__all__ = ["router"]

router = APIRouter(
    route_class=StrictRoute,
    prefix="/charts",
    dependencies=[may("clawguard:sessions:read", "clawguard:events:read")],
)

_SPANS = {"hour": (60, 1), "day": (24 * 60, 15)}
Span = Annotated[Literal["hour", "day"], Query()]


@router.get("")
async def show_charts(sheet: Shown, span: Span = "hour") -> Response:
    """Return the page of charts."""
    return sheet.page("charts.html", span=span)


@router.get("/data")
async def read_data(
    request: Request, state: Held, caller: Annotated[Caller, may()], span: Span = "hour"
) -> Response:
    """Return what the charts show, as columns over time."""
    tallies: Tallies = request.app.state.tallies
    workspace = caller.workspace_id
    minutes, step = _SPANS[span]
    counted = await asyncio.to_thread(tallies.read, workspace, minutes=minutes, step=step)
    live = await state.manager.sessions.count_live(workspace_id=workspace)
    counts = [each for _, each in counted]
    seen = [cause for cause in CAUSES if any(each[f"ended:{cause}"] for each in counts)]
    return JSONResponse(
        {
            "at": [at for at, _ in counted],
            "live": _live(live, counts),
            "created": [each["created"] for each in counts],
            "ended": {cause: [each[f"ended:{cause}"] for each in counts] for cause in seen},
            "denied": [each["denied"] for each in counts],
        }
    )


def _live(now: int, counts: list[Counter[str]]) -> list[int]:
    """Return how many sessions were live at the end of each step, reckoned back from how many are."""
    live = [now]
    for each in reversed(counts[1:]):
        ended = sum(count for name, count in each.items() if name.startswith("ended:"))
        live.append(max(0, live[-1] - each["created"] + ended))
    return live[::-1]
