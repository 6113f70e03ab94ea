"""What callers name a session by: an id or a record, never a token."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from clawguard.checks import check_text, is_token
from clawguard.errors import InvalidArgument, SessionNotFound
from clawguard.models import Session, SessionContext
from clawguard.sessions.drafts import Authority
from clawguard.store import Store

__all__ = ["SessionRef", "authority_by", "find_id", "session_id_of"]

SessionRef = str | uuid.UUID | Session | SessionContext


def session_id_of(session: SessionRef, *, argument: str = "session") -> str:
    """Return the id of an id or a record; a token is refused, for ids stand in logs and tokens must not."""
    if isinstance(session, Session):
        return session.id
    if isinstance(session, SessionContext):
        return session.session_id
    if isinstance(session, uuid.UUID):
        return str(session)
    if isinstance(session, str) and (session.count(".") == 2 or is_token(session)):
        raise InvalidArgument(argument, "is a token, not an id", hint="pass the session's id or its record")
    return check_text(session, argument=argument)


def find_id(store: Store, session: SessionRef, *, workspace_id: str | None) -> str:
    """Return the id that a session is named by; one of another workspace is as unknown as none.

    Without a workspace any will do. Raises SessionNotFound.
    """
    session_id = session_id_of(session)
    if workspace_id is not None:
        check_text(workspace_id, argument="workspace_id")
        if store.read("session.workspace", id=session_id) != [(workspace_id,)]:
            raise SessionNotFound(session_id)
    return session_id


def authority_by(
    parent: str | Session | SessionContext, identify: Callable[[str], SessionContext]
) -> Authority:
    """Return in whose name a delegation is asked: a token is the agent's word, a record the host's own."""
    if isinstance(parent, str):
        parent = identify(parent)
    if isinstance(parent, SessionContext):
        return Authority(parent.session_id, parent.scopes, parent.generation)
    if isinstance(parent, Session):
        return Authority(parent.id, None, None)
    raise InvalidArgument("parent", "must be a token or a record", hint="sessions.get(id) gives the record")
