"""The part of the page that a run makes: tables, what each row leaves out, and where the charts stand."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.harness import Pair, Result, span

from .catalogue import OURS, PARTS, PEERS, Part, Peer, Row
from .figures import Figures, Run, Span

__all__ = ["Cells", "cells", "chart_name", "faster", "made", "rows_of"]

_BETWEEN = re.compile(r"(?<=\d) (?=(?:us|ms|s|x)\b)")
_EVEN = 1.05  # what is closer than this is called even
_AGREED = 0.75  # the share of rounds that must have the same side faster
_HEADS = ("library", "clawguard", "faster", "what is not comparable")
_RULES = ("---", "---", "---", "---")


def made(run: Run) -> str:
    """Return the whole part, from the machine to the last table."""
    return "\n\n".join([_about(run), _libraries(run), *(_part(part, run) for part in PARTS)])


def rows_of(part: Part, run: Run) -> Iterator[tuple[Peer, Row, Figures]]:
    """Return the rows of a part, each with its peer and what was found of it."""
    for peer in PEERS:
        for row in peer.rows:
            if row.part == part.name:
                yield peer, row, run.peers[peer.module]


class Cells(NamedTuple):
    """Hold what is said of a row; one that was not measured says why."""

    peer: str
    what: str
    theirs: str
    ours: str
    mine: str
    faster: str
    verdict: str
    differs: str

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """Put it into no more columns than a page is wide, figures and their units unbroken."""
        theirs = f"**{self.peer}**: {self.what}<br>{self.theirs}"
        figures = (
            theirs,
            f"{self.ours}<br>{self.mine}",
            f"{self.faster}<br>{self.verdict}".removesuffix("<br>"),
        )
        first, second, third = (_BETWEEN.sub("\N{NO-BREAK SPACE}", each) for each in figures)
        return first, second, third, self.differs


def cells(peer: Peer, row: Row, figures: Figures) -> Cells:
    """Return what is said of a row."""
    ours = OURS[row.ours]
    if figures.absent:
        differs = f"**Not measured: {figures.absent}.**"
        return Cells(peer.name, row.what, "-", ours, "-", "-", "", differs)
    pair = figures.pair(row)
    return Cells(
        peer.name,
        row.what,
        _spread(pair.theirs),
        ours,
        _spread(pair.ours),
        faster(peer.name, pair),
        _verdict(row, pair.ratio),
        row.differs,
    )


def faster(peer: str, pair: Pair) -> str:
    """Say which side is faster and how many times; even, where too few rounds agree or by too little."""
    won = [mine < other for mine, other in zip(pair.ours, pair.theirs, strict=True)]
    agreed = max(won.count(True), won.count(False)) / len(won)
    if agreed < _AGREED or 1 / _EVEN <= pair.ratio <= _EVEN:
        return "even"
    return f"clawguard {_times(1 / pair.ratio)}" if pair.ratio < 1 else f"{peer} {_times(pair.ratio)}"


def chart_name(part: Part) -> str:
    """Return the file of a part's chart."""
    return f"peers-{part.name}.svg"


def _times(ratio: float) -> str:
    return f"{ratio:.0f} x" if ratio >= 20 else f"{ratio:.1f} x"


def _spread(seconds: Sequence[float]) -> str:
    found = Span.of(seconds)
    return f"{span(found.median)} ({span(found.least)} to {span(found.most)})"


def _verdict(row: Row, ratio: float) -> str:
    if row.budget is None:
        return ""
    _, _, bound, verdict, _ = Result(row.what, ratio, row.budget, "part").cells
    return f"{bound} {verdict}"


def _about(run: Run) -> str:
    absent = [peer.name for peer in PEERS if run.peers[peer.module].absent]
    missing = f" **Not measured: {', '.join(absent)}; the tables say why.**" if absent else ""
    return (
        f"{run.machine}; clawguard {run.clawguard}, {run.date}. {run.rounds} rounds: the median, and in "
        f"brackets the fastest round and the slowest.{missing}"
    )


def _libraries(run: Run) -> str:
    rows = [(peer.name, run.peers[peer.module].version or "-", peer.setting) for peer in PEERS]
    return _table(("library", "version", "how it was set up"), ("---", "--:", "---"), rows)


def _part(part: Part, run: Run) -> str:
    rows = [cells(*each).columns for each in rows_of(part, run)]
    described = (
        f"{part.title}: the time of one call of each library beside clawguard's, on a scale of powers of ten"
    )
    chart = f"![{described}](assets/{chart_name(part)})"
    return f"### {part.title}\n\n{part.about}\n\n{chart}\n\n{_table(_HEADS, _RULES, rows)}"


def _table(heads: Sequence[str], rules: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, rules, *rows))
