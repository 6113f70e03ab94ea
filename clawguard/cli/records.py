"""What a server answers, read as the records that the library has: a command prints both alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any, TypeVar, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from clawguard.clock import to_microseconds
from clawguard.errors import ConfigError
from clawguard.events.event import Event
from clawguard.history.messages import Message, encode
from clawguard.history.records import TAKEN, Entry, Hit
from clawguard.models import Actor, Ended, Inspection, IssuedSession, Session
from clawguard.sessions.keychain import KeyInfo
from clawguard.sessions.replies import Instant, ScopeList

__all__ = [
    "ended",
    "entry",
    "event",
    "events",
    "hit",
    "inspection",
    "issued",
    "items",
    "key",
    "number",
    "session",
    "unknown",
]

_LAST = 2**53 - 1  # as a server takes it

_CONFIG = ConfigDict(strict=True, hide_input_in_errors=True, arbitrary_types_allowed=True)

M = TypeVar("M", bound=BaseModel)


def _actors(value: object) -> tuple[Actor, ...]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError("is no list of actors")
    return tuple(Actor(str(each["agent_id"]), str(each["session_id"])) for each in value)


_READ_AS: dict[Any, Any] = {
    datetime: Instant,
    datetime | None: Instant | None,
    float: Annotated[float, Field(strict=False, allow_inf_nan=False)],
}
_ACTORS = Annotated[tuple[Actor, ...], BeforeValidator(_actors)]


def _model(record: type, **given: Any) -> type[BaseModel]:
    """Return the model of a record's JSON; members that it does not know are passed over."""
    hints = get_type_hints(record)
    names = [each.name for each in fields(record)] if record is not KeyInfo else list(KeyInfo._fields)
    shape: dict[str, Any] = {
        name: given.get(name, (_READ_AS.get(hints[name], hints[name]), ...)) for name in names
    }
    return create_model(record.__name__, __config__=_CONFIG, **shape)


_Session = _model(Session, scopes=(ScopeList, ...), actors=(_ACTORS, ...), jti=(str, ""))
_Event = _model(Event)
_Hit = _model(Hit)
_Key = _model(KeyInfo)


class _Tokens(BaseModel):
    model_config = _CONFIG

    token: str
    refresh_token: str | None


class _Ended(BaseModel):
    model_config = _CONFIG

    count: int
    cause_id: str | None


class _Inspection(BaseModel):
    model_config = _CONFIG

    verdict: str
    session: dict[str, Any] | None
    claims: dict[str, Any] | None


class _Entry(BaseModel):
    model_config = _CONFIG

    seq: int
    at: Instant


class _Items(BaseModel):
    model_config = _CONFIG

    items: list[dict[str, Any]]


def _read(model: type[M], told: Mapping[str, Any]) -> M:
    try:
        return model.model_validate(told)
    except (ValidationError, KeyError, RecursionError):
        raise unknown() from None


def unknown() -> ConfigError:
    """Return the error for an answer that is none."""
    return ConfigError(
        "the server answers with something else than this command knows",
        hint="is the URL right, and the server of the same version?",
    )


def _record(model: type[BaseModel], told: Mapping[str, Any]) -> dict[str, Any]:
    return dict(_read(model, told))


def session(told: Mapping[str, Any]) -> Session:
    """Return a session; of its token's id nothing is told."""
    return Session(**_record(_Session, told))


def issued(told: Mapping[str, Any]) -> IssuedSession:
    """Return a session with its tokens."""
    tokens = _read(_Tokens, told)
    return IssuedSession(session(told), token=tokens.token, refresh_token=tokens.refresh_token)


def ended(told: Mapping[str, Any]) -> Ended:
    """Return what an act ended."""
    found = _read(_Ended, told)
    return Ended(found.count, found.cause_id)


def inspection(told: Mapping[str, Any]) -> Inspection:
    """Return what a token is."""
    found = _read(_Inspection, told)
    verdicts: dict[str, Any] = {each: each for each in ("active", "ended", "superseded")}
    record = None if found.session is None else session(found.session)
    return Inspection(verdicts.get(found.verdict, "invalid"), record, found.claims)


def event(told: Mapping[str, Any]) -> Event:
    """Return an event of the log."""
    return Event(**_record(_Event, told))


def events(told: Mapping[str, Any], *, after: int, most: int) -> list[Event]:
    """Return a page of the log: no more than was asked for, in its order, all of it behind a number."""
    found = [event(each) for each in items(told)]
    seqs = [after, *(each.seq for each in found)]
    if len(found) > most or any(low >= high for low, high in pairwise(seqs)) or seqs[-1] > _LAST:
        raise unknown()
    return found


def hit(told: Mapping[str, Any]) -> Hit:
    """Return a hit of a search."""
    return Hit(**_record(_Hit, told))


def key(told: Mapping[str, Any]) -> KeyInfo:
    """Return a signing key's description."""
    return KeyInfo(**_record(_Key, told))


def entry(told: Mapping[str, Any]) -> Entry:
    """Return an entry of a conversation."""
    head = _read(_Entry, told)
    message = _read(Message, {name: value for name, value in told.items() if name not in TAKEN})
    return Entry((head.seq, *encode(message, at=to_microseconds(head.at))))


def items(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the members of a list or page."""
    return _read(_Items, told).items


def number(told: Mapping[str, Any], name: str) -> int | None:
    """Return a number that may be null."""
    value = told.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
