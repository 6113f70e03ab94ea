"""One suite for every kind of store: each test that takes `manager` runs in memory and on a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.clocks import FakeClock
from tests.openers import open_manager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=[":memory:", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return ":memory:" if request.param == ":memory:" else str(tmp_path / "data" / "clawguard.db")


@pytest.fixture
def manager(url: str, clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(url, clock=clock, audiences={"mail"}) as opened:
        yield opened
