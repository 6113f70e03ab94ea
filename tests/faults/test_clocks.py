"""Clocks that are stepped, leap and sleep: no session comes back, and none is over before its time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from clawguard import InvalidToken, SessionEnded, SessionManager
from clawguard.clock import SECOND, to_microseconds
from clawguard.errors import ClockError
from clawguard.events.log import CLOCK_TOLERANCE
from tests.faults.lab import CONTEXT, PATIENCE, Board, SharedClock, assert_whole, crew, report, sizes

PROCESSES = 3
TTLS = (2, 5, 10, 60, 600)
HELD = 12
HOUR = 3_600.0


class Told(NamedTuple):
    """Hold one answer about one session, when it was asked for and had, and by which clock.

    That is the clock before the call, and the latest it ever told; not known of a call in which it was set.
    """

    session: str
    due_at: int
    answer: str
    clock: tuple[int, int] | None
    called: int
    returned: int


class SteppedClock(SharedClock):
    """Tell every process the same time, which may be set, and how often it was."""

    def __init__(self) -> None:
        super().__init__()
        self._set_by = CONTEXT.RawValue("q", 0)
        self._steps = CONTEXT.RawValue("q", 0)
        self._highest = CONTEXT.RawValue("q", 0)

    @property
    def steps(self) -> int:
        """How often the clock was set or moved on."""
        return int(self._steps.value)

    @property
    def highest(self) -> int:
        """The latest time that it ever told, and that an end may have been recorded by."""
        return max(int(self._highest.value), self.now())

    def now(self) -> int:
        """Return the wall clock as it was set, in microseconds."""
        return super().now() + int(self._set_by.value)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back; what has elapsed stays."""
        self._steps.value += 1
        self._highest.value = self.highest
        self._set_by.value += round(seconds * SECOND)
        self._steps.value += 1

    def sleep(self, seconds: float) -> None:
        """Suspend the machine: both of its clocks go on meanwhile."""
        self._steps.value += 1
        self.advance(seconds)
        self._steps.value += 1


def work(number: int, path: Path, clock: SteppedClock, board: Board, met: Barrier, seed: int) -> list[Told]:
    """Create, validate, refresh, revoke and sweep while the clock is set about; say what was answered."""
    chance, told = random.Random(seed * PROCESSES + number), list[Told]()
    with SessionManager.open(path, sweep_every=None, clock=clock, lock_timeout=30) as manager:
        held = [made(manager, chance) for _ in range(HELD)]
        met.wait(PATIENCE)
        while not board.over:
            if len(held) < HELD:
                with passing_clock_errors():
                    held.append(made(manager, chance))
                continue
            place = chance.randrange(len(held))
            told.append(ask(manager, clock, held[place], chance))
            if told[-1].answer in ("over", "due") and chance.random() < 0.02:
                del held[place]
            if chance.random() < 0.003:
                with passing_clock_errors():
                    manager.prune_expired()
            time.sleep(0.0005)
    return told


def made(manager: SessionManager, chance: random.Random) -> tuple[str, str, int]:
    """Create a session; return its id, its token and when it is due."""
    ttl = chance.choice(TTLS)
    session = manager.create("agent", scopes="a", ttl=ttl, max_lifetime=ttl)
    return session.id, session.token, to_microseconds(session.due_at)


@contextmanager
def passing_clock_errors() -> Iterator[None]:
    """Let nothing happen where the clock forbids it."""
    try:
        yield
    except ClockError:
        time.sleep(0.001)


def ask(
    manager: SessionManager, clock: SteppedClock, held: tuple[str, str, int], chance: random.Random
) -> Told:
    """Validate a session's token, or now and then revoke it."""
    session_id, token, due_at = held
    revokes = chance.random() < 0.03
    steps, called, before = clock.steps, time.monotonic_ns(), clock.now()
    try:
        manager.revoke(session_id) if revokes else manager.validate(token)
        answer = "ended" if revokes else "accepted"
    except SessionEnded as refusal:
        answer = "due" if refusal.cause == "ttl" else "over"
    except InvalidToken:
        answer = "invalid"
    except ClockError:
        answer = "clock"
    after, is_sure = clock.highest, steps % 2 == 0 and clock.steps == steps
    known = (before, after) if is_sure else None
    return Told(session_id, due_at, answer, known, called, time.monotonic_ns())


