"""The record of one event: one entry of the log, as it is read, heard and sent on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from clawguard.models import JSONObject, json_ready

__all__ = ["Event"]

SOURCE = "urn:clawguard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Hold one entry of the log; `str()` is one aligned line.

    `seq` counts from 1 without gaps. `hash` is SHA-256 over `prev_hash` and the RFC 8785 text. On PostgreSQL
    a live receiver may hear of an event before that has its place in the log: then `seq` is 0 and both
    hashes are empty. Whatever is read from the log, and whatever a durable subscriber gets, has all three.
    """

    seq: int
    id: str
    type: str
    at: datetime
    workspace_id: str | None
    session_id: str | None
    version: int | None
    agent_id: str | None
    subject: str | None
    actor: str | None
    cause: str | None
    reason: str | None
    cause_id: str | None
    data: JSONObject
    prev_hash: str
    hash: str

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-ready values."""
        return json_ready(self)

    def to_cloudevent(self, *, source: str = SOURCE) -> dict[str, Any]:
        """Return the event as CloudEvents 1.0 JSON; `source` is which log it is of: give `manager.issuer`."""
        from clawguard.events.formats.cloudevents import cloudevent

        return cloudevent(self, source=source)

    def to_ocsf(self, *, source: str = SOURCE) -> dict[str, Any]:
        """Return the event as OCSF 1.8.0; `source` is who issued the session: give `manager.issuer`."""
        from clawguard.events.formats.ocsf import ocsf

        return ocsf(self, source=source)

    def to_cef(self) -> str:
        """Return the event as one line of ArcSight CEF 0."""
        from clawguard.events.formats.cef import cef

        return cef(self)

    def __str__(self) -> str:
        who = self.agent_id or self.actor or "-"
        why = " ".join(filter(None, (self.cause, f"({self.reason})" if self.reason else None)))
        head = f"{self.at:%H:%M:%S.%f}  #{self.seq or '-':<5} {self.type:<22} {who:<16}"
        return f"{head} {self.session_id or '-':<36}  {why}".rstrip()
