"""What is asked of a server, as it is written: paths, parameters, members of bodies. Pure functions."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote

from clawguard.checks import check_text
from clawguard.errors import InvalidArgument, SessionNotFound
from clawguard.models import Session

__all__ = ["SESSIONS", "as_json", "as_text", "check_actor", "id_of", "path_of", "ready"]

SESSIONS = "/v1/sessions"


def path_of(session: str) -> str:
    """Return where a session is; raise InvalidArgument or SessionNotFound for what could not be its id."""
    check_text(session, argument="session")
    if "/" in session:  # which a path does not tell from its own
        raise SessionNotFound(session)
    return f"{SESSIONS}/{quote(session, safe='')}"


def id_of(session: str | Session) -> str:
    """Return a session's id."""
    return session.id if isinstance(session, Session) else session


def ready(given: dict[str, Any]) -> dict[str, Any]:
    """Return what a new session is given, as JSON has it."""
    return {name: as_json(value) for name, value in given.items() if value is not None}


def as_json(value: Any) -> Any:
    """Return an argument of the library as a member of a body."""
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | dict) or value is None else list(value)


def as_text(value: Any, name: str) -> str | list[str]:
    """Return a parameter of a query as it is written; raise InvalidArgument for what is no Unicode text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return [str(as_text(each, name)) for each in value]
    text = str(value.isoformat() if isinstance(value, datetime) else value)
    if any("\ud800" <= each <= "\udfff" for each in text):
        raise InvalidArgument(name, "holds a lone surrogate, which no UTF-8 text has")
    return text


def check_actor(actor: str | None) -> None:
    """Raise InvalidArgument for an actor that is named: over HTTP it is who asks."""
    if actor is not None:
        raise InvalidArgument("--actor", "is the caller's own session, at a server", hint="leave it out")