def torment(clock: SteppedClock, chance: random.Random, steps: int) -> dict[str, int]:
    """Set the clock forward and back, by an hour or a leap second, and let the machine sleep now and then."""
    done = {"forward an hour": 0, "back an hour": 0, "leap second": 0, "asleep": 0, "back a little": 0}
    back, ahead = 0.0, list[str]()
    for _ in range(steps):
        ahead = ahead or chance.sample(list(done), len(done))
        what = "set right" if back else ahead.pop()
        if what == "set right":
            clock.step(back)
            back = 0.0
            time.sleep(0.05)
            continue
        done[what] += 1
        if what == "forward an hour":
            clock.step(HOUR)
        elif what == "back an hour":
            clock.step(-HOUR)
            back = HOUR
        elif what == "leap second":
            clock.step(chance.choice((-1, 1)))
        elif what == "back a little":
            clock.step(-chance.uniform(0, 4))
        else:
            clock.sleep(chance.uniform(1, 20))
        time.sleep(chance.uniform(0.02, 0.08))
    return done


def faults_of(told: list[Told]) -> dict[str, int]:
    """Count what must not be: by the clock that the call was made under, and by what had been told before."""
    ended: dict[str, int] = {}
    for each in told:
        if each.answer in ("ended", "over"):
            ended[each.session] = min(ended.get(each.session, each.returned), each.returned)
    found, latest = dict.fromkeys(("past_its_end", "too_early", "revived"), 0), 0
    for each in told:
        if each.answer == "accepted":
            found["revived"] += each.called > ended.get(each.session, each.called)
        if each.clock is None:
            continue
        before, highest = each.clock
        if each.answer == "accepted":
            found["past_its_end"] += before >= each.due_at
            found["revived"] += latest > each.due_at + CLOCK_TOLERANCE
        found["too_early"] += each.answer == "due" and highest < each.due_at
        if each.answer != "clock":
            latest = max(latest, before)
    return found


def run(path: Path, *, seed: int, steps: int) -> tuple[list[list[Told]], dict[str, int]]:
    """Have processes work under a clock that is set about."""
    clock, board, met = SteppedClock(), Board(1), CONTEXT.Barrier(PROCESSES + 1)
    SessionManager.open(path, sweep_every=None, clock=clock).close()
    with crew() as start:
        workers = [start(work, number, path, clock, board, met, seed) for number in range(PROCESSES)]
        met.wait(PATIENCE)
        done = torment(clock, random.Random(seed), steps)
        board.finish()
        return [worker.result() for worker in workers], done


@pytest.mark.parametrize("steps", sizes(20, 600))
def test_no_setting_of_the_clock_brings_a_session_back_or_ends_it_early(
    tmp_path: Path, steps: int, seed: int
) -> None:
    path = tmp_path / "db" / "clawguard.db"
    told, done = run(path, seed=seed, steps=steps)
    found = [faults_of(each) for each in told]
    totals = {name: sum(each[name] for each in found) for name in found[0]}
    answers = [each.answer for process in told for each in process]
    counted = {f"answered_{name}": answers.count(name) for name in sorted(set(answers))}
    report("clock torture", processes=PROCESSES, **done, **counted, **totals)
    assert totals == dict.fromkeys(totals, 0)
    assert {"accepted", "due", "clock"} <= set(answers)
    assert "invalid" not in answers
    assert_whole(path)


@pytest.mark.control
def test_a_library_that_believes_any_clock_is_caught(tmp_path: Path, seed: int) -> None:
    """The control: the tolerance for a clock set back is a day."""
    day = 86_400 * SECOND
    with (
        patch("clawguard.sessions.validating.CLOCK_TOLERANCE", day),
        patch("clawguard.events.log.CLOCK_TOLERANCE", day),
    ):
        found = (revived(tmp_path / str(turn) / "clawguard.db", seed + turn) for turn in range(10))
        caught = next((count for count in found if count), 0)
    report("clock torture, control: any clock is believed", revived=caught)
    assert caught


def revived(path: Path, seed: int) -> int:
    return sum(faults_of(each)["revived"] for each in run(path, seed=seed, steps=30)[0])
