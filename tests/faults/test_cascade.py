"""No child outlives its parent, however delegations, refreshes and revokes race."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from clawguard import AccessDenied, SessionManager
from tests.faults.lab import Board, assert_whole, crew, founded, report, rows, sizes

DELEGATORS = 3


def delegator(number: int, path: Path, board: Board, rounds: int) -> int:
    """Delegate from each round's parent, and from the child again, until the parent is refused."""
    made = 0
    with SessionManager.open(path, sweep_every=None) as manager:
        for place in range(rounds):
            while board.state(place) == Board.UNKNOWN:
                time.sleep(0)
            parent = manager.get_session(board.token(place))
            try:
                for _ in range(40):
                    child = manager.delegate(parent, f"child-{number}", scopes="a", ttl=7_200)
                    made += 1
                    manager.delegate(child, f"grandchild-{number}", scopes="a")
                    made += 1
            except AccessDenied:
                continue
    return made


def revoker(path: Path, board: Board, rounds: int) -> int:
    """Make a parent, show it, refresh every third, end it; count who is live after that returned."""
    survivors = 0
    with SessionManager.open(path, sweep_every=None) as manager:
        for place in range(rounds):
            parent = manager.create("parent", scopes="a b", ttl=60, idle_timeout=30)
            board.publish(place, parent.id)
            time.sleep(0.0005 * (place % 5))
            if place % 3 == 0:
                manager.refresh(parent, ttl=90)
            assert manager.revoke(parent) if place % 2 else manager.revoke_all_for_agent("parent").count
            survivors += sum(each.ended_at is None for each in manager.sessions.tree(parent))
    return survivors


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", sizes(150, 5_000))
def test_attack_65_no_child_is_live_after_its_parents_revoke(tmp_path: Path, rounds: int) -> None:
    path, board = founded(tmp_path / "db" / "clawguard.db"), Board(rounds)
    with crew() as start:
        workers = [start(delegator, number, path, board, rounds) for number in range(DELEGATORS)]
        at_once = start(revoker, path, board, rounds).result(800)
        made = sum(worker.result(120) for worker in workers)
    survivors = rows(
        path,
        """SELECT c.id FROM sessions c JOIN sessions p ON p.id = c.parent_id
           WHERE p.ended_at IS NOT NULL AND c.ended_at IS NULL""",
    )
    wider = rows(
        path,
        """SELECT c.id FROM sessions c JOIN sessions p ON p.id = c.parent_id
           WHERE c.expires_at > p.expires_at OR c.absolute_expires_at > p.absolute_expires_at
              OR c.idle_timeout IS NULL OR c.idle_timeout > p.idle_timeout""",
    )
    late = rows(
        path,
        """SELECT c.id FROM sessions c
           JOIN events made ON made.session_id = c.id AND made.type = 'session.created'
           JOIN events over ON over.session_id = c.parent_id AND over.type = 'session.expired'
           WHERE made.seq > over.seq""",
    )
    report(
        "G-CASCADE, G-NARROW", processes=DELEGATORS + 1, rounds=rounds, children=made,
        live_at_once=at_once, live_later=len(survivors), made_after_the_end=len(late), wider=len(wider),
    )  # fmt: skip
    assert at_once == 0
    assert (survivors, wider, late) == ([], [], [])
    assert made > rounds // 2
    assert_whole(path)
