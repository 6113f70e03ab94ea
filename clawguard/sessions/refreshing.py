"""Refreshing: the next token of a session, by compare-and-set of its generation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clawguard.clock import SECOND, to_datetime, to_microseconds
from clawguard.errors import InvalidArgument, TokenSuperseded
from clawguard.models import IssuedSession, Session
from clawguard.sessions.change import Change, RevisionMoved, SessionDue
from clawguard.sessions.drafts import Ends, optional_duration
from clawguard.sessions.handing import ends_of, hand_out, read_live
from clawguard.sessions.parts import Parts

__all__ = ["Refreshing"]


class Refreshing:
    """Issue the next token of a session."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def refresh(self, session_id: str, *, ttl: Any, expected_generation: int | None) -> IssuedSession:
        """Issue the next token of a session: see `SessionManager.refresh`."""
        asked = optional_duration(ttl, argument="ttl")
        if expected_generation is not None and type(expected_generation) is not int:
            raise InvalidArgument("expected_generation", "must be an integer")
        while True:
            session = read_live(self._parts, session_id)
            if expected_generation is not None and session.generation > expected_generation:
                raise TokenSuperseded
            if expected_generation is not None and session.generation < expected_generation:
                raise InvalidArgument("expected_generation", f"is above the session's, {session.generation}")
            issued = self._advance(session, asked)
            if issued is not None:
                return issued

    def _advance(self, session: Session, asked: int | None) -> IssuedSession | None:
        """Sign the next generation, then compare and set; None when another came first or the keys moved."""
        ring = self._parts.guard.ring
        signer = ring.require_signer()
        now = self._parts.clock.now()
        end = self._next_end(session, now + (asked or round(session.ttl * SECOND)))
        ahead = replace(
            session,
            generation=session.generation + 1,
            jti=self._parts.new_id(now),
            kid=signer.kid,
            issued_at=to_datetime(now),
            token_expires_at=to_datetime(end),
            expires_at=to_datetime(end),
        )
        token = self._parts.guard.issue(ahead, signer)
        try:
            with self._parts.change(durable=True) as change:
                change.expect_revision(ring.revision)
                row = _set_generation(change, ahead, now=now, end=end)
        except RevisionMoved:
            self._parts.keychain.reload()
            return None
        except SessionDue as due:
            raise self._parts.endings.settle(due.session_id) from None
        return (
            None
            if row is None
            else hand_out(self._parts, Session.from_tuple(row), token, revision=ring.revision)
        )

    def _next_end(self, session: Session, wanted: int) -> int:
        """Return the wanted end within the own and the parent's limits, never before the present one."""
        limit = to_microseconds(session.absolute_expires_at)
        if session.parent_id is not None:
            rows = self._parts.store.read("session.ends", id=session.parent_id)
            limit = min(limit, Ends(*rows[0]).expires_at) if rows else 0
        return max(to_microseconds(session.expires_at), min(wanted, limit))


def _set_generation(change: Change, ahead: Session, *, now: int, end: int) -> Any:
    """Move the row to its next generation, which is activity of its whole line; None when it moved already.

    The row alone decides: it ended with its parent, and its end is never later than the parent's.
    """
    row = change.one(
        "session.advance",
        id=ahead.id,
        generation=ahead.generation - 1,
        jti=ahead.jti,
        kid=ahead.kid,
        issued_at=now,
        expires_at=end,
        now=change.now,
    )
    if row is None:
        current = ends_of(change, ahead.id)
        if current is not None and current.cause is None and current.due_at <= change.now:
            raise SessionDue(ahead.id)
        return None
    if ahead.parent_id is not None and ahead.idle_timeout is not None:
        change.tx.run("session.touch", id=ahead.parent_id, at=change.now, now=change.now)
    change.writer.append(
        "session.refreshed",
        session_id=ahead.id,
        version=row[1],
        agent_id=ahead.agent_id,
        subject=ahead.subject,
        workspace_id=ahead.workspace_id,
        data={"generation": ahead.generation, "expires_at": end},
    )
    return row
