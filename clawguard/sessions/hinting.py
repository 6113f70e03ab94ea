"""Hinting: other processes hear at once that a token is void, and need not wait for their look at the log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from clawguard.errors import ClawguardError
from clawguard.events.entries import Entry
from clawguard.sessions.feed import Feed
from clawguard.store import Store

__all__ = ["Hinting"]

_logger = logging.getLogger("clawguard.sessions")

_VOIDING = frozenset({"session.expired", "session.refreshed", "key.rotated", "policy.changed"})
_BY_TIME = frozenset({"ttl", "idle"})  # whoever remembers the token knows the moment


class Hinting:
    """Tell what was committed here: the feed of this process all of it, others that there is something void.

    The hint is a transaction of its own, behind the commit: it holds nobody up, and may fail.
    """

    def __init__(self, store: Store, feed: Feed | None) -> None:
        self._store = store
        self._feed = feed

    def heard(self, written: Sequence[Entry]) -> None:
        """Hear what a transaction of this process wrote, once it is committed."""
        if self._feed is not None:
            self._feed.heard(written)
        if self._store.reads_wait and any(map(_voids, written)):
            self._send()

    def _send(self) -> None:
        try:
            self._store.read("hint.send")
        except ClawguardError as error:
            _logger.warning("no hint was sent, others will look by themselves: %s", error)


def _voids(entry: Entry) -> bool:
    """Tell whether a token that others may remember is refused from here on, otherwise than by time."""
    body = entry.body
    return body["type"] in _VOIDING and body.get("cause") not in _BY_TIME
