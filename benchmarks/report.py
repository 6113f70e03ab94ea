"""The table: plain for the terminal, Markdown for the docs."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence

from .harness import Result

__all__ = ["lines", "machine", "table"]

_HEADS = ("what", "figure", "budget", "verdict", "detail")
_WIDTHS = (56, 12, 14, 7)


def machine() -> str:
    """Return what the figures were measured on."""
    return (
        f"{os.cpu_count()} cores ({platform.machine()}, {platform.system()}), "
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def lines(results: Iterable[Result]) -> Iterable[str]:
    """Give the table line by line, each as soon as its result is there."""
    yield _aligned(_HEADS)
    for result in results:
        yield _aligned(result.cells)


def table(results: Sequence[Result], *, quick: bool) -> str:
    """Return the budgets' part of the page: the machine and the table."""
    head = [f"| {' | '.join(_HEADS)} |", "|---|--:|--:|---|---|"]
    rows = [f"| {' | '.join(result.cells)} |" for result in results]
    scope = "A quick run, with smaller numbers." if quick else "A full run."
    return "\n".join([f"{machine()}. {scope}", "", *head, *rows])


def _aligned(cells: tuple[str, str, str, str, str]) -> str:
    what, figure, budget, verdict, detail = cells
    first, second, third, fourth = _WIDTHS
    return f"{what:<{first}}{figure:>{second}}  {budget:>{third}}  {verdict:<{fourth}}  {detail}".rstrip()
