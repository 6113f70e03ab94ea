"""Ends: each session has one, with one cause and one event, whichever processes race for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from clawguard.clock import SECOND, Clock, IdFactory
from clawguard.errors import AccessDenied, InvalidToken, SessionEnded, SessionNotFound, TokenSuperseded
from clawguard.models import Cause, SessionContext
from clawguard.sessions.change import Change
from clawguard.store import Reach, Row, Store

__all__ = ["Endings"]

_BATCH = 500
_STEP = 100
_ALL = 2**62
_HOLD = SECOND // 50  # what one batch of a sweep may take of the write lock, before its commit


class Endings:
    """End sessions: one with its subtree, those that are due, those that filters pick."""

    def __init__(
        self, store: Store, change: Callable[..., Change], *, clock: Clock, new_id: IdFactory
    ) -> None:
        self._store = store
        self._change = change
        self._clock = clock
        self._new_id = new_id

    def end(self, session_id: str, *, cause: Cause, reason: str | None, actor: str | None) -> bool:
        """End a session and everything below it in one transaction; False when it had ended already.

        Raises SessionNotFound for an unknown id.
        """
        with self._change(durable=True, reach=Reach(session_id)) as change:
            ended = self.end_in(change, session_id, cause=cause, reason=reason, actor=actor)
            if not ended and not self.end_due_in(change, session_id):
                _require_known(change, session_id)
        return ended

    def spend_in(self, change: Change, context: SessionContext) -> None:
        """Take one use of a session, in a power-safe change that is under way; the last one ends it.

        Raises SessionEnded, TokenSuperseded or InvalidToken where there is none to take any more.
        """
        mark = {"id": context.session_id, "generation": context.generation, "now": change.now}
        left = change.one("session.spend", **mark)
        if left is None:
            raise _why_unspent(change, context)
        if left[0] == 0:
            self.end_in(change, context.session_id, cause="uses", reason=None, actor=None)

    def settle(self, session_id: str) -> SessionEnded:
        """Record the natural end of a session that is due, and return the refusal that answers for it."""
        with self._change(durable=True, reach=Reach(session_id)) as change:
            self.end_due_in(change, session_id)
            cause, reason = _require_known(change, session_id)
        return SessionEnded(cause, reason)

    def sweep(self, *, batch: int = _BATCH) -> int:
        """Record the natural ends of all that is due, in batches; return how many ended.

        Each row is claimed by a compare-and-set, so that any number of sweepers may run.
        """
        total = 0
        while self._store.read("session.any_due", now=self._clock.now()):
            with self._change(durable=True) as change:
                self._sweep_in(change, batch=batch, until=self._clock.elapsed() + _HOLD)
                total += len(change.writer.written)
            if not change.writer.written:
                break  # somebody else is at it
        return total

    def _sweep_in(self, change: Change, *, batch: int, until: int) -> None:
        """Record natural ends, at most a batch and up to a moment: others wait to write."""
        step = min(batch, _STEP)
        for _ in range(batch // step):
            rows = change.tx.run("session.claim_due", now=change.now, limit=step)
            self._record(change, rows)
            self._end_orphans(change, rows)
            if len(rows) < step or self._clock.elapsed() >= until:
                return

    def end_matching(
        self, change: Change, filters: Mapping[str, Any], *, after: str = "", limit: int = _ALL, **given: Any
    ) -> tuple[int, str | None]:
        """End what filters pick, at most `limit` of it, with all below; return how many and the last id.

        `given` is the cause, reason, actor and cause id. None for the last id says that nothing is left.
        """
        names = tuple(filters)
        if "agent_id" not in names:
            names = tuple(name.replace("workspace_id", "walked_workspace_id") for name in names)
        found = change.tx.run("session.unended", names, after=after, limit=limit, **filters)
        ended = 0
        for (session_id,) in found:
            before = len(change.writer.written)
            if self.end_in(change, session_id, **given):
                ended += len(change.writer.written) - before
            else:
                self.end_due_in(change, session_id)
        return ended, found[-1][0] if len(found) == limit else None

    def end_in(
        self,
        change: Change,
        session_id: str,
        *,
        cause: Cause,
        reason: str | None,
        actor: str | None,
        cause_id: str | None = None,
    ) -> bool:
        """End a live session with all below it, in a change that is under way; False when it is not live."""
        rows = change.tx.run(
            "session.end_one", id=session_id, now=change.now, cause=cause, reason=reason, actor=actor
        )
        if not rows:
            return False
        self._cascade(change, rows, actor=actor, cause_id=cause_id or self._new_id(change.now))
        return True

    def end_due_in(self, change: Change, session_id: str) -> bool:
        """Record the natural end of a session that is due, in a change that is under way."""
        rows = change.tx.run("session.end_due", id=session_id, now=change.now)
        if rows:
            self._cascade(change, rows, actor=None, cause_id=None)
        return bool(rows)

    def _cascade(self, change: Change, rows: list[Row], *, actor: str | None, cause_id: str | None) -> None:
        session_id = rows[0][0]
        if change.one("session.has_children", id=session_id) is not None:
            rows = rows + change.tx.run("session.end_below", id=session_id, now=change.now, actor=actor)
        self._record(change, rows, cause_id=cause_id)

    def _end_orphans(self, change: Change, rows: list[Row]) -> None:
        """End what a claimed session still had below it; their ends are never later than its own."""
        if not rows:
            return
        ids = json.dumps([row[0] for row in rows])
        for (parent_id,) in change.tx.run("session.parents_among", ids=ids):
            below = change.tx.run("session.end_below", id=parent_id, now=change.now, actor=None)
            self._record(change, below)

    def _record(self, change: Change, rows: list[Row], *, cause_id: str | None = None) -> None:
        change.writer.append_many("session.expired", [_fields(row, cause_id) for row in rows])


def _fields(row: Row, cause_id: str | None) -> dict[str, Any]:
    session_id, version, agent_id, subject, workspace_id, cause, reason, ended_by = row
    return {
        "session_id": session_id,
        "version": version,
        "agent_id": agent_id,
        "subject": subject,
        "workspace_id": workspace_id,
        "cause": cause,
        "reason": reason,
        "actor": ended_by,
        "cause_id": cause_id,
    }


def _require_known(change: Change, session_id: str) -> tuple[str, str | None]:
    row = change.one("session.ended_as", id=session_id)
    if row is None:
        raise SessionNotFound(session_id)
    return row[0] or "ttl", row[1]


def _why_unspent(change: Change, context: SessionContext) -> AccessDenied:
    ends = change.ends_of(context.session_id)
    if ends is None:
        return InvalidToken()
    if ends.cause is not None:
        return SessionEnded(ends.cause, ends.reason)
    if ends.due_at <= change.now:
        return SessionEnded(ends.due_cause)
    return TokenSuperseded() if ends.generation != context.generation else SessionEnded("uses")
