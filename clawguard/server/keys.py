"""The signing keys: listed, rotated."""

from typing import Annotated

from fastapi import APIRouter

from clawguard.server.answers import EndedAnswer, KeyAnswer, KeyList
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, check_whole_database, may
from clawguard.server.models import Rotation
from clawguard.server.problems import answers

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/v1/keys", tags=["keys"])

_OFTEN = (400, 401, 403, 408, 413, 422, 429, 500, 503)


@router.get("", dependencies=[may("clawguard:keys:read")], responses=answers(*_OFTEN))
async def list_keys(state: Held) -> KeyList:
    """Return every signing key and its state, the oldest first."""
    keys = await state.manager.keys.list()
    return KeyList(items=[KeyAnswer.model_validate(each._asdict()) for each in keys])


@router.post("/rotate", responses=answers(*_OFTEN))
async def rotate_keys(
    asked: Rotation, state: Held, caller: Annotated[Caller, may("clawguard:keys:rotate")]
) -> EndedAnswer:
    """Let the next key sign, at once and in every process; in an emergency end what the one before signed.

    Only for callers of the server's own workspace: the keys are those of all.
    """
    check_whole_database(caller, state)
    ended = await state.manager.keys.rotate(
        emergency=asked.emergency, dry_run=asked.dry_run, algorithm=asked.algorithm
    )
    return EndedAnswer(count=ended.count, cause_id=ended.cause_id)
