"""A revoke ends whatever refreshes and redeems bring meanwhile, whichever of them commits first."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from clawguard import AccessDenied, SessionEnded, SessionManager
from tests.faults.lab import Board, assert_whole, crew, founded, report, rows, sizes

REFRESHERS = 2
UNDER_WAY = 3  # a session is revoked once its generation shows that others are at it


def refresher(number: int, path: Path, board: Board, rounds: int) -> list[str]:
    """Take each round's session on until it is refused, and return every token that came of it.

    All refresh it together, or one alone redeems: two with one refresh token would end the family.
    """
    tokens: list[str] = []
    with SessionManager.open(path, sweep_every=None) as manager:
        for place in range(rounds):
            redeems = place % 2 == 1
            if redeems and number > 0:
                continue
            while board.state(place) == Board.UNKNOWN:
                time.sleep(0)
            session_id, secret = board.token(place).split()
            brought: list[str] = []
            with pytest.raises(SessionEnded, match="revoked"):
                refresh_on(manager, brought, session_id=session_id, secret=secret if redeems else None)
            assert accepted(manager, brought) == 0  # this process's cache holds them
            tokens += brought
    return tokens


def refresh_on(manager: SessionManager, brought: list[str], *, session_id: str, secret: str | None) -> None:
    """Refresh, or redeem where there is a secret, again and again; far more often than a revoke waits."""
    for _ in range(10_000):
        issued = manager.refresh(session_id) if secret is None else manager.redeem(secret)
        brought.append(issued.token)
        secret = issued.refresh_token


def accepted(manager: SessionManager, tokens: list[str]) -> int:
    """Count the tokens that are taken."""
    taken = 0
    for token in tokens:
        try:
            manager.validate(token)
        except AccessDenied:
            continue
        taken += 1
    return taken


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", sizes(25, 1_000))
def test_attack_64_no_token_that_a_refresh_brings_outlives_a_revoke(tmp_path: Path, rounds: int) -> None:
    path, board = founded(tmp_path / "db" / "clawguard.db"), Board(rounds)
    with crew() as start, SessionManager.open(path, sweep_every=None) as manager:
        workers = [start(refresher, number, path, board, rounds) for number in range(REFRESHERS)]
        for place in range(rounds):
            made = manager.create("agent", scopes="a", refreshable=True)
            board.publish(place, f"{made.id} {made.refresh_token}")
            while manager.get_session(made).generation < UNDER_WAY + place % 4:
                assert workers[0].process.is_alive(), workers[0].result()
            assert manager.revoke(made)
        tokens = [token for worker in workers for token in worker.result(290)]
        taken = accepted(manager, tokens)
    late = rows(
        path,
        """SELECT over.session_id FROM events over JOIN events more ON more.session_id = over.session_id
           WHERE over.type = 'session.expired' AND more.type = 'session.refreshed' AND more.seq > over.seq""",
    )
    report("G-FRESH, refresh against revoke", rounds=rounds, tokens=len(tokens), taken=taken, late=len(late))
    assert len(tokens) >= rounds * (UNDER_WAY - 1)
    assert (taken, late) == (0, [])
    assert_whole(path)
