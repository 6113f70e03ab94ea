"""Sessions: create, list, show, tree, delegate, refresh, revoke; each within the caller's own workspace."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from clawguard.errors import EventsArchived, PolicyDenied, StoreUnavailable
from clawguard.events.audit import AuditLog
from clawguard.models import IssuedSession, Session
from clawguard.server.answers import EndedAnswer, IssuedAnswer, SessionAnswer, SessionPage
from clawguard.server.bodies import StrictRoute
from clawguard.server.callers import ADMIN, Caller, Held, check_outlived, check_within, making, may
from clawguard.server.fields import SessionId
from clawguard.server.first_start import ADMIN_KEY
from clawguard.server.models import (
    Creation,
    Delegation,
    MassRevocation,
    Refreshing,
    Revocation,
    SessionFilters,
    TotalRevocation,
    TreeFilters,
)
from clawguard.server.problems import answers
from clawguard.server.state import State

__all__ = ["router"]

router = APIRouter(route_class=StrictRoute, prefix="/v1/sessions", tags=["sessions"])

_PAGE = 1_000
_OFTEN = (400, 401, 403, 408, 413, 422, 429, 500, 503)
Id = Annotated[SessionId, Path(description="a session's id")]


def _issued(session: IssuedSession) -> dict[str, Any]:
    return session.to_dict() | {"token": session.token, "refresh_token": session.refresh_token}


@router.post("", status_code=201, responses=answers(*_OFTEN, 409))
async def create_session(
    asked: Creation, state: Held, caller: Annotated[Caller, may("clawguard:sessions:create")]
) -> IssuedAnswer:
    """Make a root session in the caller's workspace, and return it with its token.

    Its scopes are some of the caller's own, its role and task the caller's. Without
    `clawguard:admin` it ends when the caller's session must end, or before.
    """
    given = asked.given()
    for name in ("role", "task_type"):
        given[name] = given.get(name) or getattr(caller, name)
    check_within(caller, asked.scopes, role=given["role"], task_type=given["task_type"])
    if ADMIN not in caller.scopes:
        await _check_unbound(state, caller)
    _check_key(caller, asked)
    with await making(state, caller):
        issued = await state.manager.create(
            asked.agent_id, scopes=asked.scopes, workspace_id=caller.workspace_id, **given
        )
    return IssuedAnswer.model_validate(_issued(issued))


def _check_key(caller: Caller, asked: Creation | Delegation) -> None:
    if asked.key == ADMIN_KEY and ADMIN not in caller.scopes:
        raise PolicyDenied("the key of the admin session", "it is the first start's")


async def _check_unbound(state: State, caller: Caller) -> None:
    """Raise PolicyDenied where a root session would leave behind what binds the caller itself.

    That are those above it, uses that are counted, a key, or that it must not hand on.
    """
    own = await state.manager.get_session(caller)
    if own.parent_id is not None or own.uses_left is not None or own.cnf is not None or not own.delegable:
        raise PolicyDenied("a root session", "the caller is bound by more than a root would be")


@router.get("", responses=answers(*_OFTEN, 404))
async def list_sessions(
    filters: Annotated[SessionFilters, Query()],
    state: Held,
    caller: Annotated[Caller, may("clawguard:sessions:read")],
) -> SessionPage:
    """Return a page of the workspace's sessions, newest first."""
    workspace = caller.workspace_id
    if filters.parent_id is not None:
        await state.manager.sessions.get(filters.parent_id, workspace_id=workspace)
    given = filters.model_dump(exclude_none=True)
    page = await state.manager.sessions.page(workspace_id=workspace, **given)
    return SessionPage(items=[_told(each) for each in page.items], next_cursor=page.next_cursor)


def _told(session: Session) -> SessionAnswer:
    return SessionAnswer.model_validate(session.to_dict())


@router.post("/revoke", responses=answers(*_OFTEN))
async def revoke_where(
    asked: MassRevocation | TotalRevocation,
    state: Held,
    caller: Annotated[Caller, may("clawguard:sessions:revoke")],
) -> EndedAnswer:
    """End every session of the workspace that all the filters pick, and all below them.

    `everything` ends all of the workspace's, the caller's own too. With `dry_run` they are counted only.
    Where it fails on the way, the call may be repeated.
    """
    filters = {} if isinstance(asked, TotalRevocation) else asked.where.model_dump(exclude_unset=True)
    ended = await state.manager.revoke_where(
        dry_run=asked.dry_run, reason=asked.reason, workspace_id=caller.workspace_id, **filters
    )
    return EndedAnswer(count=ended.count, cause_id=ended.cause_id)


