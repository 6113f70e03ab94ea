"""Refresh tokens that are handed back or left lying: which end they bring, and what is kept of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawguard import IssuedSession, SessionManager
from tests.clocks import FakeClock
from tests.openers import open_manager, rows

GRACE = 10


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


@pytest.fixture
def manager(path: Path, clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(path, clock=clock, refresh_grace=GRACE) as opened:
        yield opened


def spent(manager: SessionManager) -> tuple[IssuedSession, str]:
    """Return a session and its first refresh token, which was redeemed."""
    made = manager.create("a", scopes="x", refreshable=True)
    text = made.refresh_token or ""
    manager.redeem(text)
    return made, text


def reuses(manager: SessionManager) -> int:
    return len(manager.events.read(types="token.reuse_detected"))


@pytest.mark.parametrize(("after", "cause"), [(GRACE - 1, "revoked"), (GRACE, "reuse"), (GRACE + 1, "reuse")])
def test_a_spent_token_that_is_handed_back_is_a_reuse_from_the_end_of_its_grace(
    manager: SessionManager, clock: FakeClock, after: int, cause: str
) -> None:
    made, text = spent(manager)
    clock.advance(after)
    assert manager._families.end(text)
    assert manager.get_session(made).cause == cause
    assert reuses(manager) == (cause == "reuse")


def test_a_spent_token_tells_nothing_of_a_session_that_has_ended_or_is_due(
    manager: SessionManager, clock: FakeClock
) -> None:
    ended, first = spent(manager)
    due, second = spent(manager)
    manager.revoke(ended)
    clock.advance(GRACE)
    assert not manager._families.end(first)
    clock.advance(7_200)
    assert not manager._families.end(second)
    assert reuses(manager) == 0
    assert manager.get_session(ended).cause == "revoked"
    assert manager.get_session(due).cause in (None, "ttl", "idle")


def test_a_successor_is_kept_sealed_for_the_grace_and_then_wiped(
    manager: SessionManager, clock: FakeClock, path: Path
) -> None:
    spent(manager)
    sealed = "SELECT count(*) FROM refresh_tokens WHERE sealed IS NOT NULL"
    manager.prune_expired()
    clock.advance(GRACE - 1)
    manager.prune_expired()
    assert rows(path, sealed) == [(1,)]
    clock.advance(1)
    manager.prune_expired()
    assert rows(path, sealed) == [(0,)]
