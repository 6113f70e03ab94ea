"""One holder of a session's turn at a time, in order, whoever is killed or stopped; who lost it is told."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from clawguard import SessionManager
from clawguard.errors import TurnLost
from clawguard.sessions.turns import Turn
from tests.faults.lab import (
    PATIENCE,
    Worker,
    assert_whole,
    crew,
    founded,
    is_full,
    report,
    rows,
    sizes,
    stop_outside_a_write,
    together,
)

CREW = 8
LEASE = 0.5
NEVER = 3_600.0


class Line(NamedTuple):
    """Hold what one process said of one turn; the file's order is that of the writes."""

    what: str
    number: int
    pid: int


class Witness:
    """Take what holders say, in a file beside the database; a line is one write, and outlives its writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def hear(self, what: str, turn: Turn) -> None:
        os.write(self._fd, f"{what} {turn.number} {os.getpid()}\n".encode())

    def lines(self) -> list[Line]:
        said = (line.split() for line in self._path.read_text().splitlines())
        return [Line(what, int(number), int(pid)) for what, number, pid in said]


def work(_: int, path: Path, session_id: str, heard: Path, turns: int, lease: float) -> int:
    """Take so many turns, and say what happens in each; return in how many the turn was lost."""
    witness, chance = Witness(heard), random.Random(os.getpid())
    lost = 0
    with SessionManager.open(path, sweep_every=None, lock_timeout=PATIENCE) as manager:
        for each in range(turns):
            mark = f"{os.getpid()}.{each}"
            turn = manager.activity.turn(session_id, turn_id=mark, queue=CREW, timeout=None, lease=lease)
            try:
                take(turn, witness, chance)
            except TurnLost:
                witness.hear("told", turn)
                lost += 1
    return lost


def take(turn: Turn, witness: Witness, chance: random.Random) -> None:
    with turn:
        witness.hear("began", turn)
        for _ in range(chance.randint(0, 3)):
            time.sleep(chance.uniform(0, 0.004))
            witness.hear("asks", turn)
            turn.check()
            witness.hear("passed", turn)
        time.sleep(chance.uniform(0, 0.008))
        witness.hear("leaves", turn)
    witness.hear("left", turn)


def faults_in(lines: list[Line]) -> Iterator[str]:
    """Yield what must not be: a holder that was let go on after a later turn had said that it began.

    Whoever asked before that may be told afterwards; no clock takes part.
    """
    latest, asked_too_late = 0, set[int]()
    for line in lines:
        if line.what == "began":
            latest = max(latest, line.number)
        elif line.what in ("asks", "leaves") and line.number < latest:
            asked_too_late.add(line.number)
        elif line.what in ("passed", "left") and line.number in asked_too_late:
            yield f"turn {line.number} {line.what} though {latest} had begun"


def test_the_witness_finds_a_holder_that_goes_on_after_another_began() -> None:
    def said(*told: str) -> list[Line]:
        return [Line(what, int(number), 1) for what, number in map(str.split, told)]

    assert not list(faults_in(said("began 1", "asks 1", "began 2", "passed 1", "asks 1", "told 1", "left 2")))
    assert list(faults_in(said("began 1", "began 2", "asks 1", "passed 1")))
    assert list(faults_in(said("began 1", "began 2", "leaves 1", "left 1")))
    assert list(faults_in(said("began 2", "began 1", "leaves 1", "left 1"))), "out of order"


@pytest.mark.timeout(900)
@pytest.mark.parametrize("turns", sizes(15, 1_000))
def test_undisturbed_turns_never_overlap_and_come_in_order(tmp_path: Path, turns: int) -> None:
    """The lease never ends here, so that nothing but the queue keeps eight processes apart."""
    path, heard = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "heard"
    with SessionManager.open(path, sweep_every=None) as manager:
        session_id = manager.create("agent", scopes="a").id
        began_at = time.monotonic()
        lost = together(CREW, work, path, session_id, heard, turns, NEVER, timeout=600)
        seconds = time.monotonic() - began_at
        assert manager.get_session(session_id).state == "idle"
    lines = Witness(heard).lines()
    inside = [line for line in lines if line.what in ("began", "leaves")]
    assert [line.what for line in inside] == ["began", "leaves"] * (CREW * turns)
    assert all(one.number == other.number for one, other in zip(inside[::2], inside[1::2], strict=True))
    numbers = [line.number for line in inside[::2]]
    assert numbers == sorted(numbers), "somebody overtook another"
    assert sum(lost) == 0
    assert rows(path, "SELECT * FROM turns") == []
    assert_whole(path)
    done = [last_of(lines, pid) for pid in {line.pid for line in lines}]
    report(
        "G-TURN",
        processes=CREW,
        turns=CREW * turns,
        overlaps=0,
        overtaken=0,
        turns_a_second=round(CREW * turns / seconds),
        first_done_at=f"{min(done) / len(lines):.0%} of all",
    )


def last_of(lines: list[Line], pid: int) -> int:
    return max(place for place, line in enumerate(lines) if line.pid == pid)


def holder(path: Path) -> int | None:
    """Return the process whose turn it is, going by the session's row."""
    [(state, turn_id)] = rows(path, "SELECT state, turn_id FROM sessions WHERE agent_id = 'agent'")
    return int(turn_id.partition(".")[0]) if state == "running" else None


