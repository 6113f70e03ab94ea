"""The context cache: bounded, for an hour at most, and without what has ended or was replaced here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import AccessDenied, IssuedSession, SessionManager
from clawguard.sessions.cache import CacheEntry, ContextCache, digest_of
from tests.clocks import FakeClock
from tests.openers import open_manager

HOUR = 3_600.0


def entry_of(session: IssuedSession) -> CacheEntry:
    return CacheEntry(
        session.as_context(),
        version=1,
        revision=1,
        ends_at=0,
        touch_every=0,
        source=None,
        is_counted=False,
        cnf=None,
    )


ENDS: dict[str, Callable[[SessionManager, IssuedSession], object]] = {
    "revoke": lambda manager, session: manager.revoke(session),
    "end": lambda manager, session: manager.end(session),
    "a parent's end": lambda manager, session: manager.revoke(session.parent_id or ""),
    "many at once": lambda manager, _: manager.revoke_where(everything=True),
}


@pytest.mark.parametrize("end", ENDS)
def test_what_has_ended_here_is_no_longer_remembered(end: str) -> None:
    with open_manager() as manager:
        cache = manager._parts.cache
        parent = manager.create("planner", scopes="a")
        child = manager.delegate(parent, "helper", scopes="a")
        manager.validate(child.token)
        held = len(cache)
        ENDS[end](manager, child)
        assert cache.get(digest_of(child.token)) is None
        assert len(cache) < held
        with pytest.raises(AccessDenied):
            manager.validate(child.token)
        assert cache.get(digest_of(child.token)) is None


def test_a_refresh_leaves_only_the_token_that_it_gave() -> None:
    with open_manager() as manager:
        cache = manager._parts.cache
        session = manager.create("planner", scopes="a")
        for _ in range(3):
            session = manager.refresh(session)
            assert len(cache) == 1
            assert cache.get(digest_of(session.token)) is not None


@pytest.fixture(scope="module")
def entries() -> list[CacheEntry]:
    with open_manager() as manager:
        return [entry_of(manager.create(f"agent-{number}", scopes="a")) for number in range(4)]


STEPS = ["put", "drop", "half an hour"]


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from(STEPS)), max_size=40))
def test_a_session_leads_to_what_is_remembered_and_nothing_else(
    entries: list[CacheEntry], steps: list[tuple[int, str]]
) -> None:
    clock = FakeClock()
    cache = ContextCache(capacity=3, clock=clock)
    for which, step in steps:
        if step == "half an hour":
            clock.advance(HOUR / 2)
        elif step == "drop":
            cache.drop(bytes([which]))
        else:
            cache.put(bytes([which]), entries[which])
        remembered = set(cache._entries)
        assert len(remembered) <= 3
        cache._entries.expire()
        assert set(cache._entries._latest.values()) == remembered


def test_two_tokens_of_one_generation_are_both_remembered() -> None:
    with open_manager() as manager:
        entry = entry_of(manager.create("a", scopes="x"))
        cache = ContextCache(capacity=8, clock=FakeClock())
        for token in ("one", "two"):
            cache.put(digest_of(token), entry)
        assert cache.get(digest_of("one")) is cache.get(digest_of("two")) is entry
