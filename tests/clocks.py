"""A clock that stands still until it is told otherwise."""

from __future__ import annotations

from datetime import datetime

from clawguard.clock import SECOND, to_datetime

START = 1_790_000_000 * SECOND


class FakeClock:
    """Tell a time that only the test moves; `elapsed` never runs backwards."""

    def __init__(self, at: int = START) -> None:
        self.at = at
        self.passed = 0

    def now(self) -> int:
        return self.at

    def elapsed(self) -> int:
        return self.passed

    def advance(self, seconds: float) -> None:
        """Let time pass, for both readings."""
        self.at += round(seconds * SECOND)
        self.passed += max(0, round(seconds * SECOND))

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back; what has elapsed stays."""
        self.at -= round(seconds * SECOND)

    @property
    def datetime(self) -> datetime:
        return to_datetime(self.at)
