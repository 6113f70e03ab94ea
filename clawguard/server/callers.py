"""Who calls: the session behind a request's token, and what it may hand on."""

# No annotations as text here: FastAPI reads those of `__call__`.

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from clawguard.clock import to_microseconds
from clawguard.errors import ClawguardError, InsufficientScope, PolicyDenied
from clawguard.models import Session, SessionContext
from clawguard.scopes import Scopes, parse_scopes
from clawguard.server.loads import PLACE_KEY, Place
from clawguard.server.problems import Failed
from clawguard.server.rates import network_of
from clawguard.server.state import State, state_of
from clawguard.sessions.makers import Maker, made_for
from clawguard.web.asgi import SCOPE_KEY, address_of, read_scope
from clawguard.web.bearer import Refusal, certificate_proof
from clawguard.web.fastapi import Refused

__all__ = [
    "ADMIN",
    "DELEGATE",
    "REVOKE",
    "SCHEME_NAME",
    "SCOPES",
    "Caller",
    "Held",
    "check_outlived",
    "check_whole_database",
    "check_within",
    "count_address",
    "count_question",
    "identify",
    "making",
    "may",
]

SCHEME_NAME = "Clawguard"
ADMIN = "clawguard:admin"
DELEGATE = "clawguard:sessions:delegate"
REVOKE = "clawguard:sessions:revoke"
SCOPES = {
    "clawguard:sessions:create": "make root sessions",
    "clawguard:sessions:read": "read sessions",
    DELEGATE: "make child sessions of any session",
    "clawguard:sessions:refresh": "get the next token of any session",
    REVOKE: "end any session",
    "clawguard:history:read": "read and search conversations",
    "clawguard:events:read": "read and follow the log",
    "clawguard:keys:read": "list the signing keys",
    "clawguard:keys:rotate": "rotate the signing keys",
    "clawguard:introspect": "ask about tokens of others",
    "clawguard:metrics:read": "read the metrics",
    ADMIN: "make sessions that outlive the caller's own",
}
"""What the server's own callers may hold, each in its own workspace."""


class _Scheme(SecurityBase):
    """Have the guard of the server that a request came to check it."""

    def __init__(self) -> None:
        self.scheme_name = SCHEME_NAME
        self.model = HTTPBearer(bearerFormat="JWT", description="a clawguard token; a bound one as DPoP")

    async def __call__(self, conn: HTTPConnection, needed: SecurityScopes) -> AsyncIterator[SessionContext]:
        """Bind the caller's session while the request is answered."""
        async with asynccontextmanager(state_of(conn).guard.__call__)(conn, needed) as session:
            assert session is not None  # noqa: S101  # this guard lets nobody's requests through to nothing
            _take_place(conn, session)
            try:
                yield session
            except ClawguardError as error:
                raise Failed(error) from None


_scheme = _Scheme()

Caller = SessionContext


async def _held(conn: HTTPConnection) -> State:
    return state_of(conn)  # awaited: FastAPI would run a plain function in a thread, for each request


Held = Annotated[State, Depends(_held)]


def may(*scopes: str) -> Any:
    """Return the dependency on a caller that holds all of the scopes."""
    return Security(_scheme, scopes=list(scopes))


async def identify(conn: HTTPConnection, state: State) -> SessionContext | None:
    """Return who calls, or None for a request without any credential; its session is not bound.

    For the endpoints where a token in the body may be credential enough. Raises Refused.
    """
    front = state.front
    found = read_scope(conn.scope, front)
    if isinstance(found, Refusal):
        if front.lets_through(found):
            return None
        raise Refused(found)
    caller = front.caller(address_of(conn.scope))
    reported = None if found.proof or front.certificate_of is None else front.certificate_of(conn)
    proof = found.proof or certificate_proof(reported)
    try:
        session = await asyncio.to_thread(caller.validate, found.token, proof=proof)
    except ClawguardError as error:
        raise Refused(front.refuse(found)(error)) from None
    conn.scope[SCOPE_KEY] = session
    _take_place(conn, session)
    return session


def _take_place(conn: HTTPConnection, session: SessionContext) -> None:
    """Count a request as its caller's workspace's, so that none takes all of the server."""
    place: Place = conn.scope[PLACE_KEY]
    place.of(session.workspace_id)


def check_within(
    caller: SessionContext, scopes: Scopes, *, role: str | None, task_type: str | None = None
) -> None:
    """Raise unless a caller holds itself what a token is to hold that it will be given.

    Scopes: all of them. A role and a task set ceilings and decide rules, so a caller gives its own, if it has
    one; with `clawguard:admin` any.
    """
    wanted = parse_scopes(scopes)
    missing = caller.scopes.missing(wanted)
    if missing:
        raise InsufficientScope(caller.agent_id, tuple(wanted), missing)
    if ADMIN in caller.scopes:
        return
    if role != caller.role:
        raise PolicyDenied("another role", f"the caller has {_named('the role', caller.role)}")
    if task_type != caller.task_type:
        raise PolicyDenied("another task", f"the caller has {_named('the task', caller.task_type)}")


def _named(what: str, name: str | None) -> str:
    return "none" if name is None else f"{what} {name}"


def count_address(state: State, kind: str, conn: HTTPConnection) -> None:
    """Count a request for where it comes from; raise Crowded where it is one too many."""
    state.rates.count(kind, f"address:{network_of(address_of(conn.scope))}")


async def count_question(conn: HTTPConnection, state: Held) -> None:
    """Count a question before its caller is known: who has no token is not free to try."""
    count_address(state, "check", conn)


async def making(
    state: State, caller: SessionContext, *, is_asking: bool = True
) -> AbstractContextManager[None]:
    """Return a block in which root sessions and children are made for a caller: none outlives it.

    With `clawguard:admin` one may. Only who is asking, and may end any session, has one evicted for another.
    """
    ends_at = None
    if ADMIN not in caller.scopes:
        ends_at = to_microseconds((await state.manager.get_session(caller)).absolute_expires_at)
    return made_for(Maker(caller.session_id, ends_at=ends_at, evicts=is_asking and REVOKE in caller.scopes))


async def check_outlived(state: State, caller: SessionContext, session: Session) -> None:
    """Raise PolicyDenied where a session lasts longer than the caller that would hand a token of it out."""
    if ADMIN in caller.scopes:
        return
    own = await state.manager.get_session(caller)
    if session.absolute_expires_at > own.absolute_expires_at:
        raise PolicyDenied("a session that outlives the caller", "it needs clawguard:admin")


def check_whole_database(caller: SessionContext, state: State) -> None:
    """Raise unless a caller may do what concerns every workspace."""
    if caller.workspace_id != state.settings.workspace:
        raise PolicyDenied("what concerns the whole database", "the caller is of another workspace")
