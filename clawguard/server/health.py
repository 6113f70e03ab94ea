"""Is it alive, is it ready, and how does it do."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request
from starlette.responses import Response

from clawguard.errors import StoreUnavailable
from clawguard.server.answers import Health
from clawguard.server.callers import Caller, Held, check_whole_database, may
from clawguard.server.metrics import CONTENT_TYPE
from clawguard.server.problems import answers, problem

__all__ = ["router"]

router = APIRouter(tags=["health"])

_PATIENCE = 2.0
_METRICS = {"description": "Prometheus text", "content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/health/live", responses=answers(408, 413, 500))
async def live() -> Health:
    """Say that the process answers."""
    return Health(status="live")


@router.get("/health/ready", response_model=Health, responses=answers(408, 413, 500, 503))
async def ready(request: Request, state: Held) -> Health | Response:
    """Say that the store answers, and that the server is not about to stop."""
    try:
        async with asyncio.timeout(_PATIENCE):
            await state.tail.probe()
    except (StoreUnavailable, TimeoutError):
        return problem(
            request.scope, 503, "not_ready", "the store does not answer", headers={"Retry-After": "1"}
        )
    if state.tail.stopped:
        return problem(
            request.scope, 503, "stopping", "the server is about to stop", headers={"Retry-After": "1"}
        )
    return Health(status="ready")


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: _METRICS, **answers(400, 401, 403, 408, 413, 429, 500, 503)},
)
async def metrics(state: Held, caller: Annotated[Caller, may("clawguard:metrics:read")]) -> Response:
    """Return the metrics, for callers of the server's own workspace."""
    check_whole_database(caller, state)
    count = await state.manager.active_count(workspace_id=state.settings.workspace)
    lag = await asyncio.to_thread(state.manager.events.lag)  # before others are linked
    last, _ = await asyncio.to_thread(state.manager.events.last)
    return Response(state.meters.page(live=count, entries=last, lag=lag), media_type=CONTENT_TYPE)
