"""Memory: what a cached context weighs, and whether validating for ever makes the process grow."""

from __future__ import annotations

import gc
import os
import tracemalloc
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from clawguard import SessionManager

from .filling import Filler, mint
from .harness import Result, Setting, benchmark
from .raw import SCOPES, open_manager


@benchmark("memory")
def memory(setting: Setting) -> Iterator[Result]:
    """memory of one cache entry; growth over 1,000,000 validates (quick: 100,000), and over lives"""
    yield _entry(setting)
    yield _growth(setting)
    yield _churn(setting)


def _entry(setting: Setting) -> Result:
    count, warm = setting.size(4_000, 1_000), 200
    path = setting.path("memory")
    with Filler(path) as filler:
        ids = filler.roots(count + warm)
    tokens = mint(path, ids)
    with open_manager(path) as manager:
        for token in tokens[:warm]:
            manager.validate(token, require="docs:read")
        manager.prune_expired()
        tracemalloc.start()
        for token in tokens[warm:]:
            manager.validate(token, require="docs:read")
        manager.prune_expired()  # writes the gathered activity, so that only the cache is left
        gc.collect()
        size = tracemalloc.get_traced_memory()[0] / count
        tracemalloc.stop()
    return Result("memory of a cache entry, beside the token", size, 1_024, "bytes")


def _growth(setting: Setting) -> Result:
    count = setting.size(1_000_000, 100_000)
    with open_manager(setting.path("growth")) as manager:
        tokens = cycle([manager.create("planner", scopes=SCOPES).token for _ in range(100)])
        for token in islice(tokens, count // 10):
            manager.validate(token, require="docs:read")
        before = _resident()
        for token in islice(tokens, count):
            manager.validate(token, require="docs:read")
        grown = _resident() - before
    return Result(f"growth over {count:,} validates", max(0, grown), 1_048_576, "kibibytes")


def _churn(setting: Setting) -> Result:
    """Measure what lives that come and go leave behind, once SQLite has filled its share of pages."""
    warm, count = setting.size(9_000, 3_000), setting.size(6_000, 500)
    with open_manager(setting.path("churn")) as manager:
        _live(manager, warm)
        before = _resident()
        _live(manager, count)
        grown = _resident() - before
    what = f"growth over {count:,} lives: create, validate, refresh, validate, revoke"
    return Result(what, max(0, grown), 1_048_576, "kibibytes", detail=f"after {warm:,}")


def _live(manager: SessionManager, count: int) -> None:
    for _ in range(count):
        session = manager.create("planner", scopes=SCOPES)
        manager.validate(session.token, require="docs:read")
        session = manager.refresh(session)
        manager.validate(session.token, require="docs:read")
        manager.revoke(session)
    manager.prune_expired()  # writes what was gathered, as the sweeper does once a second


def _resident() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
