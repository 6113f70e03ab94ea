"""What an open manager and an open verifier have in common: the log, the thread between calls, an end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from clawguard.events.log import EventLog
from clawguard.sessions.parts import Parts
from clawguard.sessions.sweeper import Sweeper

__all__ = ["Opened"]


class Opened:
    """Hold an open store and all above it; every `every` seconds the chores are done. A context manager."""

    def __init__(self, parts: Parts, chores: Sequence[Callable[[], object]], *, every: float | None) -> None:
        self._parts = parts
        self._sweeper = Sweeper(chores, every=every)
        parts.recorder.kick = self._sweeper.kick

    @property
    def events(self) -> EventLog:
        """The log: read, follow, verify, flush."""
        return self._parts.log

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what was gathered, deliver what is queued, let go of the store; again does nothing."""
        self._sweeper.stop()
        self._parts.close()
