"""Publishing: events of the host's own, in the same log and on the same bus."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from clawguard.errors import SessionNotFound
from clawguard.events.event import Event
from clawguard.sessions.change import Change
from clawguard.sessions.current import bound_session_id, who_acts
from clawguard.sessions.drafts import optional_text
from clawguard.sessions.parts import Parts
from clawguard.sessions.references import SessionRef, session_id_of

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Payload", "Publishing"]

Payload: TypeAlias = "BaseModel | Mapping[str, Any]"


class Publishing:
    """Append events of registered types."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def publish(
        self,
        event_type: str,
        payload: Payload,
        *,
        session: SessionRef | None,
        workspace_id: str | None,
        actor: str | None,
        cause_id: str | uuid.UUID | None,
    ) -> Event:
        """Append one event: see `SessionManager.publish`."""
        data = self._parts.bus.types.data_of(event_type, payload)
        cause = str(cause_id) if isinstance(cause_id, uuid.UUID) else cause_id
        fields: dict[str, Any] = {
            "workspace_id": optional_text(workspace_id, argument="workspace_id"),
            "actor": who_acts(actor),
            "cause_id": optional_text(cause, argument="cause_id"),
            "data": data,
        }
        named = None if session is None else session_id_of(session)
        session_id = named or bound_session_id()
        with self._parts.change(durable=True) as change:
            fields |= _whose(change, session_id, workspace_id=workspace_id, must_be=named is not None)
            change.writer.append(event_type, **fields)
        return change.writer.written[0].event()


def _whose(
    change: Change, session_id: str | None, *, workspace_id: str | None, must_be: bool
) -> dict[str, str]:
    """Return whose a session is, if there is one; one that is bound here may be of another database."""
    row = None if session_id is None else change.one("session.whose", id=session_id)
    if row is not None and workspace_id in (None, row[3]):
        return dict(zip(("session_id", "agent_id", "subject", "workspace_id"), row, strict=True))
    if session_id is not None and must_be:
        raise SessionNotFound(session_id)
    return {}
