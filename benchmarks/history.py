"""Conversations: append and tail beside another library's, search and clear at size."""

from __future__ import annotations

import asyncio
import random
import statistics
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

from clawguard import SessionManager
from clawguard.clock import SystemClock
from clawguard.history.records import Row
from clawguard.history.words import words_of
from clawguard.store.catalog import Catalog
from clawguard.store.connections import connect

from .filling import Filler
from .harness import Pair, Result, Setting, absent, alternate, benchmark
from .raw import open_manager

MESSAGE = {"role": "user", "content": "what does the memory say of the meeting at noon in the blue room?"}
RARE = "zirconium"
_VOCABULARY = [f"word{number}" for number in range(20_000)]
_BATCH = 10_000


@benchmark("history")
def history(setting: Setting) -> Iterator[Result]:
    """append and tail beside openai-agents' SQLiteSession; search of many entries; clear of many"""
    yield from _beside_a_peer(setting)
    yield from _search(setting)
    yield from _clear(setting)


def _beside_a_peer(setting: Setting) -> Iterator[Result]:
    try:
        from agents import SQLiteSession
    except ImportError:
        absent("openai-agents", "append and tail have")
        return
    rounds, number = setting.size(41, 15), 20
    loop = asyncio.new_event_loop()
    with open_manager(setting.path("history")) as manager:
        peer = SQLiteSession("peer", setting.path("history-peer"))
        item: Any = dict(MESSAGE)
        session = manager.create("planner", scopes="docs:read", ttl=86_400)
        for _ in range(500):
            manager.history.append(session, MESSAGE)
        loop.run_until_complete(peer.add_items([item] * 500))

        def theirs(call: Callable[[], Awaitable[Any]]) -> Callable[[], object]:
            async def repeat() -> None:
                for _ in range(number):
                    await call()

            return lambda: loop.run_until_complete(repeat())

        def ours(call: Callable[[], object]) -> Callable[[], object]:
            def repeat() -> None:
                for _ in range(number):
                    call()

            return repeat

        def read() -> object:
            return [entry.text for entry in manager.history.tail(session, 100)]

        acts = (
            ours(lambda: manager.history.append(session, MESSAGE)),
            theirs(lambda: peer.add_items([item])),
            ours(read),
            theirs(lambda: peer.get_items(100)),
        )
        added, peer_added, tailed, peer_tailed = (
            [each / number for each in times] for times in alternate(*acts, rounds=rounds, number=1)
        )
        peer.close()
    loop.close()
    yield Pair(added, peer_added).against("history: append, to openai-agents' SQLiteSession", 1 / 5, "part")
    yield Pair(tailed, peer_tailed).against("  tail(100), each text read", 1 / 5, "part")


def _search(setting: Setting) -> Iterator[Result]:
    count = setting.size(1_000_000, 100_000)
    path = setting.path("history-search")
    _fill(path, sessions=1_000, entries=count)
    with open_manager(path) as manager:
        took = [_seconds(lambda: manager.history.search(RARE)) for _ in range(31)]
        found = len(manager.history.search(RARE))
    detail = f"{found} found, median; slowest {max(took) * 1e3:.1f} ms"
    what = f"  search of {count:,} entries for a rare word"
    yield Result(what, statistics.median(took), 0.05, "milliseconds", detail=detail)


def _clear(setting: Setting) -> Iterator[Result]:
    count = setting.size(100_000, 20_000)
    path = setting.path("history-clear")
    _fill(path, sessions=1, entries=count)
    with SessionManager.open(path, sweep_every=None) as manager:
        [metadata] = manager.history.page().items
        took = _seconds(lambda: manager.history.clear(metadata.session_id))
    yield Result(f"  clear of {count:,} entries", took, 2.0, "seconds")


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
