"""Where the time of an act goes that misses its budget; `python -m benchmarks.profiles` writes it down.

A profiler makes Python's own calls dearer and SQLite's not, so shares lean towards Python. One call is timed
without it.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from .marks import filled
from .raw import SCOPES, open_manager

__all__ = ["imported", "layer_of", "main", "table"]

_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_LAYERS = ("SQLite", "signing, hashing", "clawguard", "cachetools", "PyJWT, pydantic", "Python's own")
_CLASSES = {
    "sqlite3": "SQLite",
    "openssl": "signing, hashing",
    "_hashlib": "signing, hashing",
    "cryptography": "signing, hashing",
    "asn1": "signing, hashing",
    "pydantic": "PyJWT, pydantic",
    "/jwt/": "PyJWT, pydantic",
    "cachetools": "cachetools",
    "/clawguard/": "clawguard",
}
Act = Callable[[], object]


@contextmanager
def _create(path: Path, _: int) -> Iterator[Act]:
    with open_manager(path) as manager:
        yield lambda: manager.create("planner", scopes=SCOPES)


@contextmanager
def _revoke(path: Path, calls: int) -> Iterator[Act]:
    with open_manager(path) as manager:
        live = [manager.create("planner", scopes=SCOPES).id for _ in range(calls)]
        yield lambda: manager.revoke(live.pop())


@contextmanager
def _bounded(path: Path, _: int) -> Iterator[Act]:
    with open_manager(path, max_staleness=1) as manager:
        token = manager.create("planner", scopes=SCOPES).token
        manager.validate(token)
        yield lambda: manager.validate(token, require="docs:read")


_ACTS = {"create": _create, "revoke": _revoke, "validate, hit, max_staleness=1": _bounded}


def layer_of(place: tuple[str, int, str]) -> str:
    """Return whose a function is, as the profiler names it: a file, a line, a name."""
    file, _, name = place
    where = name if file == "~" else file
    return next((layer for mark, layer in _CLASSES.items() if mark in where), "Python's own")


def table(folder: Path, *, calls: int = 2_000) -> str:
    """Return the table: one call, how many Python calls are in it, and whose their own time is."""
    rows = [
        f"| {name} | {' | '.join(_profiled(act, folder / str(number) / 'clawguard.db', calls))} |"
        for number, (name, act) in enumerate(_ACTS.items())
    ]
    head = ["act", "one call", "functions called", *_LAYERS]
    return "\n".join([f"| {' | '.join(head)} |", f"|---{'|--:' * (len(head) - 1)}|", *rows])


def _profiled(act: Any, path: Path, calls: int) -> list[str]:
    with act(path, 2 * calls + 1) as call:
        call()
        walls = []
        for _ in range(calls):
            began = perf_counter()
            call()
            walls.append(perf_counter() - began)
        with cProfile.Profile() as profile:
            for _ in range(calls):
                call()
    stats: Any = pstats.Stats(profile)
    own: defaultdict[str, float] = defaultdict(float)
    for place, (_, _, seconds, _, _) in stats.stats.items():
        own[layer_of(place)] += seconds
    shares = [f"{own[layer] / sum(own.values()):.0%}" for layer in _LAYERS]
    return [f"{statistics.median(walls) * 1e6:,.1f} us", f"{stats.total_calls / calls:,.0f}", *shares]


def imported() -> dict[str, float]:
    """Return the milliseconds that `import clawguard` takes, by the package whose modules they are."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import clawguard"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stderr  # fmt: skip
    own: defaultdict[str, float] = defaultdict(float)
    for line in told.splitlines()[1:]:
        own_time, _, module = line.removeprefix("import time:").split("|")
        package = module.strip().partition(".")[0]
        own[package if package in _PACKAGES else "Python's own, and others"] += float(own_time) / 1e3
    return dict(own)


_PACKAGES = ("clawguard", "cryptography", "jwt", "blinker", "cachetools", "pydantic", "pydantic_core")


def main() -> None:
    """Write the table, and what an import consists of."""
    with tempfile.TemporaryDirectory(prefix="clawguard-profiles-") as folder:
        made = table(Path(folder))
    parts = sorted(imported().items(), key=lambda part: -part[1])
    listed = ", ".join(f"{name} {spent:.0f} ms" for name, spent in parts if spent >= 1)
    text = f"{made}\n\n`import clawguard`, with bytecode at hand and the import's own clock on: {listed}."
    _PAGE.write_text(filled(_PAGE.read_text(encoding="utf-8"), "profiles", text), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
