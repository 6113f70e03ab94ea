"""The scene is played once, in memory and on a file, for all who look at its events."""

from __future__ import annotations

import pytest

from clawguard import Event
from tests.events.scene import Scene


@pytest.fixture(scope="session", params=[":memory:", "file"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Scene, list[Event]]:
    url = (
        ":memory:" if request.param == ":memory:" else str(tmp_path_factory.mktemp("scene") / "clawguard.db")
    )
    played = Scene(url)
    return played, played.play()


@pytest.fixture(scope="session")
def events(scene: tuple[Scene, list[Event]]) -> list[Event]:
    return scene[1]


@pytest.fixture(scope="session")
def secrets(scene: tuple[Scene, list[Event]]) -> set[str]:
    return scene[0].secrets
