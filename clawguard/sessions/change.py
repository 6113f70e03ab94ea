"""One use case, one transaction: state and events together, signals after the commit."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, suppress
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from clawguard.clock import Clock
from clawguard.errors import SessionEnded, SessionNotFound
from clawguard.events.entries import Entry
from clawguard.events.log import EventLog, LogWriter
from clawguard.models import Session
from clawguard.sessions.hinting import voids_token
from clawguard.store import Reach, Row, Store, Transaction

__all__ = ["Change", "Ends", "RevisionMoved", "SessionDue", "about"]

_logger = logging.getLogger("clawguard.sessions")


class RevisionMoved(Exception):
    """Keys or policy changed since the token was signed: load them, look again, sign again."""


class SessionDue(Exception):
    """A change met a session that is past its end but not yet recorded as ended."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id)
        self.session_id = session_id


class Ends(NamedTuple):
    """Hold the columns of `session.ends`, in its order: what a change looks at again under the lock."""

    generation: int
    expires_at: int
    due_at: int
    cause: str | None
    reason: str | None
    due_cause: str
    uses_left: int | None
    version: int


def _log_ends(written: list[Entry]) -> None:
    ended = [entry.body for entry in written if entry.body["type"] == "session.expired"]
    if ended:
        first = ended[0]
        with suppress(Exception):  # the change stands, whatever becomes of what is said of it
            _logger.info(
                "ended %d session(s), the first %s: %s", len(ended), first["session_id"], first["cause"]
            )


class Change:
    """Hold the write lock, the time as it is under it, and the log's writer.

    `durable` is needed by whatever may write an end, a generation or a key: it survives power loss. With a
    `reach` the lock is shared with changes that reach elsewhere: it may depend on what is in that tree, what
    those names are given to, and what only changes without a reach move: keys, policy, disabled agents.
    """

    __slots__ = ("_clock", "_log", "_transaction", "now", "tx", "writer")

    def __init__(
        self, store: Store, log: EventLog, clock: Clock, *, durable: bool, reach: Reach | None = None
    ) -> None:
        self._log = log
        self._clock = clock
        self._transaction: AbstractContextManager[Transaction] = store.transaction(
            durable=durable, reach=reach
        )
        self.tx: Transaction
        self.writer: LogWriter
        self.now = 0

    def __enter__(self) -> Change:
        self.tx = self._transaction.__enter__()
        try:
            self.writer = self._log.writer(self.tx, now=self._clock.now())
            self.now = self.writer.now
        except BaseException as error:
            self._transaction.__exit__(type(error), error, error.__traceback__)
            raise
        # No reference back to this change or its transaction: both must go the moment their block is left.
        self.tx.on_commit(partial(self._log.announce, self.writer.written))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and any(map(voids_token, self.writer.written)):
            self.tx.hint()
        self._transaction.__exit__(kind, error, trace)
        if kind is None and self.writer.written:
            self._log.after_commit(self.writer.written)
            _log_ends(self.writer.written)

    def one(self, name: str, /, **params: Any) -> Row | None:
        """Run a statement and return its first row, if any."""
        rows = self.tx.run(name, **params)
        return rows[0] if rows else None

    def ends_of(self, session_id: str) -> Ends | None:
        """Return where a session's own end stands, or None for an unknown one."""
        row = self.one("session.ends", id=session_id)
        return None if row is None else Ends(*row)

    def why_not_live(self, session_id: str) -> Exception:
        """Return what to raise for a session that is not live: SessionDue for one to be settled."""
        row = self.one("session.ended_as", id=session_id)
        if row is None:
            return SessionNotFound(session_id)
        cause, reason = row
        return SessionDue(session_id) if cause is None else SessionEnded(cause, reason)

    def expect_revision(self, revision: int) -> None:
        """Raise RevisionMoved when keys or policy are not those that were gone by."""
        if self.writer.revision != revision:
            raise RevisionMoved


def about(session: Session, *, version: int) -> dict[str, Any]:
    """Return the fields that say in an event which session it concerns, at a version of its row."""
    return {
        "session_id": session.id,
        "version": version,
        "agent_id": session.agent_id,
        "subject": session.subject,
        "workspace_id": session.workspace_id,
    }
