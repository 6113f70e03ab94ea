"""Conversations at size: search and clear; appends and reads stand beside other libraries' in `peers`."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

from clawguard import SessionManager
from clawguard.clock import SystemClock
from clawguard.history.records import Row
from clawguard.history.words import words_of
from clawguard.store.catalog import Catalog
from clawguard.store.connections import connect

from .filling import Filler
from .harness import Result, Setting, benchmark
from .raw import open_manager

RARE = "zirconium"
_VOCABULARY = [f"word{number}" for number in range(20_000)]
_BATCH = 10_000


@benchmark("history")
def history(setting: Setting) -> Iterator[Result]:
    """search of many entries; clear of many"""
    yield from _search(setting)
    yield from _clear(setting)


def _search(setting: Setting) -> Iterator[Result]:
    count = setting.size(1_000_000, 100_000)
    path = setting.path("history-search")
    _fill(path, sessions=1_000, entries=count)
    with open_manager(path) as manager:
        took = [_seconds(lambda: manager.history.search(RARE)) for _ in range(31)]
        found = len(manager.history.search(RARE))
    detail = f"{found} found, median; slowest {max(took) * 1e3:.1f} ms"
    what = f"search of {count:,} entries for a rare word"
    yield Result(what, statistics.median(took), 0.05, "milliseconds", detail=detail)


def _clear(setting: Setting) -> Iterator[Result]:
    count = setting.size(100_000, 20_000)
    path = setting.path("history-clear")
    _fill(path, sessions=1, entries=count)
    with SessionManager.open(path, sweep_every=None) as manager:
        [metadata] = manager.history.page().items
        took = _seconds(lambda: manager.history.clear(metadata.session_id))
    yield Result(f"clear of {count:,} entries", took, 2.0, "seconds")


def _seconds(act: Callable[[], object]) -> float:
    start = perf_counter()
    act()
    return perf_counter() - start


def _fill(path: Path, *, sessions: int, entries: int) -> None:
    """Fill a database with conversations by hand, their entries mixed as they come in life."""
    with Filler(path) as filler:
        ids = filler.roots(sessions)
    catalog, chance, now = Catalog("sqlite"), random.Random(entries), SystemClock().now()
    lengths = dict.fromkeys(ids, 0)
    connection = connect(path)
    connection.execute("PRAGMA synchronous = OFF")
    insert, index = catalog["entry.insert"], catalog["words.insert"]
    for first in range(1, entries + 1, _BATCH):
        connection.execute("BEGIN IMMEDIATE")
        for entry_id in range(first, min(first + _BATCH, entries + 1)):
            session_id = ids[entry_id % sessions]
            lengths[session_id] += 1
            text = " ".join(_words(chance, is_rare=entry_id % (entries // 20) == 0))
            row = Row(now, "message", "user", text, None, auto_injected=0)
            whose = {"session_id": session_id, "seq": lengths[session_id]}
            connection.execute(insert.sql, insert.bind(whose | row._asdict()))
            words, tools = words_of("user", text, None, 0) or ("", "")
            connection.execute(index.sql, index.bind({"id": entry_id, "words": words, "tools": tools}))
        connection.execute("COMMIT")
    counted = [(length, session_id) for session_id, length in lengths.items()]
    connection.executemany("UPDATE sessions SET entry_count = ? WHERE id = ?", counted)
    reach = catalog["words.reach"]
    connection.execute(reach.sql, reach.bind({"until": entries}))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def _words(chance: random.Random, *, is_rare: bool) -> list[str]:
    """Return a dozen words, the first ones of the vocabulary far more often than the last."""
    found = [_VOCABULARY[int(chance.random() ** 3 * len(_VOCABULARY))] for _ in range(12)]
    return [*found, RARE] if is_rare else found
