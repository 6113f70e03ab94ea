"""Measure the same work beside other libraries, each in its own environment, round about with clawguard's."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.marks import filled
from benchmarks.report import machine

from .catalogue import PARTS, PEERS, Peer
from .charts import chart
from .figures import KEPT, Figures, Run
from .running import Size, measured
from .tables import cells, chart_name, made

DOCS = Path(__file__).resolve().parents[2] / "docs"
_FULL, _QUICK = Size(rounds=21, seconds=0.06), Size(rounds=3, seconds=0.01)


def main(arguments: Sequence[str] | None = None, *, docs: Path = DOCS, kept: Path = KEPT) -> int:
    """Measure what was asked for; return 1 when a peer could not be measured or a budget is missed."""
    options = _parse(arguments)
    if options.render:
        render(Run.read(kept), docs)
        return 0
    size = _QUICK if options.quick else _FULL
    chosen = [peer for peer in PEERS if not options.only or peer.module in options.only]
    print(machine())
    found = {peer.module: _told(peer, size) for peer in chosen}
    if options.write:
        run = Run(
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            machine=machine(),
            clawguard=version("clawguard-sessions"),
            rounds=size.rounds,
            peers=found,
        )
        run.write(kept)
        render(run, docs)
    return _summed_up(chosen, found)


def render(run: Run, docs: Path) -> None:
    """Write a run's tables into the page, and its charts beside it."""
    page = docs / "benchmarks.md"
    page.write_text(filled(page.read_text(encoding="utf-8"), "peers", made(run)), encoding="utf-8")
    for part in PARTS:
        (docs / "assets" / chart_name(part)).write_text(chart(part, run), encoding="utf-8")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", action="append", choices=[peer.module for peer in PEERS], metavar="MODULE")
    parser.add_argument("--quick", action="store_true", help="few rounds of short loops")
    parser.add_argument(
        "--write", action="store_true", help=f"keep the figures in {KEPT.name} and write the docs"
    )
    parser.add_argument(
        "--render", action="store_true", help=f"write the docs again from {KEPT.name}, and stop"
    )
    options = parser.parse_args(arguments)
    if options.write and options.only:
        parser.error("--write takes all peers: leave --only out")
    return options


def _told(peer: Peer, size: Size) -> Figures:
    figures = measured(peer, size)
    for row in peer.rows:
        said = cells(peer, row, figures)
        sides = f"{said.what:<40}{said.theirs:>36}  {said.ours:<23}{said.mine:>36}"
        print(f"{said.peer:<31}{sides}  {said.faster}  {said.verdict}".rstrip(), flush=True)
    return figures


def _summed_up(chosen: Sequence[Peer], found: dict[str, Figures]) -> int:
    """Name each peer that was not measured and each budget that is missed; return 1 where there is one."""
    problems = [
        f"{peer.name} was not measured: {figures.absent}"
        for peer in chosen
        if (figures := found[peer.module]).absent
    ]
    problems += [
        f"{peer.name}, {row.what}: over budget"
        for peer in chosen
        for row in peer.rows
        if found[peer.module].missed(row)
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(chosen)} libraries, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
