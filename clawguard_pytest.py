"""clawguard's pytest plugin: two fixtures. clawguard is imported when a test asks for one, not before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from clawguard import SessionManager
    from clawguard.testing import ManualClock


@pytest.fixture
def clawguard_clock() -> ManualClock:
    """A clock that stands still until `tick(seconds)`."""
    from clawguard.testing import ManualClock

    return ManualClock()


@pytest.fixture
def clawguard_manager(clawguard_clock: ManualClock) -> Iterator[SessionManager]:
    """A manager of its own for each test, in memory, at `clawguard_clock`; live receivers run at once."""
    from clawguard import SessionManager

    with SessionManager.open(
        ":memory:", clock=clawguard_clock, sweep_every=None, dispatch="inline"
    ) as manager:
        yield manager
