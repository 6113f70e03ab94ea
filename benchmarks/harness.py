"""How things are measured: alternating loops in one run, medians of their ratios, each against its budget."""

from __future__ import annotations

import gc
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Literal

__all__ = [
    "BENCHMARKS",
    "Benchmark",
    "Result",
    "Setting",
    "alternate",
    "benchmark",
    "pair",
    "pair_in_threads",
    "span",
    "timed",
]

Act = Callable[[], object]
Form = Literal[
    "times", "part", "seconds", "milliseconds", "microseconds", "rate", "bytes", "kibibytes", "share", "count"
]

_FORMS: dict[Form, Callable[[float], str]] = {
    "times": lambda value: f"{value:.2f} x",
    "part": lambda value: f"1/{1 / value:.1f}",
    "seconds": lambda value: f"{value:.2f} s",
    "milliseconds": lambda value: f"{value * 1e3:.0f} ms",
    "microseconds": lambda value: f"{value * 1e6:.0f} us",
    "rate": lambda value: f"{value:,.0f}/s",
    "bytes": lambda value: f"{value:,.0f} B",
    "kibibytes": lambda value: f"{value / 1024:,.0f} KiB",
    "share": lambda value: f"{value:.2f}",
    "count": lambda value: f"{value:,.0f}",
}


@dataclass(frozen=True)
class Setting:
    """Say how large a run is and where its databases may stand."""

    folder: Path
    quick: bool

    def size(self, full: int, quick: int) -> int:
        """Return the one number or the other."""
        return quick if self.quick else full

    def path(self, name: str) -> Path:
        """Return where a database of that name stands, in a private folder of its own."""
        folder = self.folder / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "clawguard.db"


@dataclass(frozen=True)
class Result:
    """Hold one figure, the budget it is held against, and what it was made from."""

    what: str
    value: float
    budget: float
    form: Form = "times"
    at_least: bool = False
    detail: str = ""

    @property
    def met(self) -> bool:
        """Tell whether the budget is met."""
        return self.value >= self.budget if self.at_least else self.value <= self.budget

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the row of the table."""
        show = _FORMS[self.form]
        bound = f"{'>=' if self.at_least else '<='} {show(self.budget)}"
        return self.what, show(self.value), bound, "ok" if self.met else "MISSED", self.detail


@dataclass(frozen=True)
class Benchmark:
    """Hold a named measurement; `run` gives its results one by one."""

    name: str
    summary: str
    run: Callable[[Setting], Iterator[Result]]


BENCHMARKS: dict[str, Benchmark] = {}


def benchmark(
    name: str,
) -> Callable[[Callable[[Setting], Iterator[Result]]], Callable[[Setting], Iterator[Result]]]:
    """Register a measurement under a name; its docstring is its summary."""

    def register(run: Callable[[Setting], Iterator[Result]]) -> Callable[[Setting], Iterator[Result]]:
        BENCHMARKS[name] = Benchmark(name, (run.__doc__ or "").strip(), run)
        return run

    return register


@dataclass(frozen=True)
class Pair:
    """Hold the seconds a call of two things took, loop by loop."""

    ours: Sequence[float]
    theirs: Sequence[float]
    ratio: float = field(init=False)

    def __post_init__(self) -> None:
        ratios = [mine / other for mine, other in zip(self.ours, self.theirs, strict=True)]
        object.__setattr__(self, "ratio", statistics.median(ratios))

    @property
    def detail(self) -> str:
        """Return both medians: they are the machine's, only the ratio is ours."""
        return f"{span(statistics.median(self.ours))} against {span(statistics.median(self.theirs))}"

    def against(self, what: str, budget: float, form: Form = "times") -> Result:
        """Return the result of the ratio against its budget."""
        return Result(what, self.ratio, budget, form, detail=self.detail)


def pair(ours: Act, theirs: Act, *, rounds: int, number: int) -> Pair:
    """Run two loops alternately, `number` calls each, `rounds` times."""
    mine, others = alternate(ours, theirs, rounds=rounds, number=number)
    return Pair(mine, others)


def alternate(*acts: Act, rounds: int, number: int) -> list[list[float]]:
    """Run the loops in turn, every second round backwards; return each one's seconds a call by round."""
    times: list[list[float]] = [[] for _ in acts]
    turns = list(zip(acts, times, strict=True))
    for act in acts:
        act()
    for _ in range(rounds):
        for act, into in turns:
            into.append(timed(act, number))
        turns.reverse()
    return times


def pair_in_threads(ours: Act, theirs: Act, *, threads: int, rounds: int, numbers: tuple[int, int]) -> Pair:
    """Do as `pair` does with the calls of each loop shared out among threads; `numbers` are each side's."""
    crowds = [_crowd(act, threads, number) for act, number in zip((ours, theirs), numbers, strict=True)]
    mine, others = alternate(*crowds, rounds=rounds, number=1)
    return Pair([each / numbers[0] for each in mine], [each / numbers[1] for each in others])


def _crowd(act: Act, threads: int, number: int) -> Act:
    def work() -> None:
        for _ in range(number // threads):
            act()

    def run() -> None:
        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    return run


def timed(act: Act, number: int, clock: Callable[[], float] = perf_counter) -> float:
    """Do an act so many times, without the garbage collector; return the seconds of one."""
    gc.collect()
    gc.disable()
    try:
        start = clock()
        for _ in range(number):
            act()
        return (clock() - start) / number
    finally:
        gc.enable()


def span(seconds: float) -> str:
    """Return a time with its unit."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.1f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"
