"""Whoever is stopped, at whatever point and for however long: nobody accepts what was ended meanwhile."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from clawguard import IssuedSession, SessionManager, StoreBusy, Verifier
from tests.faults.lab import Board, Worker, assert_whole, crew, founded, report
from tests.faults.watching import Seen, told, watch

VALIDATORS, ENDERS = 3, 2
AHEAD = 8  # sessions of an ender that live at a time


def validate(number: int, path: Path, board: Board, seed: int, trust: dict[str, Any]) -> Seen:
    with Verifier.open(path, **trust) as verifier:
        return watch(verifier, board, random.Random(seed + number), spread=AHEAD * ENDERS * 3)


def end(number: int, path: Path, board: Board, places: int) -> int:
    """Create and revoke at the places that are this one's, again where somebody stopped held the lock."""
    done, held = 0, list[tuple[int, IssuedSession]]()
    with SessionManager.open(path, sweep_every=None, lock_timeout=0.5) as manager:
        for place in range(number, places, ENDERS):
            if board.over:
                break
            held.append((place, insist(lambda: manager.create("agent", scopes="a"))))
            board.publish(place, held[-1][1].token)
            if len(held) > AHEAD:
                mine, session = held.pop(0)
                insist(lambda session=session: manager.revoke(session))  # type: ignore[misc]
                board.bury(mine)
                done += 1
        while not board.over:  # who has gone cannot be stopped
            time.sleep(0.005)
    return done


def insist(call: Any) -> Any:
    """Repeat a call until the lock is had."""
    while True:
        try:
            return call()
        except StoreBusy:
            continue


def paused(path: Path, pauses: int, *, longest: float, seed: int, **trust: Any) -> dict[str, Any]:
    """Run validators and enders, and stop one of them at a time, at random points and for random times."""
    places, chance = 20_000, random.Random(seed)
    board = Board(places)
    with crew() as start:
        watchers = [start(validate, number, path, board, seed, trust) for number in range(VALIDATORS)]
        enders = [start(end, number, path, board, places) for number in range(ENDERS)]
        while board.state(AHEAD * ENDERS) == Board.UNKNOWN:
            time.sleep(0.001)
        asleep = sum(pause(chance.choice([*watchers, *enders]), chance, longest) for _ in range(pauses))
        board.finish()
        ended = sum(each.result() for each in enders)
        seen = told(each.result() for each in watchers)
    ran = {"processes": VALIDATORS + ENDERS, "pauses": pauses, "seconds_stopped": f"{asleep:.1f}"}
    return {**ran, "revoked": ended, **seen}


def pause(worker: Worker, chance: random.Random, longest: float) -> float:
    """Stop a process for a while."""
    time.sleep(chance.uniform(0, 0.02))
    seconds = chance.uniform(0, longest)
    worker.stop()
    time.sleep(seconds)
    worker.go_on()
    return seconds


@pytest.mark.parametrize(
    ("pauses", "longest"),
    [
        pytest.param(20, 0.08, id="slice"),
        pytest.param(40, 2.0, id="full", marks=[pytest.mark.torture, pytest.mark.timeout(600)]),
    ],
)
def test_a_pause_of_anybody_lets_no_dead_token_through(
    tmp_path: Path, pauses: int, longest: float, seed: int
) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    found = paused(path, pauses, longest=longest, seed=seed)
    report("pauses", longest_s=longest, **found)
    assert found["accepted_dead"] == 0
    assert min(found["revoked"], found["accepted_live"], found["refused_dead"]) > 0
    assert_whole(path)


@pytest.mark.control
def test_a_memory_that_decides_is_caught(tmp_path: Path, seed: int) -> None:
    """The control: validators that may answer from memory for ten seconds."""
    path = founded(tmp_path / "db" / "clawguard.db")
    found = paused(path, 20, longest=0.08, seed=seed, max_staleness=10)
    report("pauses, control: memory decides", **found)
    assert found["accepted_dead"] > 0
