"""Pages for a caller: templates that escape everything, and what each of them gets."""

# No annotations as text here: FastAPI reads those of the dependency.

import hashlib
import json
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Annotated, Any, NamedTuple
from urllib.parse import urlencode

from fastapi import Depends
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from clawguard.clock import to_datetime
from clawguard.models import SessionContext
from clawguard.server.answers import SessionAnswer
from clawguard.server.callers import Caller, Held, may
from clawguard.server.fields import SESSION_ID
from clawguard.server.state import State, state_of
from clawguard.web.asgi import SCOPE_KEY

__all__ = ["Piece", "Sheet", "Shown", "Templates", "home_of", "is_live", "sheet_for"]

_READ, _EVENTS = "clawguard:sessions:read", "clawguard:events:read"
_HOME = "/sessions?live=true"
_PAGES = (
    (_HOME, "Sessions", (_READ,)),
    ("/agents", "Agents", (_READ,)),
    ("/events", "Events", (_EVENTS,)),
    ("/charts", "Charts", (_READ, _EVENTS)),
    ("/keys", "Keys", ("clawguard:keys:read",)),
)


class Templates:
    """Render templates; every value is escaped, and a name that is not given is an error."""

    def __init__(self) -> None:
        self._made = Environment(
            loader=PackageLoader("clawguard.server.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._made.filters["instant"] = _instant
        self._made.filters["moment"] = to_datetime
        self._made.filters["pretty"] = _pretty
        self._made.filters["compact"] = partial(_pretty, indent=None)
        self._made.filters["cut"] = _cut
        self._made.filters["query"] = _query
        self._made.filters["combine"] = _combine
        self._made.tests["session_id"] = _is_session_id

    def render(self, name: str, shown: Mapping[str, Any]) -> str:
        """Return a template's text."""
        return self._made.get_template(name).render(shown)


class Piece(NamedTuple):
    """Hold a piece of a page, and what it is told by."""

    text: Markup
    seen: str


class Sheet:
    """Render pages and their pieces for one request, whose caller is None where nobody is logged in."""

    def __init__(self, request: Request, state: State, caller: SessionContext | None) -> None:
        self._request = request
        self._templates: Templates = request.app.state.templates
        self.base: str = request.scope["root_path"]
        self._common = {
            "base": self.base,
            "here": request.scope["path"].removeprefix(self.base),
            "query": request.url.query,
            "caller": caller,
            "now": to_datetime(state.now()),
            "is_live": is_live,
            "home": home_of(caller),
            "pages": _PAGES,
            "holds": (lambda *scopes: caller is not None and all(map(caller.has_scope, scopes))),
            "is_operator": caller is not None and caller.workspace_id == state.settings.workspace,
        }

    def page(
        self, name: str, status: int = 200, headers: Mapping[str, str] | None = None, **shown: Any
    ) -> Response:
        """Return an answer made of a template."""
        text = self._templates.render(name, self._common | shown)
        return HTMLResponse(text, status, dict(headers or {}))

    def piece(self, name: str, **shown: Any) -> Piece:
        """Return a piece of a page that asks for itself again and again."""
        gap = secrets.token_hex(16)  # nobody who chooses a name can know it
        text = self._templates.render(name, self._common | shown | {"seen": gap})
        seen = hashlib.sha256(text.replace(gap, "").encode()).hexdigest()[:16]
        return Piece(Markup(text.replace(gap, seen)), seen)  # noqa: S704  # a template has escaped it

    def answer(self, piece: Piece) -> Response:
        """Return a piece as an answer; 204 where the page that asks has just that already."""
        if self._request.headers.get("x-seen") == piece.seen:
            return Response(status_code=204)
        return HTMLResponse(piece.text)

    def done(self, said: str) -> Response:
        """Return an answer that changes nothing of the page but says what has been done."""
        told = json.dumps({"clawguard:done": {"said": said}})
        return Response(status_code=204, headers={"HX-Trigger": told})


async def _sheet(request: Request, state: Held, caller: Annotated[Caller, may()]) -> Sheet:
    return Sheet(request, state, caller)


Shown = Annotated[Sheet, Depends(_sheet)]


def sheet_for(request: Request) -> Sheet:
    """Return the sheet of a request that may have no caller."""
    return Sheet(request, state_of(request), request.scope.get(SCOPE_KEY))


def home_of(caller: SessionContext | None) -> str:
    """Return the first page that a caller may see."""
    seen = (path for path, _, scopes in _PAGES if caller is not None and all(map(caller.has_scope, scopes)))
    return next(seen, _HOME)


def is_live(session: SessionAnswer, now: datetime) -> bool:
    """Tell whether a session is live at a moment; one that is due has ended, recorded or not."""
    return session.ended_at is None and session.due_at > now and session.uses_left != 0


def _instant(at: datetime | None) -> str:
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _pretty(value: Any, indent: int | None = 2) -> str:
    """Return text as it stands, anything else as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


def _cut(text: str, most: int) -> str:
    """Return the beginning of a text that is too long for a page, and how much there is of it."""
    return text if len(text) <= most else f"{text[:most]} … ({len(text):,} characters in all)"


def _is_session_id(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(SESSION_ID, value) is not None


def _query(given: Mapping[str, Any]) -> str:
    """Return a query string; values as a query string has them, such as `true`."""
    told = {name: str(each).lower() if isinstance(each, bool) else each for name, each in given.items()}
    return urlencode({name: each for name, each in told.items() if each is not None}, doseq=True)


def _combine(given: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {**given, **more}
