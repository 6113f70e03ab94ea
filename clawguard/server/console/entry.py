"""Log in with a token, which the browser then keeps in a cookie that no script can read; log out."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import RedirectResponse, Response

from clawguard.errors import AccessDenied, ClawguardError, InvalidArgument
from clawguard.models import IssuedSession
from clawguard.server.callers import Held, count_address
from clawguard.server.console.sheets import home_of, sheet_for
from clawguard.server.forms import read_form
from clawguard.server.state import State
from clawguard.web.asgi import address_of
from clawguard.web.bearer import CROSS_ORIGIN, origin_of, source_of
from clawguard.web.cookies import clear_cookie, is_own_page, set_cookie
from clawguard.web.fastapi import Refused

__all__ = ["COOKIE", "router"]

COOKIE = "__Host-clawguard-console"
_INVALID = "This token is not valid: it is mistyped, or has expired, or its session has ended."
_COUNTED = "The uses of this session are counted, and the console would spend them. Make a session without."
_UNFIT = "No browser can keep this token in a cookie: it is too long. Make a session with fewer scopes."

router = APIRouter()


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    token: Annotated[str, Field(max_length=8_192, repr=False)]


@router.get("/login")
async def show_door(request: Request, ended: bool = False) -> Response:
    """Return the page that asks for a token."""
    return sheet_for(request).page("login.html", ended=ended, refused=None)


@router.post("/login")
async def log_in(request: Request, state: Held) -> Response:
    """Give a browser the cookie of a valid token, and let it in."""
    _check_own_page(request, state)
    count_address(state, "token", request)
    form = await read_form(request, _Entry)
    try:
        session = await _session_of(form.token.strip(), request, state)
        cookie = set_cookie(COOKIE, session)
    except (AccessDenied, InvalidArgument) as error:
        return sheet_for(request).page("login.html", 401, ended=False, refused=_said(error))
    home = request.scope["root_path"] + home_of(session.as_context())
    return RedirectResponse(home, 303, {"Set-Cookie": cookie})


@router.post("/logout")
async def log_out(request: Request, state: Held) -> Response:
    """Have the browser forget the token; its session lives on."""
    _check_own_page(request, state)
    base = request.scope["root_path"]
    return RedirectResponse(f"{base}/login", 303, {"Set-Cookie": clear_cookie(COOKIE)})


async def _session_of(token: str, request: Request, state: State) -> IssuedSession:
    source = source_of(address_of(request.scope))
    context = await state.manager.validate(token, source=source)
    session = await state.manager.get_session(context)
    if session.uses_left is not None:
        raise InvalidArgument("token", _COUNTED)
    return IssuedSession(session, token=token)


def _said(error: ClawguardError) -> str:
    if isinstance(error, AccessDenied):
        return _INVALID
    return _COUNTED if _COUNTED in str(error) else _UNFIT


def _check_own_page(request: Request, state: State) -> None:
    """Refuse what a page of another origin may have sent: it would log its reader in as somebody else."""
    headers = request.headers
    own = state.settings.origin or origin_of(f"{request.url.scheme}://{headers.get('host', '')}")
    if not is_own_page(headers.get("sec-fetch-site"), headers.get("origin"), own=own):
        raise Refused(CROSS_ORIGIN)
