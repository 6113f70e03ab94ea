"""What the tests of agent hosts share: a manager, and who coordinates."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawguard import SessionManager
from tests.openers import open_manager


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with open_manager() as opened:
        yield opened
