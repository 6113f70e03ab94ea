"""The page of signing keys: listed, rotated; an emergency is counted before it is done."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from clawguard.server.answers import KeyList
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.console.sheets import Shown
from clawguard.server.forms import read_form
from clawguard.server.keys import list_keys, rotate_keys
from clawguard.server.models import Rotation

__all__ = ["router"]

# Whom `list_keys` lets in stands with its route, not with its parameters.
router = APIRouter(route_class=StrictRoute, prefix="/keys", dependencies=[may("clawguard:keys:read")])

Rotator = Annotated[Caller, may("clawguard:keys:rotate")]
Listed = Annotated[KeyList, Depends(list_keys)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    emergency: bool = False


@router.get("")
async def show_keys(sheet: Shown, keys: Listed) -> Response:
    """Return the page of keys."""
    return sheet.page("keys.html", rows=sheet.piece("key_rows.html", keys=keys.items[::-1]).text)


@router.get("/rows")
async def show_rows(sheet: Shown, keys: Listed) -> Response:
    """Return the keys, where they are others than before."""
    return sheet.answer(sheet.piece("key_rows.html", keys=keys.items[::-1]))


@router.get("/rotate")
async def count(sheet: Shown, state: Held, caller: Rotator) -> Response:
    """Return the dialog that says what an emergency would end, and asks."""
    emergency = await rotate_keys(Rotation(emergency=True, dry_run=True), state, caller)
    return sheet.page("rotate.html", count=emergency.count)


@router.post("/rotate")
async def rotate(request: Request, sheet: Shown, state: Held, caller: Rotator) -> Response:
    """Let the next key sign."""
    form = await read_form(request, _Form)
    ended = await rotate_keys(Rotation(emergency=form.emergency), state, caller)
    many = "" if not form.emergency else f" {ended.count} session{'' if ended.count == 1 else 's'} ended."
    return sheet.done(f"The next key signs now.{many}")
