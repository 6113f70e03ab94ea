"""Figures of the experiments: kept as they are told, and written into the page of guarantees.

`make torture` and `make fuzz` have each experiment that passes put its figures into docs/experiments.json, in
the place of those it had there; one that fails loses them. Run as a program, this writes the table between
two marks of the page.
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import subprocess
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from benchmarks.marks import filled

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "docs" / "experiments.json"
PAGE = ROOT / "docs" / "guarantees.md"
_COLUMNS = ("experiment", "test", "figures", "seed", "run")


@dataclass(slots=True, kw_only=True)
class Figures:
    """Hold what one run of an experiment found, and where it ran."""

    experiment: str
    test: str
    figures: dict[str, str]
    seed: int | None
    commit: str
    date: str
    machine: str


@dataclass(slots=True)
class Notes:
    """Collect what the running test tells."""

    told: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    seed: int | None = None

    def clear(self) -> None:
        """Begin with another test."""
        self.told, self.seed = [], None

    def tell(self, experiment: str, figures: dict[str, object]) -> None:
        """Add one line of figures."""
        self.told.append((experiment, {name.replace("_", " "): str(each) for name, each in figures.items()}))

    def figures(self, test: str) -> list[Figures]:
        """Return all that was told, as it is kept."""
        return [
            Figures(
                experiment=experiment,
                test=test,
                figures=figures,
                seed=self.seed,
                commit=commit(),
                date=f"{datetime.now(UTC):%Y-%m-%d}",
                machine=machine(),
            )
            for experiment, figures in self.told
        ]


NOTES = Notes()


@cache
def commit() -> str:
    """Return the short name of the commit; a plus sign follows where files were changed since."""
    said = [
        subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for words in (
            ("rev-parse", "--short=9", "HEAD"),
            ("status", "--porcelain", "--", "clawguard", "tests"),
        )
    ]
    return f"{said[0] or 'unknown'}{'+' if said[1] else ''}"


def machine() -> str:
    """Return what an experiment ran on."""
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    return f"Python {python}, SQLite {sqlite}, {platform.system()}, {os.cpu_count()} cores"


def read(path: Path) -> list[Figures]:
    """Return what is kept in a file."""
    return [Figures(**each) for each in json.loads(path.read_text("utf-8"))] if path.exists() else []


def keep(path: Path, test: str, found: list[Figures]) -> None:
    """Put a test's figures in the place of those it had."""
    kept = [each for each in read(path) if each.test != test] + found
    kept.sort(key=lambda each: (each.test, each.experiment))
    path.write_text(json.dumps([asdict(each) for each in kept], indent=1) + "\n", encoding="utf-8")


def table(kept: list[Figures]) -> str:
    """Return the figures as a table of Markdown, under the machines that they are of."""
    lines = [_row(_COLUMNS), _row(["---"] * len(_COLUMNS))]
    for each in kept:
        told = ", ".join(f"{name} {value}" for name, value in each.figures.items())
        seed = "" if each.seed is None else str(each.seed)
        lines.append(_row([each.experiment, f"`{each.test}`", told, seed, f"{each.date}, {each.commit}"]))
    machines = sorted({each.machine for each in kept})
    return "\n".join(["Run on " + "; ".join(machines or ["no machine yet"]) + ".", "", *lines])


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(each.replace("|", "/") for each in cells) + " |"


def rendered(page: str, kept: list[Figures]) -> str:
    """Return a page with the table between its marks."""
    return filled(page, "experiments", table(kept))


def main() -> None:
    """Write the table into the page."""
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(rendered(page, read(KEPT)), encoding="utf-8")


if __name__ == "__main__":
    main()
