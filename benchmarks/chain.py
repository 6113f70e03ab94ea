"""The log: how fast its chain is verified."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from .filling import Filler
from .harness import Result, Setting, benchmark
from .raw import open_manager


@benchmark("chain")
def chain(setting: Setting) -> Iterator[Result]:
    """verification of the hash chain"""
    path = setting.path("chain")
    with Filler(path) as filler:
        filler.roots(setting.size(200_000, 50_000))
    rates = []
    with open_manager(path) as manager:
        for _ in range(3):
            start = perf_counter()
            found = manager.events.verify()
            rates.append(found.count / (perf_counter() - start))
            if not found:
                raise RuntimeError(str(found.fault))
    yield Result("chain verification, events", max(rates), 200_000, "rate", at_least=True)
