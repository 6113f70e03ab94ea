"""Counted uses and capped sessions hold however many processes race for the last one."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawguard import AccessDenied, SessionManager
from clawguard.errors import LimitReached
from tests.faults.lab import CONTEXT, Board, assert_whole, crew, founded, report, rows, sizes, together


def race(path: Path, board: Board, rounds: int, barrier: object) -> int:
    """Use each round's token as soon as all are there; return how many uses were granted."""
    used = 0
    with SessionManager.open(path, sweep_every=None) as manager:
        for place in range(rounds):
            while board.state(place) != Board.LIVE:
                pass
            barrier.wait(60)  # type: ignore[attr-defined]
            try:
                manager.validate(board.token(place))
                used += 1
            except AccessDenied:
                continue
    return used


@pytest.mark.parametrize(("processes", "rounds"), [
    pytest.param(4, 25, id="slice"),
    pytest.param(16, 1_000, id="full", marks=[pytest.mark.torture, pytest.mark.timeout(900)]),
])  # fmt: skip
def test_the_one_use_of_a_token_is_had_once(tmp_path: Path, processes: int, rounds: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    board, barrier = Board(rounds), CONTEXT.Barrier(processes)
    with crew() as start:
        workers = [start(race, path, board, rounds, barrier) for _ in range(processes)]
        with SessionManager.open(path, sweep_every=None) as manager:
            for place in range(rounds):
                board.publish(place, manager.create("agent", scopes="a", max_uses=1).token)
        used = [worker.result(600) for worker in workers]
    report("uses", processes=processes, rounds=rounds, granted=sum(used))
    assert sum(used) == rounds
    assert rows(path, "SELECT count(*) FROM sessions WHERE cause = 'uses' AND uses_left = 0") == [(rounds,)]
    assert_whole(path)


@pytest.mark.parametrize("creates", sizes(40, 1_000))
@pytest.mark.parametrize("at_limit", ["deny", "evict_oldest"])
def test_no_agent_has_more_sessions_than_it_may(tmp_path: Path, creates: int, at_limit: str) -> None:
    path, most = founded(tmp_path / "db" / "clawguard.db"), 3

    def create(number: int) -> tuple[int, int]:
        made = highest = 0
        with SessionManager.open(
            path,
            sweep_every=None,
            max_sessions_per_agent=most,
            at_limit=at_limit,  # type: ignore[arg-type]
        ) as manager:
            for _ in range(creates):
                try:
                    session = manager.create("agent", scopes="a")
                except LimitReached:
                    continue
                made += 1
                highest = max(highest, manager.active_count())
                if at_limit == "deny":
                    manager.end(session)
        return made, highest

    results = together(4, create, timeout=300)
    made, highest = sum(count for count, _ in results), max(most for _, most in results)
    report("session cap", at_limit=at_limit, creates=creates * 4, made=made, highest=highest)
    assert 0 < highest <= most
    assert made > creates
    assert_whole(path)
