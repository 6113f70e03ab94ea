"""Refreshing: the next token of a session, by compare-and-set of its generation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clawguard.clock import SECOND, to_datetime, to_microseconds
from clawguard.errors import InvalidArgument, TokenSuperseded
from clawguard.models import IssuedSession, Session
from clawguard.sessions.change import Change, Ends, RevisionMoved, SessionDue, about
from clawguard.sessions.drafts import optional_duration
from clawguard.sessions.handing import hand_out, read_live
from clawguard.sessions.parts import Parts
from clawguard.store import Reach

__all__ = ["Refreshing", "next_of", "set_generation"]


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
        ahead = next_of(self._parts, session, kid=signer.kid, ttl=asked)
        token = self._parts.guard.issue(ahead, signer)
        try:
            with self._parts.change(durable=True, reach=Reach(session.id)) as change:
                change.expect_revision(ring.revision)
                row = set_generation(change, ahead)
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


def next_of(
    parts: Parts, session: Session, *, kid: str, ttl: int | None = None, is_redeemed: bool = False
) -> Session:
    """Return the session as its next generation would be, to be signed and then set."""
    now = parts.clock.now()
    end, token_end = _ends_within(parts, session, now=now, ttl=ttl, is_redeemed=is_redeemed)
    return replace(
        session,
        generation=session.generation + 1,
        jti=parts.new_id(now),
        kid=kid,
        issued_at=to_datetime(now),
        token_expires_at=to_datetime(token_end),
        expires_at=to_datetime(end),
    )


def _ends_within(
    parts: Parts, session: Session, *, now: int, ttl: int | None, is_redeemed: bool
) -> tuple[int, int]:
    """Return the session's next end and its next token's, in microseconds, within its own and its parent's.

    The session's is never before its present one. Without a refresh token it is the token's too; with one it
    is `refresh_idle` after the redeem.
    """
    limit = to_microseconds(session.absolute_expires_at)
    if session.parent_id is not None:
        rows = parts.store.read("session.ends", id=session.parent_id)
        limit = min(limit, Ends(*rows[0]).expires_at) if rows else 0
    token_end = min(now + (ttl or round(session.ttl * SECOND)), limit)
    present = to_microseconds(session.expires_at)
    if session.refresh_idle is None:
        end = max(present, token_end)
        return end, end
    idle_end = now + round(session.refresh_idle * SECOND)
    if not is_redeemed:
        idle_end = min(idle_end, token_end)
    end = max(present, min(idle_end, limit))
    return end, min(token_end, end)


def set_generation(change: Change, ahead: Session) -> Any:
    """Move the row to its next generation, which is activity of its whole line; None when it moved already.

    The row alone decides: it ended with its parent, and its end is never later than the parent's.
    """
    row = change.one(
        "session.advance",
        id=ahead.id,
        generation=ahead.generation - 1,
        jti=ahead.jti,
        kid=ahead.kid,
        issued_at=to_microseconds(ahead.issued_at),
        token_expires_at=to_microseconds(ahead.token_expires_at),
        expires_at=to_microseconds(ahead.expires_at),
        now=change.now,
    )
    if row is None:
        current = change.ends_of(ahead.id)
        if current is not None and current.cause is None and current.due_at <= change.now:
            raise SessionDue(ahead.id)
        return None
    if ahead.parent_id is not None and ahead.idle_timeout is not None:
        change.tx.run("session.touch", id=ahead.parent_id, at=change.now, now=change.now)
    change.writer.append(
        "session.refreshed",
        **about(ahead, version=row[1]),
        data={"generation": ahead.generation, "expires_at": to_microseconds(ahead.expires_at)},
    )
    return row
