"""The clock of the tests: the one for everybody's tests, and what only ours do to it."""

from __future__ import annotations

from clawguard.clock import SECOND, to_datetime
from clawguard.testing import ManualClock

START = 1_790_000_000 * SECOND


class FakeClock(ManualClock):
    """Tell a time that only the test moves; `elapsed` never runs backwards."""

    def __init__(self, at: int = START) -> None:
        super().__init__(to_datetime(at))

    advance = ManualClock.tick

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back; what has elapsed stays."""
        self.at -= round(seconds * SECOND)
