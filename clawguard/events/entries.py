"""Entries: what the log holds, one to an event, before a record is made of it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

from clawguard.clock import to_datetime
from clawguard.events.event import Event

__all__ = ["Entry"]


class Entry(NamedTuple):
    """Hold one entry of the log: its place in the chain, the hash before it, its body.

    One that waits for its place has the number 0 and no hashes.
    """

    seq: int
    digest: bytes
    previous: bytes
    body: dict[str, Any]

    def event(self) -> Event:
        """Return a record of this entry, which shares nothing with another one."""
        body = self.body
        get = body.get
        return Event(
            seq=self.seq,
            id=body["id"],
            type=body["type"],
            at=to_datetime(body["at"]),
            workspace_id=get("workspace_id"),
            session_id=get("session_id"),
            version=get("version"),
            agent_id=get("agent_id"),
            subject=get("subject"),
            actor=get("actor"),
            cause=get("cause"),
            reason=get("reason"),
            cause_id=get("cause_id"),
            data=deepcopy(get("data", {})),
            prev_hash=self.previous.hex(),
            hash=self.digest.hex(),
        )
