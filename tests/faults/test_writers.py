"""Writers queue: fair over processes, never "database is locked", and a stopped one holds nobody for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from clawguard import ClawguardError, SessionManager, StoreBusy
from clawguard.store.writer_queue import WriterQueue
from tests.faults.lab import (
    CONTEXT,
    assert_whole,
    crew,
    founded,
    is_full,
    report,
    rows,
    sizes,
    together,
    writer_queue_of,
)

PROCESSES = 8
WORST_WAIT = 0.250
FAIR = 0.8
MARGIN = 2.0


class Served(NamedTuple):
    """Hold how often each process wrote, and the longest that one of them waited."""

    each: list[int]
    worst: float

    @property
    def ratio(self) -> float:
        """The share of who was served least, of what who was served most had."""
        return min(self.each) / max(self.each)


def written(path: Path, seconds: int) -> Served:
    """Create and revoke in eight processes at once, each as often as it can."""
    barrier = CONTEXT.Barrier(PROCESSES)

    def write(number: int) -> tuple[int, float]:
        served, worst = 0, 0.0
        with SessionManager.open(path, sweep_every=None) as manager:
            manager.revoke(manager.create("warm", scopes="a"))
            barrier.wait(30)
            over = time.monotonic() + seconds
            while (before := time.monotonic()) < over:
                session = manager.create("agent", scopes="a")
                between = time.monotonic()
                manager.revoke(session)
                worst = max(worst, between - before, time.monotonic() - between)
                served += 2
            barrier.wait(30)  # the last to close must not pay for everybody's checkpoint inside the measure
        return served, worst

    results = together(PROCESSES, write, timeout=seconds + 60)
    return Served([served for served, _ in results], max(worst for _, worst in results))


@pytest.mark.parametrize("seconds", sizes(2, 20))
def test_eight_processes_write_in_turn(tmp_path: Path, seconds: int, request: pytest.FixtureRequest) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    served = written(path, seconds)
    report(
        "fair writers", processes=PROCESSES, commits_a_second=sum(served.each) // seconds,
        least=min(served.each), most=max(served.each), ratio=f"{served.ratio:.2f}",
        worst_wait_ms=round(served.worst * 1_000),
    )  # fmt: skip
    assert_whole(path)
    if is_full(request):
        assert served.worst <= WORST_WAIT
        assert served.ratio >= FAIR


@pytest.mark.control
def test_writers_that_leave_it_to_sqlite_are_caught(tmp_path: Path) -> None:
    """The control: nobody queues at the file lock, and SQLite's own busy handler decides who is next."""

    def lock_no_file(queue: WriterQueue, deadline: float) -> bool:
        queue.open()
        return True

    path = founded(tmp_path / "db" / "clawguard.db")
    with patch.object(WriterQueue, "_lock_file", lock_no_file):
        served = written(path, 3)
    told = {"least": min(served.each), "most": max(served.each), "ratio": f"{served.ratio:.2f}"}
    report("fair writers, control: no queue", processes=PROCESSES, **told)
    assert served.ratio < FAIR


@pytest.mark.parametrize("rounds", sizes(1, 10))
def test_a_stopped_writer_makes_the_others_fail_in_time_and_nothing_is_half_done(
    tmp_path: Path, rounds: int
) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    worst = 0.0
    for turn in range(rounds):
        worst = max(worst, one_stop(path, tmp_path / f"ready-{turn}"))
    report("stopped writer", rounds=rounds, lock_timeout_ms=500, slowest_refusal_ms=round(worst * 1_000))
    assert_whole(path)


def one_stop(path: Path, ready: Path) -> float:
    """Stop a holder of the write lock, have eight calls refused, let it go on; return the slowest refusal."""

    def holder() -> None:
        with SessionManager.open(path, sweep_every=None) as manager:
            with manager._parts.change(durable=True) as change:
                change.tx.run("meta.barrier")
                ready.touch()
                time.sleep(0.3)
            manager.create("went on", scopes="a")

    def caller(number: int) -> tuple[float, int]:
        worst, refused = 0.0, 0
        with SessionManager.open(path, sweep_every=None, lock_timeout=0.5) as manager:
            session = manager.sessions.page(limit=1).items[0]
            victim = [session] * 2
            barrier.wait(30)
            stopped.wait(30)

            def call(operation: int) -> None:
                nonlocal worst, refused
                before = time.monotonic()
                try:
                    manager.revoke(victim[0]) if operation else manager.create("half done", scopes="a")
                except StoreBusy:
                    refused += 1
                worst = max(worst, time.monotonic() - before)

            threads = [threading.Thread(target=call, args=(operation,)) for operation in (0, 1)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert manager.get_session(session).ended_at is None  # reading goes on
            refusals.wait(30)
            resumed.wait(30)
            writer_queue_of(manager)._timeout = 30.0
            manager.create("after", scopes="a")
        return worst, refused

    with SessionManager.open(path, sweep_every=None) as manager:
        manager.create("kept", scopes="a")
    barrier, refusals = CONTEXT.Barrier(5), CONTEXT.Barrier(5)
    stopped, resumed = CONTEXT.Event(), CONTEXT.Event()
    before = rows(path, "SELECT count(*) FROM events")[0][0]
    with crew() as start:
        callers = [start(caller, number) for number in range(4)]
        barrier.wait(30)
        stuck = start(holder)
        while not ready.exists():
            time.sleep(0.001)
        stuck.stop()
        stopped.set()
        refusals.wait(30)
        assert rows(path, "SELECT count(*) FROM events")[0][0] == before
        stuck.go_on()
        resumed.set()
        stuck.result()
        results = [each.result() for each in callers]
    assert sum(refused for _, refused in results) == 8
    worst = max(slowest for slowest, _ in results)
    assert worst <= 0.5 + MARGIN
    half_done = "SELECT id FROM sessions WHERE agent_id = 'half done' OR ended_at IS NOT NULL"
    assert rows(path, half_done) == []
    return worst


def test_busy_is_what_a_caller_sees_and_nothing_else(tmp_path: Path) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")

    def hammer(number: int) -> list[str]:
        faults = []
        with SessionManager.open(path, sweep_every=0.01) as manager:
            queue = writer_queue_of(manager)
            queue._timeout = 0.001
            for _ in range(60):
                try:
                    manager.revoke(manager.create("agent", scopes="a"))
                except ClawguardError as error:
                    faults.append(f"{error.code}: {error}")
            queue._timeout = 5.0
        return faults

    faults = [fault for faults in together(4, hammer) for fault in faults]
    assert {fault.partition(":")[0] for fault in faults} <= {"store_busy"}
    assert not [fault for fault in faults if "database is locked" in fault]
    assert_whole(path)
