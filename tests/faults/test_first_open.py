"""The first open: killed anywhere, the next one works; made by many at once, there is one database."""

from __future__ import annotations

import random
import stat
import time
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.faults.lab import CONTEXT, assert_whole, crew, report, rows, sizes, together

PROCESSES = 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", sizes(12, 150))
def test_an_open_after_a_kill_in_the_middle_of_the_first_works(tmp_path: Path, rounds: int) -> None:
    chance = random.Random(rounds)
    usual = 0.0
    for name in ("warm", "whole"):  # the first of a process loads modules too
        before = time.monotonic()
        SessionManager.open(tmp_path / name / "clawguard.db", sweep_every=None).close()
        usual = time.monotonic() - before

    def found(path: Path, begun: Path) -> None:
        begun.touch()
        SessionManager.open(path, sweep_every=None).close()

    cut_short = 0
    without_ignore = []
    for turn in range(rounds):
        path = tmp_path / f"round-{turn}" / "db" / "clawguard.db"
        begun = tmp_path / f"begun-{turn}"
        with crew() as start:
            worker = start(found, path, begun)
            while not begun.exists():
                time.sleep(0.0001)
            time.sleep(chance.uniform(0.0, usual * 1.2))
            worker.kill()
        cut_short += worker.process.exitcode != 0
        with SessionManager.open(path, sweep_every=None) as manager:
            session = manager.create("agent", scopes="a")
            assert manager.validate(session.token).agent_id == "agent"
            assert manager.revoke(session)
        assert assert_whole(path) == 2
        assert_private(path.parent)
        if not (path.parent / ".gitignore").exists():
            without_ignore.append(turn)
    report("first open", kills=rounds, cut_short=cut_short, without_gitignore=len(without_ignore))
    assert cut_short >= rounds // 3
    assert without_ignore == []


@pytest.mark.parametrize("rounds", sizes(2, 30))
def test_many_processes_open_a_new_database_at_once(tmp_path: Path, rounds: int) -> None:
    for turn in range(rounds):
        path = tmp_path / f"round-{turn}" / "db" / "clawguard.db"
        barrier = CONTEXT.Barrier(PROCESSES)

        def found(number: int, path: Path = path, barrier: object = barrier) -> tuple[str, str]:
            barrier.wait(30)  # type: ignore[attr-defined]
            with SessionManager.open(path, sweep_every=None) as manager:
                return manager.issuer, manager.create(f"agent-{number}", scopes="a").token

        results = together(PROCESSES, found)
        assert len({issuer for issuer, _ in results}) == 1
        with SessionManager.open(path, sweep_every=None) as manager:
            found_agents = {manager.validate(token).agent_id for _, token in results}
        assert found_agents == {f"agent-{number}" for number in range(PROCESSES)}
        assert rows(path, "SELECT count(*) FROM meta") == [(1,)]
        assert rows(path, "SELECT state FROM signing_keys ORDER BY state") == [("active",), ("next",)]
        assert assert_whole(path) == PROCESSES
        assert_private(path.parent)
        assert [each.name for each in path.parent.glob("*kek*")] == ["clawguard.db-kek"]
    report("first open at once", rounds=rounds, processes=PROCESSES, databases=rounds, key_files=rounds)


def assert_private(folder: Path) -> None:
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for each in folder.iterdir():
        if each.name != ".gitignore":
            assert stat.S_IMODE(each.stat().st_mode) == 0o600, each.name
    assert not list(folder.glob("*-new*")), "what a killed founder left lies there still"
