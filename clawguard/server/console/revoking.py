"""Ends: of one session and what stands below it, of all that filters pick; counted before they are done."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.responses import Response

from clawguard.clock import to_datetime
from clawguard.errors import InvalidArgument
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import Caller, Held, may
from clawguard.server.console.sessions import Id
from clawguard.server.console.sheets import Shown, is_live
from clawguard.server.forms import read_form
from clawguard.server.models import MassRevocation, Revocation, TreeFilters
from clawguard.server.sessions import revoke, revoke_where, show_tree

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute)

Revoker = Annotated[Caller, may("clawguard:sessions:revoke")]
_SEEN, _NAMED = 200, 8  # of what would end, looked through for whom to name; named
_FILTERS = ("subject", "agent_id", "role", "key_id", "issued_before")


class _Form(BaseModel):
    """Read a form as text; the endpoint that it is for checks what it says."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    subject: str | None = None
    agent_id: str | None = None
    role: str | None = None
    key_id: str | None = None
    issued_before: str | None = None
    reason: str | None = None


@router.get("/sessions/{session_id}/revoke")
async def count_line(
    session_id: Id,
    sheet: Shown,
    state: Held,
    reader: Annotated[Caller, may("clawguard:sessions:read")],
    caller: Revoker,
) -> Response:
    """Return the dialog that says what would end, and asks."""
    sessions, workspace = state.manager.sessions, caller.workspace_id
    line = await show_tree(session_id, TreeFilters(limit=_SEEN, cursor=None), state, reader)
    count = await sessions.count_line(session_id, workspace_id=workspace)
    above = await sessions.lineage(caller.session_id, workspace_id=workspace)
    now = to_datetime(state.now())
    return sheet.page(
        "revoke_one.html",
        session=line.items[0],
        count=count,
        named=[each for each in line.items if is_live(each, now)][:_NAMED],
        is_own=session_id in {each.id for each in above},
    )


@router.post("/sessions/{session_id}/revoke")
async def end_line(session_id: Id, request: Request, sheet: Shown, state: Held, caller: Revoker) -> Response:
    """End a session and all below it."""
    form = await read_form(request, _Form)
    asked = _checked(Revocation, {"reason": form.reason} if form.reason else {})
    ended = await revoke(session_id, asked, state, caller)
    return sheet.done("Revoked." if ended.count else "It had ended already.")


@router.get("/revoke", dependencies=[may("clawguard:sessions:revoke")])
async def show_switch(
    sheet: Shown,
    subject: Annotated[str, Query(max_length=255)] = "",
    agent_id: Annotated[str, Query(max_length=255)] = "",
    role: Annotated[str, Query(max_length=255)] = "",
    key_id: Annotated[str, Query(max_length=255)] = "",
) -> Response:
    """Return the page that ends all that filters pick."""
    given = {"subject": subject, "agent_id": agent_id, "role": role, "key_id": key_id}
    return sheet.page("revoke_where.html", given=given)


@router.post("/revoke/count")
async def count_where(request: Request, sheet: Shown, state: Held, caller: Revoker) -> Response:
    """Return how many would end, and what ends them."""
    where, reason = await _read(request)
    asked = _checked(MassRevocation, {"where": where, "dry_run": True})
    found = await revoke_where(asked, state, caller)
    return sheet.page("revoke_count.html", count=found.count, where=where, reason=reason)


@router.post("/revoke")
async def end_where(request: Request, sheet: Shown, state: Held, caller: Revoker) -> Response:
    """End all that the filters pick."""
    where, reason = await _read(request)
    given = {"where": where, "dry_run": False} | ({"reason": reason} if reason else {})
    ended = await revoke_where(_checked(MassRevocation, given), state, caller)
    return sheet.done(f"{ended.count} session{'' if ended.count == 1 else 's'} ended.")


async def _read(request: Request) -> tuple[dict[str, Any], str | None]:
    form = await read_form(request, _Form)
    where = {name: value for name in _FILTERS if (value := getattr(form, name)) is not None}
    if "issued_before" in where:
        where["issued_before"] = (
            where["issued_before"].removesuffix("Z") + "Z"
        )  # a browser's field has no zone
    return where, form.reason


def _checked(model: Any, given: dict[str, Any]) -> Any:
    """Return what an endpoint takes as its body; say which field of the form will not do."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else "form"
        raise InvalidArgument(name, first["msg"].removeprefix("Value error, ")) from None
