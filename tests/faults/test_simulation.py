"""Thousands of schedules of several managers on one database, with faults: what is promised holds in each."""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from clawguard import ClawguardError, StoreUnavailable
from clawguard.sessions.memory import Memory
from clawguard.store.transaction import SQLiteTransaction
from tests.faults.lab import assert_whole, founded, is_full, report, rows, sizes
from tests.faults.registers import is_linearizable, shown
from tests.faults.simulation import Faults, Simulation
from tests.servers import PATIENCE

ORPHANS = """SELECT c.id FROM sessions c JOIN sessions p ON p.id = c.parent_id
             WHERE p.ended_at IS NOT NULL AND c.ended_at IS NULL"""


def simulated(founded_at: Path, seed: int, *, calls: int = 60, often: float = 0.01) -> Simulation:
    """Run one simulation on a copy of an empty database."""
    folder = founded_at.parent.with_name(f"run-{seed}")
    shutil.copytree(founded_at.parent, folder)
    simulation = Simulation(folder / founded_at.name, seed, calls=calls, often=often)
    simulation.run()
    check(folder / founded_at.name, simulation)
    shutil.rmtree(folder)
    return simulation


def check(path: Path, simulation: Simulation) -> None:
    """Hold the database, and what every session's callers were answered, against what is promised."""
    assert_whole(path)
    assert rows(path, ORPHANS) == []
    for session in simulation.known:
        history = simulation.history(session)
        assert is_linearizable(history), f"session {session.id}:\n{shown(history)}"


@pytest.mark.parametrize("seeds", sizes(3, 200, timeout=1_800))
def test_in_every_schedule_with_faults_the_promises_hold(
    tmp_path: Path, seeds: int, seed: int, request: pytest.FixtureRequest
) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    faults: Counter[str] = Counter()
    calls = steps = sessions = 0
    for each in range(seed, seed + seeds):
        try:
            simulation = simulated(path, each)
        except (AssertionError, ClawguardError) as failure:
            raise AssertionError(f"again with CLAWGUARD_SEED={each}") from failure
        faults += simulation.faults
        calls += len(simulation.answers)
        steps += len(simulation.trace)
        sessions += len(simulation.known)
    report(
        "simulation", seeds=seeds, sessions=sessions, calls=calls, steps=steps,
        faults=sum(faults.values()), **dict(sorted(faults.items())), violations=0,
    )  # fmt: skip
    assert faults, "nothing failed: this shows little"
    if is_full(request):
        assert {"death", "commit fails", "unreadable", "full", "busy"} <= faults.keys()


def test_a_seed_gives_the_same_run_again(tmp_path: Path, seed: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    first, again, other = (simulated(path, each, calls=20) for each in (seed, seed, seed + 1))
    assert (first.trace, first.answers) == (again.trace, again.answers)
    assert other.trace != first.trace


def pass_over(self: Faults, failure: StoreUnavailable) -> None:
    """Take a failed commit for done."""


_run = SQLiteTransaction.run


def leave_children(self: SQLiteTransaction, name: str, /, *args: Any, **params: Any) -> Any:
    """End a session and nothing below it."""
    return [] if name == "session.end_below" else _run(self, name, *args, **params)


BREAKS: dict[str, Callable[[], Any]] = {
    "memory decides": lambda: patch.object(Memory, "_is_what_the_row_says", lambda *_, **__: True),
    "a failed commit is taken for done": lambda: patch.object(Faults, "_say", pass_over),
    "an end reaches nobody below": lambda: patch.object(SQLiteTransaction, "run", leave_children),
}


@pytest.mark.control
@pytest.mark.parametrize("broken", BREAKS)
def test_a_library_that_breaks_a_promise_is_caught(tmp_path: Path, broken: str, seed: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    with BREAKS[broken]():
        caught = next((number for number in range(40) if is_caught(path, seed + number)), None)
    assert caught is not None
    report(f"simulation, control: {broken}", caught_at_seed=caught + 1)


def is_caught(path: Path, seed: int) -> bool:
    try:
        simulated(path, seed, often=0.03)
    except (AssertionError, ClawguardError):
        assert_nobody_stands_still()
        return True
    return False


def assert_nobody_stands_still() -> None:
    """Hold that a run which failed has ended its actors: what they had locked would be locked for good."""
    for thread in threading.enumerate():
        if thread.name.startswith("actor"):
            thread.join(PATIENCE)
            assert not thread.is_alive(), f"{thread.name} stands still"
