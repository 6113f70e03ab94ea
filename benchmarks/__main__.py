"""Run the benchmarks and print each figure with its budget and a verdict."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import (
    authority,
    chain,
    delivery,
    history,
    importing,
    memory,
    postgres,
    processes,
    reading,
    scale,
    sweeping,
    telemetry,
    web,
    writing,
)
from .harness import BENCHMARKS, Benchmark, Result, Setting
from .marks import PageHasNoMark, filled
from .report import lines, machine, table

MODULES = (
    reading,
    writing,
    authority,
    scale,
    sweeping,
    chain,
    delivery,
    history,
    telemetry,
    web,
    memory,
    processes,
    postgres,
    importing,
)

_PART = "budgets"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 when a budget is missed."""
    options = _parse(arguments)
    if options.list:
        for each in _ordered():
            print(f"{each.name:<10} {each.summary}")
        return 0
    chosen = [each for each in _ordered() if not options.only or each.name in options.only]
    print(machine())
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="clawguard-bench-") as folder:
        setting = Setting(Path(folder), options.quick)
        for line in lines(_collect(chosen, setting, results)):
            print(line, flush=True)
    if options.write is not None:
        text = filled(options.write.read_text(encoding="utf-8"), _PART, table(results, quick=options.quick))
        options.write.write_text(text, encoding="utf-8")
    missed = sum(not result.met for result in results)
    print(f"{len(results)} figures, {missed} over budget" if missed else f"{len(results)} figures, all met")
    return 1 if missed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--quick", action="store_true", help="smaller numbers, under a minute")
    parser.add_argument("--list", action="store_true", help="name the parts and stop")
    parser.add_argument("--write", type=_page, metavar="FILE", help="write the table into a page of the docs")
    return parser.parse_args(arguments)


def _page(name: str) -> Path:
    """Return the path of a page that the table can be written into: told before anything is measured."""
    try:
        filled(Path(name).read_text(encoding="utf-8"), _PART, "")
    except (OSError, PageHasNoMark) as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return Path(name)


def _ordered() -> list[Benchmark]:
    return sorted(
        BENCHMARKS.values(), key=lambda each: [m.__name__ for m in MODULES].index(each.run.__module__)
    )


def _collect(chosen: Sequence[Benchmark], setting: Setting, into: list[Result]) -> Iterator[Result]:
    for each in chosen:
        for result in each.run(setting):
            into.append(result)
            yield result


if __name__ == "__main__":
    sys.exit(main())
