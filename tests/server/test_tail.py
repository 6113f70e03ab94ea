"""The end of the log for many: what is kept, what is read again, and a store that fails for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import pytest

from clawguard import SessionManager, StoreUnavailable
from clawguard.events.event import Event
from clawguard.server import tail as module
from clawguard.server.tail import Tail
from tests.openers import open_manager

PATIENCE = 20.0


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with open_manager() as manager:
        yield manager


async def hear(tail: Tail, manager: SessionManager, count: int, *, after: int | None = None) -> list[int]:
    """Follow as a stream does, until so many events came; return their numbers."""

    def read(after: int, limit: int) -> list[Event]:
        return manager.events.read(after=after, limit=limit)

    found: list[int] = []
    async with tail.following() as last:
        position = last if after is None else after
        while len(found) < count and not tail.stopped:
            events, position = await tail.after(position, read, lambda _: True)
            found += [event.seq for event in events]
            if not events:
                await tail.wait(position, PATIENCE)
    return found


async def follows(tail: Tail) -> None:
    """Wait until somebody follows, from where the log ends now."""
    while tail.followers == 0:  # noqa: ASYNC110  # a tail has nobody to tell
        await asyncio.sleep(0.01)


def create(manager: SessionManager, count: int) -> None:
    for number in range(count):
        manager.create(f"agent-{number}", scopes="docs:read")


@pytest.mark.parametrize("kept", [2, 500])
def test_whatever_is_kept_each_hears_every_event_once(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(module, "_KEPT", kept)
    monkeypatch.setattr(module, "_PAGE", 3)
    create(manager, 10)

    async def run() -> tuple[list[int], list[int]]:
        tail = Tail(manager.events)
        early = asyncio.create_task(hear(tail, manager, 20, after=0))
        late = asyncio.create_task(hear(tail, manager, 5, after=15))
        await asyncio.to_thread(create, manager, 10)
        return await asyncio.wait_for(asyncio.gather(early, late), PATIENCE)

    early, late = asyncio.run(run())
    assert early[:20] == list(range(1, 21))
    assert late[:5] == list(range(16, 21))


def test_those_who_begin_at_once_hear_nothing_twice_and_miss_nothing(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the log ends is asked for each of them, and the answers come late and out of order."""
    plain = manager.events.last
    asked = iter(range(100))

    def last() -> tuple[int, int]:
        found = plain()
        time.sleep(0.02 if next(asked) % 2 else 0)
        return found

    create(manager, 3)

    async def run() -> list[list[int]]:
        tail = Tail(manager.events)
        monkeypatch.setattr(manager.events, "last", last)
        hearing = [asyncio.create_task(hear(tail, manager, 40, after=0)) for _ in range(6)]
        await asyncio.to_thread(create, manager, 37)
        return list(await asyncio.wait_for(asyncio.gather(*hearing), PATIENCE))

    for heard in asyncio.run(run()):
        assert heard == list(range(1, 41))


def test_a_store_that_does_not_answer_for_a_while_costs_no_event(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_REST", 0.01)
    failures = 3
    plain = manager.events.read

    def read(**given: Any) -> list[Event]:
        nonlocal failures
        if failures:
            failures -= 1
            raise StoreUnavailable("the store did not answer")
        return plain(**given)

    manager.events.read = read  # type: ignore[method-assign]

    async def run() -> list[int]:
        tail = Tail(manager.events)
        hearing = asyncio.create_task(hear(tail, manager, 2))
        await follows(tail)
        await asyncio.to_thread(create, manager, 2)
        return await asyncio.wait_for(hearing, PATIENCE)

    assert asyncio.run(run()) == [1, 2]
    assert failures == 0


def test_nobody_reads_when_nobody_follows_and_a_stop_ends_all(manager: SessionManager) -> None:
    async def run() -> list[int]:
        tail = Tail(manager.events)
        hearing = asyncio.create_task(hear(tail, manager, 1))
        await follows(tail)
        assert (tail.followers, tail._reader is not None) == (1, True)
        tail.stop()
        found = await asyncio.wait_for(hearing, PATIENCE)
        assert (tail.followers, tail._reader) == (0, None)
        return found

    assert asyncio.run(run()) == []
