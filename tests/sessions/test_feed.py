"""What the log names is looked at again, and nothing else: memory stays good for all others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clawguard import IssuedSession, SessionManager
from clawguard.clock import SECOND
from clawguard.sessions.cache import digest_of
from clawguard.sessions.feed import Feed
from tests.clocks import FakeClock
from tests.openers import open_manager


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


@pytest.fixture
def elsewhere(path: Path) -> Iterator[SessionManager]:
    with open_manager(path, clock=FakeClock()) as opened:
        yield opened


@pytest.fixture
def here(path: Path, elsewhere: SessionManager) -> Iterator[SessionManager]:
    with open_manager(path, clock=FakeClock(), max_staleness=3_600) as opened:
        yield opened


def is_vouched_for(manager: SessionManager, session: IssuedSession) -> bool:
    feed, entry = manager._parts.feed, manager._parts.cache.get(digest_of(session.token))
    assert feed is not None
    assert entry is not None
    return feed.vouches_for(entry)


def test_a_change_elsewhere_takes_the_word_for_its_session_alone(
    here: SessionManager, elsewhere: SessionManager
) -> None:
    feed = here._parts.feed
    assert feed is not None
    named, other = (elsewhere.create("a", scopes="x") for _ in range(2))
    feed.follow()
    for each in (named, other):
        here.validate(each.token)
        here.validate(each.token)
        assert is_vouched_for(here, each)
    for number in range(3):
        elsewhere.activity.set_name(named, f"n{number}")
        feed.follow()
        assert not is_vouched_for(here, named)
        assert is_vouched_for(here, other)
        assert feed.freshness().position == elsewhere.events.last()[0]
        here.validate(named.token)
        here.validate(named.token)
        assert is_vouched_for(here, named)


def test_what_is_read_right_behind_a_gap_is_good_at_once(
    here: SessionManager, elsewhere: SessionManager
) -> None:
    feed = here._parts.feed
    assert feed is not None
    made = elsewhere.create("a", scopes="x")
    feed.follow()
    here.validate(made.token)
    feed._forget()
    assert not is_vouched_for(here, made)
    here.validate(made.token)
    assert is_vouched_for(here, made)


def test_before_the_log_was_looked_at_nothing_is_vouched_for(elsewhere: SessionManager) -> None:
    made = elsewhere.create("a", scopes="x")
    entry = elsewhere._parts.cache.get(digest_of(made.token))
    assert entry is not None
    feed = Feed(elsewhere._store, FakeClock(), bound=SECOND)
    assert not feed.vouches_for(entry)
    feed._note([made.id, None])
    assert not feed.vouches_for(entry)
    assert feed.position == 1
    assert feed.bound == 1
    assert feed.poll_every == pytest.approx(1 / 3)
    assert feed.freshness() == (1, 0, 0)
    feed.follow()
    assert feed.freshness() == (1, 1, 1)
