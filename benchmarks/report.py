"""The table: plain for the terminal, Markdown for the docs."""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence

from .harness import Result

__all__ = ["lines", "machine", "page"]

_HEADS = ("what", "figure", "budget", "verdict", "detail")
_WIDTHS = (56, 12, 14, 7)

_PAGE = """# Benchmarks

What the library costs, as ratios against the same work done by hand, each with its budget. Made by

```
python -m benchmarks --write docs/benchmarks.md
```

{machine}. {scope}

{table}

How it is measured: both sides of a ratio run in one process, in alternating loops, the order turned round
each time; the figure is the median of the ratios of neighbouring loops. So a machine that is busy or slow
moves both sides, and absolute times say little. Trees, sweeps and the chain have absolute budgets: there the
best of several runs counts. Waits and shares of many processes are one run each, and want an idle machine.
`1/12.0` means twelve times as fast. The hand-written side uses PyJWT with its key already loaded, and
`sqlite3` on a database made by the library's own migrations, with the same settings, the same statements and
the same `synchronous` level.

Where another library stands on the other side of a ratio, `pip install '.[peers]'` brings it; without it the
line is left out, and the run says so. What a guard adds to a web request is the time of the processor, over
the same app without any.

To run it again: `make bench`; `python -m benchmarks --quick` in a minute, with smaller numbers; `--list`
names the parts and `--only NAME` runs one. The exit code is 1 when a budget is missed.
"""


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


def page(results: Sequence[Result], *, quick: bool) -> str:
    """Return the whole page of the docs."""
    head = [f"| {' | '.join(_HEADS)} |", "|---|--:|--:|---|---|"]
    rows = [f"| {' | '.join(result.cells)} |" for result in results]
    scope = "A quick run, with smaller numbers." if quick else "A full run."
    return _PAGE.format(machine=machine(), scope=scope, table="\n".join(head + rows))


def _aligned(cells: tuple[str, str, str, str, str]) -> str:
    what, figure, budget, verdict, detail = cells
    first, second, third, fourth = _WIDTHS
    return f"{what:<{first}}{figure:>{second}}  {budget:>{third}}  {verdict:<{fourth}}  {detail}".rstrip()
