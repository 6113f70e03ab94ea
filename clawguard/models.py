"""The records: what a session, a context and a page are. Frozen, slotted, free of secrets.

Times are aware datetimes here and integer microseconds in the store; durations are seconds here and
microseconds there. No record but `IssuedSession` carries a token, and that one leaves it out of every
repr, dump, copy and pickle.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Generic, Literal, NamedTuple, TypeVar, get_args

from pydantic_core import to_json

from clawguard.clock import SECOND, to_datetime
from clawguard.errors import InvalidArgument, PolicyDenied
from clawguard.scopes import ScopeSet, parse_scopes

__all__ = [
    "CAUSES",
    "STATES",
    "Actor",
    "Cause",
    "Decision",
    "Ended",
    "Inspection",
    "IssuedSession",
    "JSONObject",
    "Page",
    "Session",
    "SessionContext",
    "State",
    "json_ready",
]

Cause = Literal[
    "ttl", "idle", "uses", "finished", "revoked", "invalidated", "parent", "agent", "reuse", "key", "limit"
]
State = Literal["idle", "running", "error"]
JSONObject = Mapping[str, Any]

CAUSES: tuple[str, ...] = get_args(Cause)
STATES: tuple[str, ...] = get_args(State)

MASK = "***"
T = TypeVar("T")


class Actor(NamedTuple):
    """Name one step of a delegation: an agent and the session it acted in."""

    agent_id: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Hold one row of the lifecycle table as it was read; `version` grows with every change of the row."""

    id: str
    version: int
    generation: int
    key: str | None
    request_id: str | None
    agent_id: str
    agent_alias: str | None
    subject: str
    workspace_id: str
    audience: str
    role: str | None
    scopes: ScopeSet
    task_type: str | None
    actors: tuple[Actor, ...]
    parent_id: str | None
    root_id: str
    depth: int
    delegable: bool
    forked_from: str | None
    name: str | None
    metadata: JSONObject
    engine_url: str | None
    engine_version: str | None
    channel_id: str | None
    room_id: str | None
    sender_id: str | None
    state: State
    turn_id: str | None
    turn_started_at: datetime | None
    kid: str
    jti: str = field(repr=False)
    created_at: datetime
    issued_at: datetime
    token_expires_at: datetime
    ttl: float
    expires_at: datetime
    absolute_expires_at: datetime
    idle_timeout: float | None
    last_activity: datetime
    last_source: str | None
    ended_at: datetime | None
    cause: Cause | None
    reason: str | None
    ended_by: str | None
    due_at: datetime
    grant_name: str | None
    granted: bool
    uses_left: int | None
    refresh_idle: float | None
    cnf: Mapping[str, str] | None

    @classmethod
    def from_tuple(cls, row: tuple[Any, ...]) -> Session:
        """Return the record of a row whose columns stand in this class's order."""
        return cls.from_row(dict(zip(_NAMES, row, strict=True)))

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Session:
        """Return the record of a row given by column names, in the store's own units."""
        values = row.copy()
        for name in _INSTANTS:
            at = values[name]
            if at is not None:
                values[name] = to_datetime(at)
        for name in _DURATIONS:
            ticks = values[name]
            if ticks is not None:
                values[name] = ticks / SECOND
        values["scopes"] = parse_scopes(values["scopes"])
        values["actors"] = decode_actors(values["actors"])
        values |= {"delegable": bool(values["delegable"]), "granted": bool(values["granted"])}
        values["metadata"] = json.loads(values["metadata"])
        values["cnf"] = decode_cnf(values["cnf"])
        return cls(**values)

    def __eq__(self, other: object) -> bool:
        """Compare what the rows say: an `IssuedSession` equals the `Session` read for it."""
        if not isinstance(other, Session):
            return NotImplemented
        return bool(_VALUES(self) == _VALUES(other))

    def __hash__(self) -> int:
        return hash((self.id, self.version))

    def as_context(self) -> SessionContext:
        """Return the authority that the row gives, and that its token carries."""
        return SessionContext(
            session_id=self.id,
            generation=self.generation,
            agent_id=self.agent_id,
            subject=self.subject,
            workspace_id=self.workspace_id,
            audience=self.audience,
            role=self.role,
            scopes=self.scopes,
            task_type=self.task_type,
            expires_at=self.expires_at,
            actors=self.actors,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the token's id as JSON-ready values; instants in ISO 8601."""
        return json_ready(self, leave_out=("jti",))


def decode_cnf(text: str | None) -> dict[str, str] | None:
    """Return what a row's JSON text binds its tokens to: one thumbprint by its method, or None."""
    return None if text is None else json.loads(text)


def decode_actors(text: str) -> tuple[Actor, ...]:
    """Return the actors of a row's JSON text, root first."""
    return () if text == "[]" else tuple(Actor(*pair) for pair in json.loads(text))


def encode_actors(actors: Iterable[Actor]) -> str:
    """Return actors as a row's JSON text: pairs of agent and session, root first."""
    return to_json(list(actors)).decode()


_NAMES = tuple(each.name for each in fields(Session))
_VALUES = attrgetter(*_NAMES)
_PUT = tuple(vars(Session)[name].__set__ for name in _NAMES)  # what a frozen record's own __init__ ends in
_INSTANTS = tuple(each.name for each in fields(Session) if "datetime" in str(each.type))
_DURATIONS = ("ttl", "idle_timeout", "refresh_idle")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """Say who is calling and with what authority, as one validation found it.

    It is proof of nothing by itself: give it back to `validate` to have it checked against its row.
    """

    session_id: str
    generation: int
    agent_id: str
    subject: str
    workspace_id: str
    audience: str
    role: str | None
    scopes: ScopeSet
    task_type: str | None
    expires_at: datetime
    actors: tuple[Actor, ...]

    def has_scope(self, scope: str) -> bool:
        """Tell whether the scope is held; a wildcard covers what stands below it."""
        return scope in self.scopes

    def to_dict(self) -> dict[str, Any]:
        """Return the context as JSON-ready values."""
        return json_ready(self)


class IssuedSession(Session):
    """Hold a session and, this once, the token that was just signed for it, and its refresh token.

    The tokens are no fields: they are left out of the repr, of `to_dict()`, of copies and pickles, which
    are plain `Session` records.
    """

    __slots__ = ("_refresh_token", "_token")

    _token: str
    _refresh_token: str | None

    def __init__(self, session: Session, *, token: str, refresh_token: str | None = None) -> None:
        for put, value in zip(_PUT, _VALUES(session), strict=True):
            put(self, value)
        object.__setattr__(self, "_token", token)
        object.__setattr__(self, "_refresh_token", refresh_token)

    @property
    def token(self) -> str:
        """The compact JWS to hand to the agent."""
        return self._token

    @property
    def refresh_token(self) -> str | None:
        """What `redeem` takes, once; None where there is none, or where it was handed out before."""
        return self._refresh_token

    def headers(self) -> dict[str, str]:
        """Return the HTTP header that carries the token (RFC 6750, 2.1; RFC 9449, 7.1).

        One that is bound to a key needs a proof beside it, see `clawguard.guard.ProofKey.headers`.
        """
        scheme = "DPoP" if self.cnf is not None and "jkt" in self.cnf else "Bearer"
        return {"Authorization": f"{scheme} {self._token}"}

    def environ(self) -> dict[str, str]:
        """Return the environment variables that hand the tokens to a child process."""
        refresh = {} if self._refresh_token is None else {"CLAWGUARD_REFRESH_TOKEN": self._refresh_token}
        return {"CLAWGUARD_TOKEN": self._token, **refresh}

    def __reduce__(self) -> tuple[Any, ...]:
        return _plain_session, (_VALUES(self),)


def _plain_session(values: tuple[Any, ...]) -> Session:
    return Session(**dict(zip(_NAMES, values, strict=True)))


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Hold one page of a listing; `next_cursor` is None on the last."""

    items: tuple[T, ...]
    next_cursor: str | None


class Decision(NamedTuple):
    """Say whether an action is allowed, and why; true when it is.

    `rule` names the rule that decided, `reason` is a short code or the rule's own text, `masked_fields` what
    of a record may not be shown, `policy` the digest of the policy that was asked.
    """

    allowed: bool
    action: str
    reason: str
    policy: str
    rule: str | None = None
    masked_fields: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.allowed

    def require(self) -> Decision:
        """Return the decision; raise PolicyDenied where it is a denial."""
        if not self.allowed:
            raise PolicyDenied(self.action, self.reason, decision=self)
        return self

    def mask(self, record: Any) -> Any:
        """Return a copy of a record, or a list of them, with every masked field's value as `***`.

        A dot leads into an object or into each of a list's. Raises PolicyDenied where it is a denial,
        InvalidArgument for a record of anything but dicts, lists and plain values.
        """
        self.require()
        return _masked(record, self.masked_fields)

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as JSON-ready values."""
        return {**self._asdict(), "masked_fields": list(self.masked_fields)}


def _masked(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list | tuple):
        return [_masked(each, names) for each in value]
    if isinstance(value, Mapping):
        return {
            name: MASK if name in names else _masked(each, _below(name, names))
            for name, each in value.items()
        }
    if names and not isinstance(value, str | int | float | None):
        raise InvalidArgument("record", f"holds a {type(value).__name__}, whose fields cannot be masked")
    return value


def _below(name: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(path[len(name) + 1 :] for path in names if path.startswith(f"{name}."))


@dataclass(frozen=True, slots=True)
class Ended:
    """Tell what one act ended: how many sessions, and the id that `events.read(cause_id=)` lists it by.

    `cause_id` is None for a dry run, which ends nothing.
    """

    count: int
    cause_id: str | None


class Inspection(NamedTuple):
    """Tell what a token is, without ever raising for a bad one.

    `verdict` is `active`, `ended`, `superseded` or `invalid`; `session` and `claims` are None for a token
    that is not ours or whose session was purged. `context` is the authority that an active one carries at
    this moment, and None for any other; whoever holds a bound one has still to prove it.
    """

    verdict: Literal["active", "ended", "superseded", "invalid"]
    session: Session | None
    claims: JSONObject | None
    context: SessionContext | None = None


def json_ready(record: Any, *, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return a record's fields with instants, scopes and actors as JSON values."""
    return {
        each.name: _plain(getattr(record, each.name)) for each in fields(record) if each.name not in leave_out
    }


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, ScopeSet):
        return list(value)
    if isinstance(value, tuple):
        return [each._asdict() if isinstance(each, Actor) else each for each in value]
    return deepcopy(value)
