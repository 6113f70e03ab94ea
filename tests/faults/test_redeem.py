"""Redeeming under races: one step however many redeem, a replay always found, no usable secret on disk."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from clawguard import AccessDenied, SessionEnded, SessionManager
from clawguard.store.transaction import SQLiteTransaction
from tests.faults.lab import CONTEXT, Board, assert_whole, crew, founded, report, rows, sizes


def redeem_each(path: Path, board: Board, rounds: int, barrier: Any) -> list[str | None]:
    """Redeem each round's token when all others do, use what came of it, return the successors."""
    got: list[str | None] = []
    with SessionManager.open(path, sweep_every=None) as manager:
        for place in range(rounds):
            while board.state(place) != Board.LIVE:
                pass
            barrier.wait(120)
            try:
                issued = manager.redeem(board.token(place))
                manager.validate(issued.token)
                got.append(issued.refresh_token)
            except AccessDenied:
                got.append(None)
            barrier.wait(120)
    return got


def race(path: Path, *, processes: int, rounds: int) -> tuple[list[str], list[set[str | None]]]:
    """Let processes redeem one token a round; return the sessions and what each round's redeems brought."""
    board, barrier = Board(rounds), CONTEXT.Barrier(processes)
    ids = []
    with crew() as start, SessionManager.open(path, sweep_every=None) as manager:
        workers = [start(redeem_each, path, board, rounds, barrier) for _ in range(processes)]
        for place in range(rounds):
            made = manager.create("agent", scopes="a", refreshable=True)
            ids.append(made.id)
            board.publish(place, str(made.refresh_token))
        results = [worker.result(900) for worker in workers]
    return ids, [set(each) for each in zip(*results, strict=True)]


@pytest.mark.parametrize(
    ("processes", "rounds"),
    [
        pytest.param(8, 2, id="slice"),
        pytest.param(32, 10, id="full", marks=[pytest.mark.torture, pytest.mark.timeout(900)]),
    ],
)
def test_attack_63_many_processes_that_redeem_one_token_take_one_step_and_all_can_go_on(
    tmp_path: Path, processes: int, rounds: int
) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    ids, brought = race(path, processes=processes, rounds=rounds)
    generations = dict(rows(path, "SELECT id, generation FROM sessions"))
    report("redeem", processes=processes, rounds=rounds, steps=sum(generations[each] - 1 for each in ids))
    assert all(len(each) == 1 and None not in each for each in brought)
    assert [generations[each] for each in ids] == [2] * rounds
    assert_whole(path)


@pytest.mark.parametrize("rounds", sizes(20, 1_000))
def test_two_racing_redeems_have_one_successor_and_its_replay_ends_the_family(
    tmp_path: Path, rounds: int
) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    _, brought = race(path, processes=2, rounds=rounds)
    replayed = 0
    with SessionManager.open(path, sweep_every=None) as manager:
        for each in brought:
            (successor,) = each
            assert successor is not None
            newest = manager.redeem(successor)
            manager.redeem(str(newest.refresh_token))
            with pytest.raises(SessionEnded, match="reuse"):
                manager.redeem(successor)
            replayed += manager.get_session(newest.id).cause == "reuse"
        found = len(rows(path, "SELECT 1 FROM events WHERE type = 'token.reuse_detected'"))
    report("G-REPLAY", rounds=rounds, successors=len(brought), replays=rounds, ended=replayed, events=found)
    assert replayed == found == rounds
    assert_whole(path)


@pytest.mark.control
def test_the_race_finds_a_rotation_by_read_then_write(tmp_path: Path) -> None:
    """The control: without the compare-and-set, two racing redeems end up with two successors."""
    path = founded(tmp_path / "db" / "clawguard.db")
    run = SQLiteTransaction.run

    def blind(self: SQLiteTransaction, name: str, /, *args: Any, **params: Any) -> Any:
        if name == "refresh.spend":
            run(self, name, *args, **params)
            return [(params["session_id"],)]
        if name == "session.advance":
            (ends,) = run(self, "session.ends", id=params["id"])
            params["generation"] = ends[0]
        return run(self, name, *args, **params)

    with patch.object(SQLiteTransaction, "run", blind):
        _, brought = race(path, processes=4, rounds=15)
    forked = sum(len(each) > 1 for each in brought)
    report("redeem, control: read, then write", rounds=len(brought), with_two_successors=forked)
    assert any(len(each) > 1 for each in brought)


@pytest.mark.parametrize("redeems", sizes(60, 1_000))
def test_the_files_hold_no_usable_secret(tmp_path: Path, redeems: int) -> None:
    """Every window of 32 bytes of every file is tried: none is a secret, and no token's text stands there."""
    path = founded(tmp_path / "db" / "clawguard.db")
    handed: list[str] = []
    with SessionManager.open(path, sweep_every=None) as manager:
        issued = manager.create("agent", scopes="a", refreshable=True)
        for _ in range(redeems):
            handed += [issued.token, str(issued.refresh_token)]
            issued = manager.redeem(str(issued.refresh_token))
        handed += [issued.token, str(issued.refresh_token)]
        contents = [each.read_bytes() for each in path.parent.iterdir()]
    refresh = [text for text in handed if text.startswith("cgr1_")]
    secrets = {base64.urlsafe_b64decode(text[28:] + "=") for text in refresh}
    texts = [text[28:].encode() for text in refresh]
    texts += [text.rpartition(".")[2].encode() for text in handed if not text.startswith("cgr1_")]
    tried = 0
    for content in contents:
        assert not any(text in content for text in texts)
        for start in range(len(content) - 31):
            tried += 1
            assert content[start : start + 32] not in secrets
    report("G-SECRET", redeems=redeems, tokens=len(handed), files=len(contents), windows=tried, found=0)
    assert len(secrets) == redeems + 1
