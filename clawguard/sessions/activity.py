"""`manager.activity`: what a live session is called, where it talks, and what it is doing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from clawguard.checks import check_metadata, check_text, is_integer
from clawguard.clock import SECOND, Duration, microseconds
from clawguard.errors import InvalidArgument
from clawguard.events.log import CLOCK_TOLERANCE
from clawguard.models import STATES, JSONObject, Session, State
from clawguard.sessions.change import Change, SessionDue
from clawguard.sessions.drafts import DEFAULT_WORKSPACE, optional_text
from clawguard.sessions.parts import Parts
from clawguard.sessions.references import SessionRef, find_id
from clawguard.sessions.tickets import Tickets, Wish, take_from_holder
from clawguard.sessions.turns import Turn, TurnDesk
from clawguard.sessions.updating import set_in

__all__ = ["Activity"]

_SHORTEST_LEASE = SECOND // 10


class Activity:
    """Set what belongs to a live session; an ended one raises SessionEnded, an unknown id SessionNotFound.

    With a `workspace_id` a session of another workspace is as unknown as none.
    """

    def __init__(self, parts: Parts) -> None:
        self._store, self._clock, self._new_id = parts.store, parts.clock, parts.new_id
        self._change = parts.change
        self._endings = parts.endings
        tickets = Tickets(parts.store, parts.change, endings=parts.endings, clock=parts.clock)
        self._desk = TurnDesk(tickets, parts.heartbeat, parts.log, parts.clock)

    def set_name(self, session: SessionRef, name: str | None, *, workspace_id: str | None = None) -> Session:
        """Name the session; None or blank takes the name away."""
        return self._update(
            "session.set_name", session, workspace_id, name=optional_text(_trimmed(name), argument="name")
        )

    def set_agent_alias(
        self, session: SessionRef, agent_alias: str | None, *, workspace_id: str | None = None
    ) -> Session:
        """Give the session's agent another name to show; None or blank takes it away."""
        alias = optional_text(_trimmed(agent_alias), argument="agent_alias")
        return self._update("session.set_agent_alias", session, workspace_id, agent_alias=alias)

    def set_metadata(
        self, session: SessionRef, metadata: JSONObject, *, workspace_id: str | None = None
    ) -> Session:
        """Put a JSON object of at most 16 KiB in the place of the session's metadata."""
        return self._update("session.set_metadata", session, workspace_id, metadata=check_metadata(metadata))

    def set_routing(
        self,
        session: SessionRef,
        *,
        channel_id: str | None = None,
        room_id: str | None = None,
        sender_id: str | None = None,
        workspace_id: str | None = None,
    ) -> Session:
        """Note where the session talks; what is None or blank stays as it was."""
        given = {"channel_id": channel_id, "room_id": room_id, "sender_id": sender_id}
        checked = {name: optional_text(_trimmed(value), argument=name) for name, value in given.items()}
        return self._update("session.set_routing", session, workspace_id, **checked)

    def set_state(
        self,
        session: SessionRef,
        state: State,
        *,
        turn_id: str | None = None,
        workspace_id: str | None = None,
    ) -> Session:
        """Note by hand that a turn began (`running`), ended (`idle`) or failed (`error`).

        It makes nobody wait. `idle` and `error` end a turn that a `turn` block holds: its holder is told, the
        next one begins. While it is held, `running` raises InvalidArgument.
        """
        if state not in STATES:
            raise InvalidArgument("state", f"must be one of {', '.join(STATES)}")
        started = self._clock.now() if state == "running" else None
        turn = optional_text(turn_id, argument="turn_id")

        def note(change: Change, session_id: str) -> Session:
            take_from_holder(change, session_id, state=state)
            columns = {"state": state, "turn_id": turn, "turn_started_at": started}
            return set_in(change, "session.set_state", session_id, **columns)

        return self._in_change(note, session, workspace_id)

    def turn(
        self,
        session: SessionRef,
        *,
        turn_id: str | None = None,
        queue: int = 8,
        timeout: Duration | None = 30,
        lease: Duration = 15,
        workspace_id: str | None = None,
    ) -> Turn:
        """Take a session's turn for a block; a context manager, plain and async, that gives the `Turn`.

        One block at a time has it, over all threads, tasks and processes, in the order they came in. The
        session's state is `running` meanwhile, then `idle`, or `error` where the block raised anything. At
        most `queue` may wait, a further one gets TurnQueueFull at once; TurnTimeout comes after `timeout`
        seconds (None: never), SessionEnded as soon as the session is over.

        The lease is renewed while the block runs. A holder that died or was stopped is taken over from once
        it has been silent for `lease` seconds; it is told by `Turn.check` and on leaving: TurnLost. For that
        and for the session's end an `async with` body is cancelled within a second. A block that hangs keeps
        its turn: `stuck` finds it, `set_state` takes it away. Asking again within the block waits for itself.
        """
        if not is_integer(queue, least=0):
            raise InvalidArgument("queue", "must be a whole number, 0 or more")
        length = microseconds(lease, argument="lease")
        if length < _SHORTEST_LEASE:
            raise InvalidArgument("lease", "must be at least a tenth of a second")
        wish = Wish(
            session_id=find_id(self._store, session, workspace_id=workspace_id),
            turn_id=optional_text(turn_id, argument="turn_id") or self._new_id(self._clock.now()),
            queue=queue,
            timeout=None if timeout is None else microseconds(timeout, argument="timeout", least=0),
            lease=length,
        )
        return Turn(self._desk, wish)

    def running(self, *, workspace_id: str = DEFAULT_WORKSPACE) -> tuple[Session, ...]:
        """Return the live sessions with a turn under way, the newest turn first."""
        return self._list("session.running", workspace_id)

    def stuck(
        self, older_than: float | timedelta, *, workspace_id: str = DEFAULT_WORKSPACE
    ) -> tuple[Session, ...]:
        """Return the live sessions whose turn began more than `older_than` seconds ago, the oldest first.

        Those whose holder has been silent for longer than its lease are among them, whenever they began.
        """
        before = self._clock.now() - microseconds(older_than, argument="older_than", least=0)
        return self._list("session.stuck", workspace_id, before=before, tolerance=CLOCK_TOLERANCE)

    def _list(self, statement: str, workspace_id: str, **params: int) -> tuple[Session, ...]:
        workspace = check_text(workspace_id, argument="workspace_id")
        rows = self._store.read(statement, workspace_id=workspace, now=self._clock.now(), **params)
        return tuple(Session.from_tuple(row) for row in rows)

    def _update(
        self, statement: str, session: SessionRef, workspace_id: str | None, **columns: Any
    ) -> Session:
        def update(change: Change, session_id: str) -> Session:
            return set_in(change, statement, session_id, **columns)

        return self._in_change(update, session, workspace_id)

    def _in_change(
        self, act: Callable[[Change, str], Session], session: SessionRef, workspace_id: str | None
    ) -> Session:
        session_id = find_id(self._store, session, workspace_id=workspace_id)
        try:
            with self._change(durable=False) as change:
                return act(change, session_id)
        except SessionDue:
            raise self._endings.settle(session_id) from None


def _trimmed(text: str | None) -> str | None:
    """Return a text without the blanks around it; None for one that is blank."""
    return text.strip() or None if isinstance(text, str) else text
