"""How a round of a work is timed, in a peer's environment and in clawguard's: the standard library only."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from time import perf_counter, process_time
from typing import TypeVar

from benchmarks.harness import Act, timed

__all__ = [
    "Loop",
    "Measure",
    "Works",
    "added",
    "awaiting",
    "calls",
    "consuming",
    "expect",
    "later",
    "spending",
]

Measure = Callable[[float], float]
"""Do a loop of about so many seconds; return the seconds of one call."""
Works = Mapping[str, Measure]
"""What an environment can measure, by the name that the catalogue has for it."""

T = TypeVar("T")
_FEWEST, _MOST, _TRIED = 5, 2_000, 5


class Loop:
    """Time calls in a row; the first loop finds how many of them take the seconds that were asked for."""

    def __init__(self, prepare: Callable[[int], Act], *, clock: Callable[[], float] = perf_counter) -> None:
        self._prepare = prepare
        self._clock = clock
        self._number = 0

    def __call__(self, seconds: float) -> float:
        """Do a loop."""
        if not self._number:
            self._timed(_TRIED)
            self._number = min(_MOST, max(_FEWEST, round(seconds / self._timed(_TRIED))))
        return self._timed(self._number)

    def _timed(self, number: int) -> float:
        return timed(self._prepare(number), 1, self._clock) / number


def calls(act: Act, *, clock: Callable[[], float] = perf_counter) -> Loop:
    """Time an act that can be done again and again."""

    def prepare(number: int) -> Act:
        def repeat() -> None:
            for _ in range(number):
                act()

        return repeat

    return Loop(prepare, clock=clock)


def consuming(make: Callable[[], T], act: Callable[[T], object]) -> Loop:
    """Time an act that uses up what was made for it; the making is not timed."""

    def prepare(number: int) -> Act:
        made = [make() for _ in range(number)]

        def use() -> None:
            for each in made:
                act(each)

        return use

    return Loop(prepare)


def awaiting(
    runner: asyncio.Runner,
    act: Callable[[], Awaitable[object]],
    *,
    clock: Callable[[], float] = perf_counter,
) -> Loop:
    """Time what is awaited again and again in one run of the event loop."""

    def prepare(number: int) -> Act:
        async def repeat() -> None:
            for _ in range(number):
                await act()

        return lambda: runner.run(repeat())

    return Loop(prepare, clock=clock)


def spending(
    runner: asyncio.Runner, make: Callable[[], Awaitable[T]], act: Callable[[T], Awaitable[object]]
) -> Loop:
    """Time what is awaited and uses up what was made for it; the making is not timed."""

    def prepare(number: int) -> Act:
        async def prepared() -> list[T]:
            return [await make() for _ in range(number)]

        made = runner.run(prepared())

        async def use() -> None:
            for each in made:
                await act(each)

        return lambda: runner.run(use())

    return Loop(prepare)


def added(guarded: Callable[..., Loop], bare: Callable[..., Loop]) -> Measure:
    """Time what a guard adds: the processor's time with it, of all threads, less that without it."""
    with_it, without = guarded(clock=process_time), bare(clock=process_time)
    return lambda seconds: with_it(seconds) - without(seconds)


def later(make: Callable[[], Measure]) -> Measure:
    """Set a work up only when it is first asked for."""
    made = cache(make)

    def measure(seconds: float) -> float:
        return made()(seconds)

    return measure


def expect(what: str, *, found: object, expected: object) -> None:
    """Refuse to measure what gives other answers than it should, lest it be fast for checking nothing."""
    if found != expected:
        raise RuntimeError(f"{what}: {found!r} in the place of {expected!r}")
