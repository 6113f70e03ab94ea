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
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from clawguard import SessionManager, Verifier
from clawguard.clock import SystemClock

from .filling import HOUR

__all__ = ["WRITTEN", "main"]

WRITTEN = Path(__file__).parent / "units.json"
_SERVER = "postgresql://postgres@127.0.0.1:5432/test"
_NAME = f"clawguard-units-{os.getpid()}"
_KEK = bytes(range(32))
_SCOPES = "docs:read mail:send"
_CONTEXT = multiprocessing.get_context("fork")
_ACTS = ("validate", "create", "revoke")
_WRITES = ("create", "revoke")
_PROCESSES = (1, 2, 4)
_SECONDS = 1.0
_ROUNDS = 3
_CALLS = 400
_READY = 400  # sessions that a process has to revoke
_LINKED = 200  # events at once, fewer than the library leaves by itself
_DUE = 2_000  # sessions that a sweep ends
Places = dict[str, Callable[[], str]]
_COUNTS = (2_000, 4_000, 8_000)


class _Held:
    """Measure how long transactions have the write lock, or wait for it, in seconds."""

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


class _Later(SystemClock):
    """Be an hour ahead of the machine's clock."""

    def now(self) -> int:
        """Return the time of an hour from now."""
        return super().now() + HOUR


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
    """Return the seconds of one act: in all, computed here, by the server, and with the write lock held.

    The fastest tenth of them counts, but for the server's: what else the machine does slows the others.
    """
    with _open(url) as manager, Verifier.open(url) as verifier:
        act = _act(manager, verifier, what, _CALLS + 10)
        for _ in range(10):
            act()
        held, walls, cpus, before = _Held(manager), list[float](), list[float](), _computed_by_server(url)
        for _ in range(_CALLS):
            began, computed = time.perf_counter(), time.thread_time()
            act()
            cpus.append(time.thread_time() - computed)
            walls.append(time.perf_counter() - began)
        server = (_computed_by_server(url) - before) / _CALLS
    lock = _tenth(held.holds) if what in _WRITES else 0.0
    return {"wall": _tenth(walls), "cpu": _tenth(cpus), "server": server, "lock": lock}


def _link(url: str) -> float:
    """Return the seconds in which one event is linked, which one process does at a time."""
    with _open(url) as manager:
        took = []
        for _ in range(5):
            manager.events.read(limit=1)
            for _ in range(_LINKED):
                manager.create("planner", scopes=_SCOPES)
            began = time.perf_counter()
            manager.events.read(limit=1)
            took.append(time.perf_counter() - began)
    return min(took) / _LINKED


def _sweep(url: str) -> dict[str, float]:
    """Return the seconds in which a sweep records one natural end, with the write lock held."""
    with _open(url) as manager:
        for _ in range(_DUE):
            manager.create("planner", scopes=_SCOPES, ttl=60)
    with SessionManager.open(url, kek=_KEK, sweep_every=None, clock=_Later()) as manager:
        before, began, computed = _computed_by_server(url), time.perf_counter(), time.thread_time()
        ended = manager.prune_expired()
        wall, cpu = time.perf_counter() - began, time.thread_time() - computed
        server = _computed_by_server(url) - before
    if ended != _DUE:
        raise RuntimeError(f"the sweep ended {ended} of {_DUE}")
    return {"wall": wall / _DUE, "cpu": cpu / _DUE, "server": server / _DUE, "lock": wall / _DUE}


def _computed_by_server(url: str) -> float:
    """Return the seconds of a core that the server gave to this process's connections; 0 for a file."""
    if "://" not in url:
        return 0.0
    with psycopg.connect(_SERVER, autocommit=True, application_name="clawguard-reader") as connection:
        pids = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s", [_NAME]
        ).fetchall()
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in pids) / 1e9


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
        files = (str(Path(folder) / str(number) / "clawguard.db") for number in count())
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
    for wanted in _COUNTS:
        with _open(url) as manager:
            while len(live) < wanted:
                live.append(manager.create(f"agent-{len(live) % 50}", scopes=_SCOPES).id)
        sizes.append([wanted, _size(url)])
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
    os.environ["PGAPPNAME"] = _NAME
    with _places() as places:
        for part in parts or _PARTS:
            found[part] = _PARTS[part](places)
    WRITTEN.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _units(places: Places) -> dict[str, Any]:
    found: dict[str, Any] = {
        engine: {what: _unit(place(), what) for what in _ACTS} | {"sweep": _sweep(place())}
        for engine, place in places.items()
    }
    link = _link(places["postgresql"]())
    for what in _WRITES:  # they share the lock, and each leaves one event
        found["postgresql"][what]["lock"] = link
    return found


def _points(places: Places) -> list[dict[str, Any]]:
    """Return each point at its best of some rounds: what the disk does for others makes the rest slower."""
    rounds = [
        {
            (e, a, p): _together(place(), a, p)
            for e, place in places.items()
            for a in _ACTS
            for p in _PROCESSES
        }
        for _ in range(_ROUNDS)
    ]
    best = {key: max((each[key] for each in rounds), key=lambda point: point["rate"]) for key in rounds[0]}
    return [{"engine": engine, "act": act, **best[engine, act, n]} for engine, act, n in best]


def _sizes(places: Places) -> dict[str, Any]:
    return {engine: _bytes(place()) for engine, place in places.items()}


_PARTS: dict[str, Callable[[Places], Any]] = {"units": _units, "points": _points, "bytes": _sizes}

if __name__ == "__main__":
    main(sys.argv[1:])
