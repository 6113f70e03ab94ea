"""Calls of several processes on one session are answered as if each had happened at one instant."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clawguard import SessionEnded, SessionManager, TokenSuperseded, Verifier
from tests.faults.lab import CONTEXT, Board, crew, founded, report, sizes
from tests.faults.registers import VERBS, Call, Verb, is_linearizable, lived, shown, some_history

PROCESSES = 4
CALLS = 7  # of each process in each history
GENERATIONS = PROCESSES * CALLS + 1

History = list[Call]


def answer(manager: SessionManager, verifier: Verifier, verb: Verb, given: str) -> str:
    """Make one call, and say in the register's words what it was answered."""
    try:
        if verb == "validate":
            verifier.validate(given)
            return "accepted"
        if verb == "refresh":
            issued = manager.refresh(given)
            return f"token {issued.generation} {issued.token}"
        return "ended" if manager.revoke(given) else "already over"
    except SessionEnded:
        return "over"
    except TokenSuperseded:
        return "superseded"


class Scene:
    """Play histories from several processes, one after another, all of them at one session each time."""

    def __init__(self, url: str | Path, histories: int, *, seed: int, **trust: Any) -> None:
        self._url = url
        self._histories = histories
        self._seed = seed
        self._trust = trust
        self._board = Board(GENERATIONS + 1)
        self._barrier = CONTEXT.Barrier(PROCESSES)

    def play(self, process: int) -> list[History]:
        """Take part; return what this process was answered."""
        chance = random.Random(self._seed * PROCESSES + process)
        with (
            SessionManager.open(self._url, sweep_every=None) as manager,
            Verifier.open(self._url, **self._trust) as verifier,
        ):
            while verifier.freshness is not None and not verifier.freshness.lease:
                time.sleep(0.001)
            each = partial(self._one, process, manager, verifier, chance)
            return [each(number) for number in range(self._histories)]

    def _one(
        self, process: int, manager: SessionManager, verifier: Verifier, chance: random.Random, number: int
    ) -> History:
        history: History = []
        self._barrier.wait(60)
        if number % PROCESSES == process:
            self._board.clear()
            called = time.monotonic_ns()
            made = manager.create("agent", scopes="a")
            history.append(Call(process, "create", 0, "made", called, time.monotonic_ns()))
            self._board.publish(0, made.id)
            self._board.publish(1, made.token)
        self._barrier.wait(60)
        for _ in range(CALLS):
            time.sleep(chance.choice((0, 0, 0.0002, 0.001)))
            history.append(self._call(process, manager, verifier, chance))
        return history

    def _call(self, process: int, manager: SessionManager, verifier: Verifier, chance: random.Random) -> Call:
        verb = chance.choice(VERBS)
        generation = self._newest(chance) if verb == "validate" else 0
        given = self._board.token(generation)
        called = time.monotonic_ns()
        said = answer(manager, verifier, verb, given)
        returned = time.monotonic_ns()
        if verb == "refresh" and said != "over":
            _, new, token = said.split()
            self._board.publish(int(new), token)
            said = f"token {new}"
        return Call(process, verb, generation, said, called, returned)

    def _newest(self, chance: random.Random) -> int:
        """Return a generation whose token is known, most often one of the last two."""
        generation = self._board.some(chance, 1)
        return generation if generation and self._board.state(generation) == Board.LIVE else 1


def played(url: str | Path, histories: int, *, seed: int, **trust: Any) -> list[History]:
    """Return the histories of some sessions, each with the calls of all processes."""
    scene = Scene(url, histories, seed=seed, **trust)
    with crew() as start:
        workers = [start(scene.play, process) for process in range(PROCESSES)]
        told = [worker.result(600) for worker in workers]
    return [[call for part in parts for call in part] for parts in zip(*told, strict=True)]


def overlapping(history: History) -> int:
    """Count the calls that began while another was under way."""
    return sum(
        any(other.called < each.called < other.returned for other in history if other is not each)
        for each in history
    )


