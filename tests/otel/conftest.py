"""A manager, and what it is told to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawguard import SessionManager
from tests.openers import open_manager
from tests.otel.telemetry import Telemetry


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry()


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with open_manager() as manager:
        yield manager
