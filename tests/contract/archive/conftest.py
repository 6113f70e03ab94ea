"""A log with old entries and new ones, and where an archive of it may go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.clocks import FakeClock
from tests.contract.archive.scene import NEW, OLD
from tests.contract.test_proof import fill
from tests.openers import open_manager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def manager(database: str, clock: FakeClock) -> Iterator[SessionManager]:
    """Give a log with twenty old entries and five new ones."""
    with open_manager(database, clock=clock) as opened:
        fill(opened, OLD)
        clock.advance(100)
        fill(opened, NEW)
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log-1.ndjson"
