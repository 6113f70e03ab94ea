"""One suite for every kind of store: each test runs in memory, on a file and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.schemas import schema

on_a_file = pytest.mark.parametrize("database", ["file"], indirect=True)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def postgres() -> Iterator[str]:
    with schema() as url:
        yield url


@pytest.fixture(params=[":memory:", "file", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a store may be made: in memory, on a file, in a schema of a server's."""
    return ":memory:" if request.param == ":memory:" else where(request, tmp_path)


@pytest.fixture(params=["file", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return where a store may be made that is opened more than once, or looked into from outside."""
    return where(request, tmp_path)


def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    on_a_server = request.param == "postgres"
    return request.getfixturevalue("postgres") if on_a_server else str(tmp_path / "data" / "clawguard.db")


@pytest.fixture
def manager(url: str, clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(url, clock=clock, audiences={"mail"}) as opened:
        yield opened
