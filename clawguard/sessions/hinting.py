"""Hinting: what other processes hear of at once, so that they need not wait for their look at the log."""

from __future__ import annotations

from clawguard.events.entries import Entry

__all__ = ["voids_token"]

_VOIDING = frozenset({"session.expired", "session.refreshed", "key.rotated", "policy.changed"})
_BY_TIME = frozenset({"ttl", "idle"})  # whoever remembers the token knows the moment


def voids_token(entry: Entry) -> bool:
    """Tell whether a token that others may remember is refused from an event on, otherwise than by time."""
    body = entry.body
    return body["type"] in _VOIDING and body.get("cause") not in _BY_TIME
