"""A seed for every experiment, printed and replayable; figures kept where they are asked for; databases."""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.faults.figures import NOTES, keep
from tests.faults.lab import founded
from tests.schemas import schema

_KEPT = pytest.StashKey[str | None]()


def pytest_configure(config: pytest.Config) -> None:
    """See where figures are wanted; a test may change the environment."""
    config.stash[_KEPT] = os.environ.get("CLAWGUARD_FIGURES")


@pytest.fixture(autouse=True)
def notes() -> None:
    """Begin each test with nothing told."""
    NOTES.clear()


@pytest.fixture
def seed(notes: None) -> int:
    """Return what all chance of a test comes from: CLAWGUARD_SEED, or a new number."""
    given = os.environ.get("CLAWGUARD_SEED")
    NOTES.seed = secrets.randbelow(2**32) if given is None else int(given)
    print(f"\nseed {NOTES.seed}: again with CLAWGUARD_SEED={NOTES.seed}")
    return NOTES.seed


@pytest.fixture
def kek(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every process here open a database of PostgreSQL with one key-encryption key."""
    monkeypatch.setenv("CLAWGUARD_KEK", "A" * 43)


@pytest.fixture
def url(kek: None) -> Iterator[str]:
    """Give a database of PostgreSQL that is made and closed again."""
    with schema() as made:
        yield founded(made)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the figures of a test that passed, and none of one that failed."""
    outcome = yield
    path = item.config.stash[_KEPT]
    if path is not None and outcome.when == "call" and not outcome.skipped:
        keep(Path(path), item.nodeid, NOTES.figures(item.nodeid) if outcome.passed else [])
    return outcome
