"""Work on an event loop that ends: told as that, and nothing of it is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
import warnings
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from clawguard.events.coroutines import CoroutineRunner, LoopEnded, start_loop


@pytest.fixture(autouse=True)
def _nothing_unawaited() -> Iterator[None]:
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(each.message) for each in heard] == []


async def _work() -> None:
    await asyncio.sleep(0)


def test_a_loop_that_is_closed_when_work_is_brought_leaves_none_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runner, closed = CoroutineRunner(capacity=1), asyncio.new_event_loop()
    closed.close()
    monkeypatch.setattr(runner, "_loop", lambda: closed)
    with pytest.raises(LoopEnded):
        runner.wait_for(_work(), lambda: None)


def test_a_loop_that_closes_before_it_has_begun_leaves_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, idle = CoroutineRunner(capacity=1), asyncio.new_event_loop()  # it never runs
    monkeypatch.setattr(runner, "_loop", lambda: idle)
    with pytest.raises(LoopEnded):
        runner.wait_for(_work(), idle.close)


def test_a_loop_that_ends_in_the_middle_lets_the_work_clean_up(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, loop = CoroutineRunner(capacity=1), start_loop("test")
    begun, cleaned = threading.Event(), threading.Event()

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(600)
        finally:
            cleaned.set()

    def end() -> None:
        if begun.is_set():
            loop.call_soon_threadsafe(loop.stop)

    monkeypatch.setattr(runner, "_loop", lambda: loop)
    bringing: Coroutine[Any, Any, None] = work()
    with pytest.raises(LoopEnded):
        runner.wait_for(bringing, lambda: None if loop.is_closed() else end())
    assert cleaned.wait(5)