def began(heard: Path) -> int:
    return sum(line.what == "began" for line in Witness(heard).lines())


def wait_for_more(heard: Path, count: int, workers: list[Worker]) -> float:
    """Wait until so many turns more have begun, and return how long the first took."""
    before, start, first = began(heard), time.monotonic(), 0.0
    while (now := began(heard)) < before + count:
        if now > before and not first:
            first = time.monotonic() - start
        assert time.monotonic() < start + PATIENCE, [each.process.exitcode for each in workers]
        time.sleep(0.002)
    return first or time.monotonic() - start


def stop_holder(path: Path, workers: list[Worker]) -> Worker:
    """Stop whoever has the turn, while it has it."""
    end = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < end, "nobody was caught with the turn"
        struck = next((each for each in workers if each.pid == holder(path)), None)
        if struck is not None:
            stop_outside_a_write(struck, path)
            if holder(path) == struck.pid:
                return struck
            struck.go_on()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("strikes", sizes(3, 60))
def test_no_holder_goes_on_after_another_began_whoever_is_killed_or_stopped(
    request: pytest.FixtureRequest, tmp_path: Path, strikes: int
) -> None:
    """Holders are killed and stopped so often each, and any one of the crew killed as often besides."""
    path, heard = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "heard"
    chance, took = random.Random(strikes), dict[str, list[float]](killed=[], stopped=[], any=[])
    with SessionManager.open(path, sweep_every=None) as manager:
        session_id = manager.create("agent", scopes="a").id
    with crew() as start:

        def another() -> Worker:
            return start(work, 0, path, session_id, heard, 10**9, LEASE)

        workers = [another() for _ in range(CREW if is_full(request) else 4)]
        wait_for_more(heard, 5, workers)
        for strike in range(3 * strikes):
            is_any = strike % 3 == 2
            struck = chance.choice(workers) if is_any else stop_holder(path, workers)
            if strike % 3 != 1:
                struck.kill()
            took[("killed", "stopped", "any")[strike % 3]].append(wait_for_more(heard, 5, workers))
            if strike % 3 == 1:
                struck.go_on()
                wait_for_more(heard, 5, workers)
            else:
                workers[workers.index(struck)] = another()
    lines = Witness(heard).lines()
    assert list(faults_in(lines)) == []
    assert_whole(path)
    told = {line.number for line in lines if line.what == "told"}
    report(
        "G-TURN",
        lease_s=LEASE,
        holders_killed=len(took["killed"]),
        holders_stopped=len(took["stopped"]),
        turns=len({line.number for line in lines}),
        told=len(told),
        went_on_after_another_began=0,
        taken_over_after_a_kill_s=f"{min(took['killed']):.2f} to {max(took['killed']):.2f}",
    )


def test_a_forked_child_holds_nothing(tmp_path: Path) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    with SessionManager.open(path, sweep_every=None) as manager:
        session = manager.create("agent", scopes="a")
        with manager.activity.turn(session) as turn:
            child = os.fork()
            if not child:
                os._exit(0 if not manager._parts.heartbeat._next and is_told(turn) else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            turn.check()
            assert list(manager._parts.heartbeat._next) == [turn]
        assert manager.get_session(session).state == "idle"


def is_told(turn: Turn) -> bool:
    """Tell whether looking and leaving both say that the turn is not held here."""
    told = 0
    for call in (turn.check, lambda: turn.__exit__(None, None, None)):
        try:
            call()
        except TurnLost:
            told += 1
    return told == 2
