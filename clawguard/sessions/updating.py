"""Setting something of a live session, in a change that is under way, with its event."""

from __future__ import annotations

from typing import Any

from clawguard.models import Session
from clawguard.sessions.change import Change, about

__all__ = ["set_if_live", "set_in"]


def set_in(change: Change, statement: str, session_id: str, **columns: Any) -> Session:
    """Run a `session.set_…` statement and append its event.

    Raises SessionNotFound, SessionEnded, SessionDue.
    """
    updated = set_if_live(change, statement, session_id, **columns)
    if updated is None:
        raise change.why_not_live(session_id)
    return updated


def set_if_live(change: Change, statement: str, session_id: str, **columns: Any) -> Session | None:
    """Do the same where the session is live; None, and nothing done, where it is not."""
    row = change.one(statement, id=session_id, now=change.now, **columns)
    if row is None:
        return None
    updated = Session.from_tuple(row)
    changed = sorted(name for name, value in columns.items() if value is not None)
    change.writer.append(
        "session.updated",
        **about(updated, version=updated.version),
        data={"fields": changed or sorted(columns)},
    )
    return updated