@router.get("/{session_id}", responses=answers(*_OFTEN, 404))
async def show_session(
    session_id: Id, state: Held, caller: Annotated[Caller, may("clawguard:sessions:read")]
) -> SessionAnswer:
    """Return a session as it is now, ended or not."""
    return _told(await state.manager.sessions.get(session_id, workspace_id=caller.workspace_id))


@router.get("/{session_id}/tree", responses=answers(*_OFTEN, 404))
async def show_tree(
    session_id: Id,
    filters: Annotated[TreeFilters, Query()],
    state: Held,
    caller: Annotated[Caller, may("clawguard:sessions:read")],
) -> SessionPage:
    """Return a page of a session and all below it, parents before children."""
    page = await state.manager.sessions.tree_page(
        session_id, workspace_id=caller.workspace_id, limit=filters.limit, cursor=filters.cursor
    )
    return SessionPage(items=[_told(each) for each in page.items], next_cursor=page.next_cursor)


@router.post("/{session_id}/delegate", status_code=201, responses=answers(*_OFTEN, 404, 409))
async def delegate(
    session_id: Id,
    asked: Delegation,
    state: Held,
    caller: Annotated[Caller, may("clawguard:sessions:delegate")],
) -> IssuedAnswer:
    """Make a child of a session, and return it with its token.

    The child has some of its parent's scopes, and of the caller's own, and a role that both may have.
    """
    parent = await state.manager.sessions.get(session_id, workspace_id=caller.workspace_id)
    _check_key(caller, asked)
    given = asked.given()
    is_own = parent.id == caller.session_id
    if not is_own:
        role, task_type = given.get("role") or parent.role, given.get("task_type") or parent.task_type
        check_within(caller, asked.scopes, role=role, task_type=task_type)
        await check_outlived(state, caller, parent)
    with await making(state, caller):
        issued = await state.manager.delegate(
            caller if is_own else parent, asked.agent_id, scopes=asked.scopes, **given
        )
    return IssuedAnswer.model_validate(_issued(issued))


@router.post("/{session_id}/refresh", responses=answers(*_OFTEN, 404, 409))
async def refresh(
    session_id: Id,
    asked: Refreshing,
    state: Held,
    caller: Annotated[Caller, may("clawguard:sessions:refresh")],
) -> IssuedAnswer:
    """Return a session with its next token; the one before is dead at once.

    The caller gets a token with all that the session has, so it must hold all of that itself.
    """
    session = await state.manager.sessions.get(session_id, workspace_id=caller.workspace_id)
    check_within(caller, session.scopes, role=session.role, task_type=session.task_type)
    if session.id != caller.session_id:
        await check_outlived(state, caller, session)
    issued = await state.manager.refresh(
        session, ttl=asked.ttl, expected_generation=asked.expected_generation
    )
    return IssuedAnswer.model_validate(_issued(issued))


@router.post("/{session_id}/revoke", responses=answers(*_OFTEN, 404))
async def revoke(
    session_id: Id,
    asked: Revocation,
    state: Held,
    caller: Annotated[Caller, may("clawguard:sessions:revoke")],
) -> EndedAnswer:
    """End a session and all below it, at once and everywhere; `count` is 0 when it had ended already."""
    workspace = caller.workspace_id
    if not await state.manager.revoke(session_id, reason=asked.reason, workspace_id=workspace):
        return EndedAnswer(count=0, cause_id=None)
    return await asyncio.to_thread(_ended_by_its_end, state.manager.events, session_id)


def _ended_by_its_end(log: AuditLog, session_id: str) -> EndedAnswer:
    """Return what ended with a session that was just ended: it stands in the log, and the rest behind it."""
    count = 0
    given: dict[str, Any] = {"types": "session.expired", "limit": _PAGE}
    try:
        (own,) = log.read(session_id=session_id, after=log.archived, **given)
        after = own.seq - 1
        while True:
            found = log.read(cause_id=own.cause_id, after=after, **given)
            count += len(found)
            if len(found) < _PAGE:
                return EndedAnswer(count=count, cause_id=own.cause_id)
            after = found[-1].seq
    except (EventsArchived, StoreUnavailable, ValueError):  # it has ended all the same
        return EndedAnswer(count=max(1, count), cause_id=None)
