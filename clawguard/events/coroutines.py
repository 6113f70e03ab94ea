"""Async receivers: run on the opener's event loop, or on one background loop; each in its own order."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, NamedTuple

__all__ = ["CoroutineRunner", "LoopEnded", "running_loop", "start_loop"]

_LOOK_AGAIN = 0.1  # seconds
_LAST_CALL = 1.0  # seconds

_Key = tuple[int, int]
_Work = tuple[Coroutine[Any, Any, Any], Callable[[BaseException], None]]


class _Line(NamedTuple):
    """Hold what one receiver has still to do, and the loop it does it on."""

    loop: asyncio.AbstractEventLoop
    waiting: deque[_Work]


class LoopEnded(Exception):
    """An event loop ended with work on it: no fault of the work's."""


class CoroutineRunner:
    """Run what async receivers return, each receiver's one after the other."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._opener = running_loop()
        self._background: asyncio.AbstractEventLoop | None = None
        self._lines: dict[_Key, _Line] = {}
        self._waited_for: set[Future[Any]] = set()
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)

    def run(
        self, receiver: object, work: Coroutine[Any, Any, Any], failed: Callable[[BaseException], None]
    ) -> bool:
        """Run a receiver's coroutine after those it was given before; False when too many wait already."""
        key = _identity(receiver)
        with self._lock:
            line = self._lines.get(key)
            if line is not None and line.loop.is_closed():
                self._abandon(key, line)
                line = None
            if line is not None and len(line.waiting) >= self._capacity:
                work.close()
                return False
            if line is None:
                line = _Line(self._loop(), deque())
                self._begin(key, line)
            line.waiting.append((work, failed))
            return True

    def wait_for(self, work: Awaitable[Any], check: Callable[[], None]) -> None:
        """Run what an async receiver returned, and wait for its end; raise what it raised, or `check` does.

        Raises LoopEnded where its loop ended first.
        """
        with self._lock:
            loop = self._loop()
        settled = _settled(work)
        try:
            future = asyncio.run_coroutine_threadsafe(settled, loop)
        except RuntimeError:  # the loop was closed since it was asked
            _give_up(settled, work)
            raise LoopEnded from None
        self._waited_for.add(future)
        try:
            while not wait((future,), _LOOK_AGAIN).done:
                if loop.is_closed():
                    raise LoopEnded
                check()
        finally:
            self._waited_for.discard(future)
            future.cancel()  # one that is done stays as it is
            if loop.is_closed():
                _give_up(settled, work)
        if future.cancelled():
            raise LoopEnded
        error = future.result()
        if error is not None:
            raise error

    def _begin(self, key: _Key, line: _Line) -> None:
        drain = self._drain(key, line)
        try:
            asyncio.run_coroutine_threadsafe(drain, line.loop)
        except RuntimeError:  # the loop was closed since it was asked
            drain.close()
            raise
        self._lines[key] = line

    async def _drain(self, key: _Key, line: _Line) -> None:
        try:
            while (work := self._first(key, line)) is not None:
                await _do(*work)
                with self._lock:
                    line.waiting.popleft()
        except BaseException:  # the loop is ending: what is left has nowhere to run
            self._abandon(key, line)
            raise

    def _first(self, key: _Key, line: _Line) -> _Work | None:
        with self._lock:
            if line.waiting:
                return line.waiting[0]
            self._forget(key, line)
            return None

    def _forget(self, key: _Key, line: _Line) -> None:
        if self._lines.get(key) is line:  # a line on a loop that ended may have a successor
            del self._lines[key]
            self._changed.notify_all()

    def _abandon(self, key: _Key, line: _Line) -> None:
        """Give up what a receiver has still to do, and report each as failed."""
        with self._lock:
            self._forget(key, line)
            given_up = list(line.waiting)
            line.waiting.clear()
        for work, failed in given_up:
            work.close()
            failed(asyncio.CancelledError())

    def flush(self, timeout: float | None) -> bool:
        """Wait until every coroutine has ended; False after `timeout` seconds, at once on their own loop."""
        for key, line in list(self._lines.items()):
            if line.loop.is_closed():
                self._abandon(key, line)
        here = running_loop()
        if here is not None and here in (self._opener, self._background):
            return not self._lines
        with self._lock:
            return self._changed.wait_for(lambda: not self._lines, timeout)

    def close(self) -> None:
        """Stop the background loop."""
        for future in list(self._waited_for):
            future.cancel()
        background, self._background = self._background, None
        if background is not None:
            with suppress(RuntimeError):  # a receiver has ended it already
                background.call_soon_threadsafe(background.stop)

    def _loop(self) -> asyncio.AbstractEventLoop:
        if self._opener is not None and not self._opener.is_closed():
            return self._opener
        if self._background is None or self._background.is_closed():
            self._background = start_loop("clawguard-async-events")
        return self._background


def _give_up(*works: Awaitable[Any]) -> None:
    """Close coroutines that no loop runs any more."""
    for work in works:
        if isinstance(work, Coroutine):
            with suppress(Exception):  # what its own clean-up raises, nobody waits for
                work.close()


def _identity(receiver: object) -> _Key:
    """Return what stays the same of a receiver: a bound method that is held weakly is made anew each time."""
    return id(getattr(receiver, "__self__", None)), id(getattr(receiver, "__func__", receiver))


def start_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return an event loop that runs in a thread of its own, until it is stopped; it closes itself then."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_run_loop, args=(loop,), name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        loop.close()
        raise
    return loop


async def _do(work: Coroutine[Any, Any, Any], failed: Callable[[BaseException], None]) -> None:
    error = await _settled(work)
    if error is not None:
        failed(error)


async def _settled(work: Awaitable[Any]) -> BaseException | None:
    """Return what the work raised: raised itself, a SystemExit would end the loop."""
    try:
        await work
    except GeneratorExit:  # the loop has ended, and what was left on it is being collected
        raise
    except BaseException as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise
        return error
    return None


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        with suppress(BaseException):
            _finish_cancelled(loop)
        loop.close()


def _finish_cancelled(loop: asyncio.AbstractEventLoop) -> None:
    """Let what was cancelled as the loop stopped clean up after itself, for a moment."""
    cancelled = [task for task in asyncio.all_tasks(loop) if task.cancelling()]
    if cancelled:
        loop.run_until_complete(asyncio.wait(cancelled, timeout=_LAST_CALL))


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs in this thread, if one does."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
