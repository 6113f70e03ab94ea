"""Servers for tests, each over a store in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.server.scene import Scene


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def scene(clock: FakeClock) -> Iterator[Scene]:
    with open_manager(clock=clock, audiences=["mail"]) as manager:
        yield Scene(manager)
