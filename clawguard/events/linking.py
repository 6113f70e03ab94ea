"""Linking: every event gets its place in the chain, where an engine lets writers leave it without one.

Whoever reads the log links before, and every sweep does. Any number of processes may: one at a time gets
through, and the next one finds done what it has linked. Nobody leads, so nobody has to be waited for.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from clawguard.clock import SECOND
from clawguard.errors import StoreUnavailable
from clawguard.store import Reach, Store

__all__ = ["Lag", "Linker"]

_logger = logging.getLogger("clawguard.events")

_AT_ONCE = 1_000
_LINK_EVERY = 256  # events that this process has left unlinked: then it links, whoever else may do it


class Lag(NamedTuple):
    """Tell how many events have no place in the chain yet, and for how many seconds the first has waited."""

    events: int
    seconds: float


class Linker:
    """Link the events of one store; where the commit itself links them there is nothing to do."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._left = 0

    def link(self) -> None:
        """Give every event its place that was acknowledged by now."""
        if not self._store.links_later:
            return
        self._left = 0
        linked = _AT_ONCE
        while linked == _AT_ONCE and self._store.read("event.unlinked")[0][0]:
            with self._store.transaction(durable=True, reach=Reach()) as tx:
                [(linked,)] = tx.run("event.link", most=_AT_ONCE)

    def lag(self, *, now: int) -> Lag:
        """Return how far the chain is behind at a time (microseconds)."""
        if not self._store.links_later:
            return Lag(0, 0.0)
        unlinked, since = self._store.read("event.lag")[0]
        return Lag(unlinked, 0.0 if since is None else max(0, now - since) / SECOND)

    def leave(self, events: int) -> None:
        """Note that so many more were left; link now and then, so that a write that must is soon done."""
        self._left += events
        if self._left >= _LINK_EVERY:
            try:
                self.link()
            except StoreUnavailable as error:
                _logger.warning("events wait for their place in the log: %s", error)
