"""What a run found: read from workers' lines, and kept as JSON."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.harness import Pair

from .catalogue import Row

__all__ = ["KEPT", "BadLine", "Figures", "Line", "Run", "Span", "read_line"]

KEPT = Path(__file__).parent / "figures.json"
_LIST = re.compile(r"\[[^\[\]]*\]")


class BadLine(ValueError):
    """A worker's line is not what it should be."""


@dataclass(frozen=True)
class Line:
    """Hold a worker's line: one round of its works, in seconds a call, and the versions it ran with."""

    python: str
    sqlite: str
    versions: dict[str, str]
    seconds: dict[str, float]

    @property
    def on(self) -> str:
        """What it ran on, which is to be the same for both sides."""
        return f"Python {self.python}, SQLite {self.sqlite}"


def read_line(text: str, works: Sequence[str]) -> Line:
    """Read a worker's line. Raises BadLine where it is no JSON object, or a work has no positive figure."""
    try:
        told = json.loads(text)
        line = Line(str(told["python"]), str(told["sqlite"]), dict(told["versions"]), dict(told["seconds"]))
    except (ValueError, KeyError, TypeError) as problem:
        raise BadLine(f"not a line of figures: {problem}") from None
    for work in works:
        value = line.seconds.get(work)
        if not isinstance(value, float) or not math.isfinite(value) or value <= 0:
            raise BadLine(f"no figure of {work}: {value!r}")
    return line


@dataclass(frozen=True)
class Span:
    """Hold the median of some seconds, the least and the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Span:
        """Sum rounds up."""
        return cls(statistics.median(seconds), min(seconds), max(seconds))


@dataclass
class Figures:
    """Hold a peer's rounds and clawguard's beside them, work by work; or why there are none."""

    version: str = ""
    theirs: dict[str, list[float]] = field(default_factory=dict)
    ours: dict[str, list[float]] = field(default_factory=dict)
    absent: str = ""

    def add(self, theirs: Line, ours: Line) -> None:
        """Add a round of both."""
        for line, into in ((theirs, self.theirs), (ours, self.ours)):
            for work, seconds in sorted(line.seconds.items()):
                into.setdefault(work, []).append(float(f"{seconds:.4g}"))

    def pair(self, row: Row) -> Pair:
        """Return both sides of a row, round by round."""
        return Pair(self.ours[row.ours], self.theirs[row.work])

    def missed(self, row: Row) -> bool:
        """Tell whether a row has a budget that is not met."""
        return row.budget is not None and not self.absent and self.pair(row).ratio > row.budget


@dataclass
class Run:
    """Hold all of a run: when and where, and what was found of each peer by its module."""

    date: str
    machine: str
    clawguard: str
    rounds: int
    peers: dict[str, Figures]

    def write(self, path: Path) -> None:
        """Keep the run, a work's rounds on a line."""
        text = json.dumps(asdict(self), indent=1)
        path.write_text(_LIST.sub(lambda found: " ".join(found[0].split()), text) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read a run that was kept."""
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**told | {"peers": {name: Figures(**each) for name, each in told["peers"].items()}})