def check(what: str, histories: list[History], *, seed: int) -> None:
    wrong = [each for each in histories if not is_linearizable(each)]
    calls = [call for each in histories for call in each]
    answers = Counter(call.answer.partition(" ")[0] for call in calls)
    report(
        f"linearizability {what}", histories=len(histories), processes=PROCESSES, calls=len(calls),
        overlapping=sum(map(overlapping, histories)), **dict(sorted(answers.items())), violations=len(wrong),
    )  # fmt: skip
    assert not wrong, f"seed {seed}, {len(wrong)} histories, the first:\n{shown(wrong[0])}"
    assert {"accepted", "superseded", "over", "ended", "token"} <= answers.keys()
    assert sum(map(overlapping, histories)) > len(histories), "hardly anything overlaps: this shows nothing"


@pytest.mark.parametrize("histories", sizes(25, 1_000))
def test_every_history_on_sqlite_is_linearizable(tmp_path: Path, histories: int, seed: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    check("on SQLite", played(path, histories, seed=seed), seed=seed)


@pytest.mark.parametrize("histories", sizes(8, 1_000))
def test_every_history_on_postgresql_is_linearizable(url: str, histories: int, seed: int) -> None:
    check("on PostgreSQL", played(url, histories, seed=seed), seed=seed)


@pytest.mark.control
def test_a_cache_that_decides_is_caught(tmp_path: Path, seed: int) -> None:
    """The control: a verifier that answers from memory for a while, without reading the row."""
    path = founded(tmp_path / "db" / "clawguard.db")
    histories = played(path, 30, seed=seed, max_staleness=5)
    wrong = [each for each in histories if not is_linearizable(each)]
    report("linearizability, control: memory decides", histories=len(histories), caught=len(wrong))
    assert wrong
    stale = [each for each in wrong[0] if each.answer == "accepted"]
    assert is_linearizable([each for each in wrong[0] if each not in stale]), shown(wrong[0])


# the checker itself


@pytest.mark.parametrize("lives", [200])
def test_the_checker_takes_every_history_of_a_true_register(lives: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(lives):
        history = some_history(chance, 14)
        assert is_linearizable(history), shown(history)


def in_turn(*said: tuple[Verb, int, str]) -> History:
    return [Call(0, *each, called=place * 10, returned=place * 10 + 5) for place, each in enumerate(said)]


@pytest.mark.parametrize(
    "last",
    [
        ("validate", 2, "accepted"),
        ("validate", 1, "superseded"),
        ("refresh", 0, "token 3"),
        ("revoke", 0, "ended"),
        ("create", 0, "made"),
    ],
)
def test_the_checker_refuses_an_answer_that_comes_too_late(last: tuple[Verb, int, str]) -> None:
    before: list[tuple[Verb, int, str]] = [("create", 0, "made"), ("refresh", 0, "token 2")]
    ended = [*before, ("revoke", 0, "ended")]
    assert not is_linearizable(in_turn(*ended, last))
    over_meanwhile = in_turn(*ended, last)
    over_meanwhile[-1] = over_meanwhile[-1]._replace(called=over_meanwhile[-2].called)
    assert is_linearizable(over_meanwhile) is (last[0] in ("validate", "refresh"))


@pytest.mark.parametrize("lives", [200])
def test_the_checker_refuses_one_changed_answer_where_nothing_overlaps(lives: int, seed: int) -> None:
    chance, others = random.Random(seed), ("accepted", "superseded", "over", "ended", "already over")
    for _ in range(lives):
        history = in_turn(*lived(chance, 10))
        place = chance.randrange(1, len(history))
        wrong = chance.choice([each for each in others if each != history[place].answer])
        history[place] = history[place]._replace(answer=wrong)
        assert not is_linearizable(history), shown(history)


def test_a_checker_that_took_the_clock_for_nothing_would_be_seen() -> None:
    """Sequential consistency is not enough: each process in turn, and yet a stale accept."""
    stale = in_turn(("create", 0, "made"), ("revoke", 0, "ended"), ("validate", 1, "accepted"))
    assert not is_linearizable(stale)
    timeless: Callable[[Call], Call] = lambda each: each._replace(called=0, returned=1)  # noqa: E731
    assert is_linearizable([timeless(each) for each in stale])
