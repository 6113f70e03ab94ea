"""What single acts cost on this machine, and what several processes make of them: for the capacity model.

`python -m benchmarks.units` writes `benchmarks/units.json`, and with `units`, `points` or `bytes` only that.
Where the machine does other things too, all figures are worse than they need be.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg

from clawguard import SessionManager, Verifier

__all__ = ["WRITTEN", "main"]

WRITTEN = Path(__file__).parent / "units.json"
_SERVER = "postgresql://postgres@127.0.0.1:5432/test"
_KEK = bytes(range(32))
_SCOPES = "docs:read mail:send"
_CONTEXT = multiprocessing.get_context("fork")
_ACTS = ("validate", "create", "revoke")
_PROCESSES = (1, 2, 4)
_SECONDS = 1.0
_CALLS = 400
_READY = 400  # sessions that a process has to revoke
Places = dict[str, Callable[[], str]]
_COUNTS = (2_000, 4_000, 8_000)


class _Held:
    """Measure how long transactions wait for the write lock and hold it, in seconds."""

    def __init__(self, manager: SessionManager) -> None:
        store: Any = manager._parts.store
        self._begin = store.transaction
        self.waits: list[float] = []
        self.holds: list[float] = []
        store.transaction = self._measured

    @contextmanager
    def _measured(self, **how: Any) -> Iterator[Any]:
        began = held = time.perf_counter()
        try:
            with self._begin(**how) as tx:
                held = time.perf_counter()
                yield tx
        finally:
            self.waits.append(held - began)
            self.holds.append(time.perf_counter() - held)


def _open(url: str) -> SessionManager:
    return SessionManager.open(url, kek=_KEK, sweep_every=None)


def _act(manager: SessionManager, verifier: Verifier, what: str, ready: int) -> Callable[[], object]:
    if what == "create":
        return lambda: manager.create("planner", scopes=_SCOPES)
    if what == "revoke":
        live = [manager.create("planner", scopes=_SCOPES).id for _ in range(ready)]
        return lambda: manager.revoke(live.pop())
    token = manager.create("planner", scopes=_SCOPES).token
    verifier.validate(token)
    return lambda: verifier.validate(token, require="docs:read")


def _unit(url: str, what: str) -> dict[str, float]:
    """Return the seconds of one act: in all, computed here, and with the write lock held.

    The fastest tenth of them counts: what else the machine does makes the others slower.
    """
    with _open(url) as manager, Verifier.open(url) as verifier:
        act = _act(manager, verifier, what, _CALLS + 10)
        for _ in range(10):
            act()
        held, walls, cpus = _Held(manager), list[float](), list[float]()
        for _ in range(_CALLS):
            began, computed = time.perf_counter(), time.thread_time()
            act()
            cpus.append(time.thread_time() - computed)
            walls.append(time.perf_counter() - began)
    return {"wall": _tenth(walls), "cpu": _tenth(cpus), "lock": _tenth(held.holds) if held.holds else 0.0}


def _tenth(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=10)[0]


def _work(url: str, what: str, barrier: Any, answers: Any) -> None:
    calls = 0
    with _open(url) as manager, Verifier.open(url) as verifier:
        act, held = _act(manager, verifier, what, _READY), _Held(manager)
        barrier.wait()
        began, cpu = time.monotonic(), time.thread_time()
        while time.monotonic() - began < _SECONDS and (what != "revoke" or calls < _READY):
            act()
            calls += 1
        cpu, took = time.thread_time() - cpu, time.monotonic() - began
        answers.put((calls, took, cpu, sum(held.waits), sum(held.holds)))


def _together(url: str, what: str, processes: int) -> dict[str, float]:
    """Return what several processes make of an act: how often a second, and where its time goes."""
    barrier, answers = _CONTEXT.Barrier(processes), _CONTEXT.SimpleQueue()
    crew = [_CONTEXT.Process(target=_work, args=(url, what, barrier, answers)) for _ in range(processes)]
    for each in crew:
        each.start()
    told = [answers.get() for _ in crew]
    for each in crew:
        each.join()
    calls, took, cpu, waits, holds = (sum(column) for column in zip(*told, strict=True))
    return {
        "processes": processes,
        "rate": calls / max(seconds for _, seconds, *_ in told),
        "cpu": cpu / calls,
        "wait": waits / calls,
        "lock": holds / calls,
        "away": (took - waits - holds) / calls,
    }


@contextmanager
def _places() -> Iterator[Places]:
    """Give new places of both engines; all are removed."""
    made: list[str] = []

    def schema() -> str:
        made.append(f"units_{secrets.token_hex(6)}")
        return f"{_SERVER}?schema={made[-1]}"

    with tempfile.TemporaryDirectory() as folder:
        files = (str(Path(folder) / str(number) / "clawguard.db") for number in range(99))
        try:
            yield {"sqlite": lambda: next(files), "postgresql": schema}
        finally:
            with psycopg.connect(_SERVER, autocommit=True) as connection:
                for name in made:
                    connection.execute(
                        f"SET client_min_messages = error; DROP SCHEMA IF EXISTS {name} CASCADE"
                    )


def _size(url: str) -> int:
    if "://" not in url:
        with closing(sqlite3.connect(url)) as file:
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return Path(url).stat().st_size
    server, _, schema = url.partition("?schema=")
    with psycopg.connect(server, autocommit=True) as connection:
        found = connection.execute(
            "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class "
            "WHERE relnamespace = to_regnamespace(%s) AND relkind = 'r'",
            [schema],
        ).fetchone()
    return int(found[0]) if found else 0


def _bytes(url: str) -> dict[str, Any]:
    """Return how large a database is with so many sessions, each with its event, and what an end adds."""
    sizes, live = list[list[int]](), list[str]()
    for count in _COUNTS:
        with _open(url) as manager:
            while len(live) < count:
                live.append(manager.create(f"agent-{len(live) % 50}", scopes=_SCOPES).id)
        sizes.append([count, _size(url)])
    with _open(url) as manager:
        for session_id in live[: _COUNTS[0]]:
            manager.revoke(session_id)
    return {"sizes": sizes, "end": (_size(url) - sizes[-1][1]) / _COUNTS[0]}


def main(parts: Sequence[str]) -> None:
    """Measure the parts that are named, or all, and write them."""
    found: dict[str, Any] = json.loads(WRITTEN.read_text(encoding="utf-8")) if WRITTEN.exists() else {}
    found |= {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
    }
    with _places() as places:
        for part in parts or _PARTS:
            found[part] = _PARTS[part](places)
    WRITTEN.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _units(places: Places) -> dict[str, Any]:
    return {engine: {what: _unit(place(), what) for what in _ACTS} for engine, place in places.items()}


def _points(places: Places) -> list[dict[str, Any]]:
    return [
        {"engine": engine, "act": what, **_together(place(), what, processes)}
        for engine, place in places.items()
        for what in _ACTS
        for processes in _PROCESSES
    ]


def _sizes(places: Places) -> dict[str, Any]:
    return {engine: _bytes(place()) for engine, place in places.items()}


_PARTS: dict[str, Callable[[Places], Any]] = {"units": _units, "points": _points, "bytes": _sizes}

if __name__ == "__main__":
    main(sys.argv[1:])
