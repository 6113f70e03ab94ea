"""`manager.activity`: what a live session is called, where it talks, and what it is doing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from clawguard.checks import check_metadata, check_text
from clawguard.clock import Clock, microseconds
from clawguard.errors import InvalidArgument
from clawguard.models import STATES, JSONObject, Session, State
from clawguard.sessions.change import Change, SessionDue, about
from clawguard.sessions.drafts import DEFAULT_WORKSPACE, optional_text
from clawguard.sessions.ending import Endings
from clawguard.sessions.references import SessionRef, find_id
from clawguard.store import Store

__all__ = ["Activity"]


class Activity:
    """Set what belongs to a live session; an ended one raises SessionEnded, an unknown id SessionNotFound.

    With a `workspace_id` a session of another workspace is as unknown as none.
    """

    def __init__(
        self, store: Store, change: Callable[..., Change], *, endings: Endings, clock: Clock
    ) -> None:
        self._store = store
        self._change = change
        self._endings = endings
        self._clock = clock

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
        """Note that a turn began (`running`), ended (`idle`) or failed (`error`)."""
        if state not in STATES:
            raise InvalidArgument("state", f"must be one of {', '.join(STATES)}")
        started = self._clock.now() if state == "running" else None
        turn = optional_text(turn_id, argument="turn_id")
        return self._update(
            "session.set_state", session, workspace_id, state=state, turn_id=turn, turn_started_at=started
        )

    def running(self, *, workspace_id: str = DEFAULT_WORKSPACE) -> tuple[Session, ...]:
        """Return the live sessions with a turn under way, the newest turn first."""
        return self._list("session.running", workspace_id)

    def stuck(
        self, older_than: float | timedelta, *, workspace_id: str = DEFAULT_WORKSPACE
    ) -> tuple[Session, ...]:
        """Return the live sessions whose turn began more than `older_than` seconds ago, the oldest first."""
        before = self._clock.now() - microseconds(older_than, argument="older_than", least=0)
        return self._list("session.stuck", workspace_id, before=before)

    def _list(self, statement: str, workspace_id: str, **params: int) -> tuple[Session, ...]:
        workspace = check_text(workspace_id, argument="workspace_id")
        rows = self._store.read(statement, workspace_id=workspace, now=self._clock.now(), **params)
        return tuple(Session.from_tuple(row) for row in rows)

    def _update(
        self, statement: str, session: SessionRef, workspace_id: str | None, **columns: Any
    ) -> Session:
        session_id = find_id(self._store, session, workspace_id=workspace_id)
        try:
            with self._change(durable=False) as change:
                row = change.one(statement, id=session_id, now=change.now, **columns)
                if row is None:
                    raise change.why_not_live(session_id)
                updated = Session.from_tuple(row)
                changed = sorted(name for name, value in columns.items() if value is not None)
                change.writer.append(
                    "session.updated",
                    **about(updated, version=updated.version),
                    data={"fields": changed or sorted(columns)},
                )
        except SessionDue:
            raise self._endings.settle(session_id) from None
        return updated


def _trimmed(text: str | None) -> str | None:
    """Return a text without the blanks around it; None for one that is blank."""
    return text.strip() or None if isinstance(text, str) else text
