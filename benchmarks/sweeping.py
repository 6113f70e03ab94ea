"""The natural-expiry sweep: its rate, and how long it keeps other writers waiting."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any
from unittest.mock import patch

from clawguard import SessionManager
from clawguard.clock import SystemClock
from clawguard.store.writer_queue import WriterQueue

from .filling import HOUR, Filler
from .harness import Result, Setting, benchmark

_SWEEPS = 3


@benchmark("sweep")
def sweep(setting: Setting) -> Iterator[Result]:
    """the sweep of sessions of one ttl, and of scattered ones, with their events"""
    yield from _sweep(setting, scattered=False, floor=20_000)
    yield from _sweep(setting, scattered=True, floor=8_000)


class _Later(SystemClock):
    """Run ahead of the machine's clock by whole hours."""

    hours = 0

    def now(self) -> int:
        """Return the wall clock, so many hours on."""
        return super().now() + self.hours * HOUR


def _sweep(setting: Setting, *, scattered: bool, floor: int) -> Iterator[Result]:
    """Sweep three times: each hour brings a tenth of all sessions to their end."""
    kind = "scattered" if scattered else "one ttl"
    path = setting.path(f"sweep-{kind.replace(' ', '-')}")
    size = setting.size(200_000, 40_000)
    due = size // 10
    ends = _ends(size, due, scattered=scattered)
    with Filler(path) as filler:
        filler.roots(size, end=lambda index, _: ends[index])
    rates, longest, clock = [], [], _Later()
    with SessionManager.open(path, sweep_every=None, clock=clock) as manager:
        for clock.hours in range(1, _SWEEPS + 1):
            with _holds() as holds:
                start = perf_counter()
                ended = manager.prune_expired()
                rates.append(ended / (perf_counter() - start))
            longest.append(max(holds))
            if ended != due:
                raise RuntimeError(f"the sweep ended {ended} of {due}")
    detail = f"{due:,} due of {size:,}"
    yield Result(f"sweep, {kind}", max(rates), floor, "rate", at_least=True, detail=detail)
    yield Result("  longest hold of the write lock", min(longest), 0.05, "milliseconds")


def _ends(size: int, due: int, *, scattered: bool) -> list[int]:
    """Return when each session ends: in the order of their creation, or in no order."""
    now, chance = SystemClock().now(), random.Random(7)
    ends = [now + 24 * HOUR] * size
    order = chance.sample(range(size), _SWEEPS * due) if scattered else range(_SWEEPS * due)
    for place, index in enumerate(order):
        ends[index] = now + (place // due) * HOUR + HOUR // 2 + place
    return ends


@contextmanager
def _holds() -> Iterator[list[float]]:
    """Time every hold of the write lock, as another writer would feel it."""
    holds: list[float] = []
    taken = [0.0]
    acquire, release = WriterQueue.acquire, WriterQueue.release

    def timed_acquire(queue: Any) -> None:
        acquire(queue)
        taken[0] = perf_counter()

    def timed_release(queue: Any) -> None:
        holds.append(perf_counter() - taken[0])
        release(queue)

    with patch.multiple(WriterQueue, acquire=timed_acquire, release=timed_release):
        yield holds
