"""The types of events: a closed set of names, each with one signal."""

from __future__ import annotations

from fnmatch import fnmatchcase

from clawguard.errors import InvalidArgument

__all__ = ["EVENT_TYPES", "matching_types", "schema_id", "signal_name"]

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
    "log.archived",
    "subscriber.failed",
    "subscriber.parked",
)
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


def matching_types(pattern: object, *, argument: str = "pattern") -> frozenset[str]:
    """Return the event types that a name or a pattern such as `session.*` fits.

    Raises InvalidArgument with a hint for one that fits none: a receiver that never hears is a trap.
    """
    if not isinstance(pattern, str):
        raise InvalidArgument(argument, "must be an event type or a pattern such as 'session.*'")
    found = frozenset(each for each in EVENT_TYPES if fnmatchcase(each, pattern))
    if not found:
        hint = _MISTAKEN.get(pattern, "the types are " + ", ".join(EVENT_TYPES))
        raise InvalidArgument(argument, "fits no type of event", hint=hint)
    return found
