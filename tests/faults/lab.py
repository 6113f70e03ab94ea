"""What the experiments share: processes on one database, what they tell each other, and how it is checked."""

from __future__ import annotations

import ctypes
import json
import multiprocessing
import os
import posix
import random
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from clawguard import SessionManager, StoreBusy
from clawguard.store.sqlite import SQLiteStore
from clawguard.store.writer_queue import WriterQueue
from tests.faults.figures import NOTES

CONTEXT = multiprocessing.get_context("fork")
PATIENCE = 60.0
_CELL = 2_048

Work = Callable[..., Any]
Place = TypeVar("Place", Path, str)


def sizes(small: int, full: int, *, timeout: int = 900) -> list[Any]:
    """Return the parameters of an experiment: a slice for every run, the whole for `make torture`."""
    marks = [pytest.mark.torture, pytest.mark.timeout(timeout)]
    return [pytest.param(small, id="slice"), pytest.param(full, id="full", marks=marks)]


def is_full(request: pytest.FixtureRequest) -> bool:
    """Tell whether this is the full size."""
    return request.node.get_closest_marker("torture") is not None


def report(guarantee: str, **figures: object) -> None:
    """Print an experiment's figures in one line, and note them for the page of guarantees."""
    NOTES.tell(guarantee, figures)
    told = (f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
    print(f"\n{guarantee}: {', '.join(told)}")


class Worker:
    """Run a function in a process of its own, and have its result, its failure or its death."""

    def __init__(self, work: Work, *args: Any) -> None:
        self._results, theirs = CONTEXT.Pipe(duplex=False)
        self.process = CONTEXT.Process(target=_run, args=(theirs, work, args), daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The process's number."""
        assert self.process.pid is not None
        return self.process.pid

    def result(self, timeout: float = PATIENCE) -> Any:
        """Return what the function returned; fail with its traceback, or when it does not end."""
        if not self._results.poll(timeout):
            self.kill()
            pytest.fail(f"a process had not ended after {timeout:g} s")
        try:
            fine, result = self._results.recv()
        except EOFError:
            self.process.join()
            pytest.fail(f"a process died: exit code {self.process.exitcode}")
        self.process.join(PATIENCE)
        if not fine:
            pytest.fail(f"a process failed:\n{result}")
        return result

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        if self.process.exitcode is None:
            self.process.kill()
        self.process.join()

    def stop(self) -> None:
        """Halt it with SIGSTOP, and wait until it stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> None:
        """Let it run again."""
        os.kill(self.pid, signal.SIGCONT)


def _run(results: Connection, work: Work, args: tuple[Any, ...]) -> NoReturn:
    try:
        results.send((True, work(*args)))
    except BaseException:
        results.send((False, traceback.format_exc()))
    leave(0)


def leave(status: int) -> NoReturn:
    """End a child past what measures coverage: to write that down takes longer than most experiments."""
    posix._exit(status)


@contextmanager
def crew() -> Iterator[Callable[..., Worker]]:
    """Give a function that starts processes; those still there at the end are ended, and only those."""
    workers: list[Worker] = []

    def start(work: Work, *args: Any) -> Worker:
        workers.append(Worker(work, *args))
        return workers[-1]

    try:
        yield start
    finally:
        for worker in workers:
            worker.kill()


def together(count: int, work: Work, *args: Any, timeout: float = PATIENCE) -> list[Any]:
    """Run a function in `count` processes at once, each with its number first; return their results."""
    with crew() as start:
        workers = [start(work, number, *args) for number in range(count)]
        return [worker.result(timeout) for worker in workers]


def founded(place: Place) -> Place:
    """Make a database, so that processes may meet at it; nothing of it stays open here."""
    SessionManager.open(place, sweep_every=None).close()
    return place


def stop_outside_a_write(worker: Worker, path: Path) -> None:
    """Halt a process, but not with the write lock in its hands: then everybody waits, as for any writer."""
    with SessionManager.open(path, sweep_every=None, lock_timeout=1) as manager:
        while True:
            worker.stop()
            try:
                manager.create("prober", scopes="a")
            except StoreBusy:
                worker.go_on()
                time.sleep(0.05)
            else:
                return


class Board:
    """Hold tokens in shared memory, each unknown, live or dead; dead is set after the ending call returned.

    Whoever sees a token dead before it calls began after the acknowledgement: no clock takes part.
    """

    UNKNOWN, LIVE, DEAD = 0, 1, 2

    def __init__(self, places: int) -> None:
        self._states = CONTEXT.RawArray(ctypes.c_byte, places)
        self._tokens = CONTEXT.RawArray(ctypes.c_ubyte, places * _CELL)
        self._high = CONTEXT.RawValue(ctypes.c_long, 0)
        self._over = CONTEXT.RawValue(ctypes.c_byte, 0)

    def publish(self, place: int, token: str) -> None:
        """Show a live token, or whatever text is to be handed over."""
        text = token.encode()
        assert len(text) < _CELL
        start = place * _CELL
        self._tokens[start : start + len(text) + 1] = list(text + b"\0")
        self._states[place] = self.LIVE
        self._high.value = max(self._high.value, place)

    def clear(self) -> None:
        """Know nothing again; nobody else may be at it meanwhile."""
        for place in range(int(self._high.value) + 1):
            self._states[place] = self.UNKNOWN
        self._high.value = 0

    def bury(self, place: int) -> None:
        """Note that the call which ended the token has returned."""
        self._states[place] = self.DEAD

    def state(self, place: int) -> int:
        """Return what is known of a place."""
        return int(self._states[place])

    def token(self, place: int) -> str:
        """Return the text at a place."""
        start = place * _CELL
        return bytes(self._tokens[start : start + _CELL]).partition(b"\0")[0].decode()

    def some(self, chance: random.Random, spread: int) -> int:
        """Return a place near the newest one."""
        high = int(self._high.value)
        return chance.randint(max(0, high - spread), high)

    @property
    def over(self) -> bool:
        """Whether whoever ends the tokens is through."""
        return bool(self._over.value)

    def finish(self) -> None:
        """Tell everybody to stop."""
        self._over.value = 1


class SharedClock:
    """Tell the machine's time plus an offset that every process shares."""

    def __init__(self) -> None:
        self._offset = CONTEXT.RawValue(ctypes.c_longlong, 0)

    def now(self) -> int:
        """Return the wall clock in microseconds."""
        return time.time_ns() // 1_000 + int(self._offset.value)

    def elapsed(self) -> int:
        """Return microseconds that never run backwards."""
        return time.monotonic_ns() // 1_000 + int(self._offset.value)

    def advance(self, seconds: float) -> None:
        """Move everybody's time on."""
        self._offset.value += round(seconds * 1_000_000)


def rows(path: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Ask the file itself, past the library; nothing is written and no checkpoint left to chance."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        return connection.execute(statement, values).fetchall()


def stands_at(path: Path) -> int:
    """Return how far the one durable subscriber of a database has come; 0 where there is none yet."""
    found = rows(path, "SELECT position FROM event_cursors")
    return int(found[0][0]) if found else 0


def wait_until_beyond(path: Path, seq: int) -> None:
    """Wait until that subscriber has come to an event; fail, and say how things stand, where it does not."""
    end = time.monotonic() + PATIENCE
    while stands_at(path) < seq:
        told = [*rows(path, "SELECT * FROM event_cursors"), *rows(path, "SELECT max(seq) FROM events")]
        assert time.monotonic() < end, f"before {seq} stand {told}"
        time.sleep(0.01)


def assert_whole(path: Path) -> int:
    """Hold states against events, walk the chain, check every page; return how many events there are.

    Each session has one `session.created`, each ended one `session.expired` with its cause, and each
    refreshed one as many `session.refreshed` as its generation says; no event speaks of an unknown session.
    """
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    faults = rows(path, _MISMATCHES)
    assert faults == [], f"states and events differ: {faults[:5]}"
    with SessionManager.open(path, sweep_every=None) as manager:
        verification = manager.events.verify()
    assert verification.fault is None
    return verification.count


_MISMATCHES = """
WITH told AS (
    SELECT session_id,
           sum(type = 'session.created') AS created,
           sum(type = 'session.expired') AS expired,
           sum(type = 'session.refreshed') AS refreshed,
           max(CASE WHEN type = 'session.expired' THEN json_extract(body, '$.cause') END) AS cause
    FROM events WHERE session_id IS NOT NULL GROUP BY session_id
)
SELECT s.id, t.session_id, t.created, t.expired, t.refreshed, s.generation, s.cause, t.cause
FROM sessions s LEFT JOIN told t ON t.session_id = s.id
WHERE t.session_id IS NULL OR t.created <> 1 OR t.expired <> (s.ended_at IS NOT NULL)
    OR t.refreshed <> s.generation - 1 OR t.cause IS NOT s.cause
UNION ALL
SELECT s.id, t.session_id, t.created, t.expired, t.refreshed, s.generation, s.cause, t.cause
FROM told t LEFT JOIN sessions s ON s.id = t.session_id WHERE s.id IS NULL
"""


def store_of(manager: SessionManager) -> SQLiteStore:
    """Return what a manager keeps its rows in."""
    store = manager._parts.store
    assert isinstance(store, SQLiteStore)
    return store


def writer_queue_of(manager: SessionManager) -> WriterQueue:
    """Return the queue that a manager's writers stand in."""
    return store_of(manager)._queue


class Acks:
    """Take acknowledgements in a file that outlives the process which made them."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, *fields: object) -> None:
        """Write one before the next call is made."""
        os.write(self._fd, json.dumps(fields).encode() + b"\n")


def acknowledged(path: Path) -> list[list[Any]]:
    """Return every acknowledgement that was written whole."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]
