"""The types of the library's own events: a closed set of names, each with one signal."""

from __future__ import annotations

__all__ = ["EVENT_TYPES", "RESERVED", "likely_meant", "schema_id", "signal_name"]

EVENT_TYPES = (
    "session.created",
    "session.refreshed",
    "session.updated",
    "session.source_changed",
    "session.expired",
    "session.purged",
    "guard.denied",
    "guard.granted",
    "policy.changed",
    "agent.disabled",
    "agent.enabled",
    "token.rejected",
    "token.reuse_detected",
    "key.rotated",
    "history.cleared",
    "history.deleted",
    "history.imported",
    "history.key_rotated",
    "history.encrypted",
    "log.archived",
    "subscriber.failed",
    "subscriber.parked",
)
# The first words of what the library writes, or may write one day.
RESERVED = frozenset(each.partition(".")[0] for each in EVENT_TYPES) | {"clawguard", "event"}
_MISTAKEN = {
    "session.revoked": "use 'session.expired': its cause is 'revoked'",
    "session.ended": "use 'session.expired': its cause says why",
    "session.deleted": "use 'session.purged'",
    "session.delegated": "use 'session.created': a child's data names its parent",
}


def signal_name(event_type: str) -> str:
    """Return the name of an event type's signal: `session.created` is `session_created`."""
    return event_type.replace(".", "_")


def schema_id(event_type: str) -> str:
    """Return the name of an event type's JSON Schema; another number at the end is another schema."""
    return f"urn:clawguard:schema:{event_type}:1"


def likely_meant(mistaken: str) -> str | None:
    """Return a hint for a name that is often mistaken for another."""
    return _MISTAKEN.get(mistaken)
