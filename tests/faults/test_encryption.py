"""Encryption under fire: whenever a process dies in the middle of it, every entry is there and readable."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from clawguard import SessionManager, StoreBusy
from tests.faults.lab import CONTEXT, Worker, assert_whole, crew, founded, report, rows, sizes

TEXT = "said-in-confidence {}"
ENTRIES = 1_500


def said(number: int) -> dict[str, str]:
    return {"role": "user", "content": TEXT.format(number)}


def talking(path: Path, *, is_encrypted: bool) -> str:
    """Make a conversation and return whose it is."""
    with SessionManager.open(path, sweep_every=None, encrypt_history=is_encrypted) as manager:
        session = manager.create("agent", scopes="a", ttl=86_400).id
        manager.history.extend(session, [said(number) for number in range(ENTRIES)])
        return session


def wait_for(began: Path, worker: Worker) -> None:
    deadline = time.monotonic() + 30
    while not began.exists():
        assert time.monotonic() < deadline, worker.result()
        time.sleep(0.001)


def holding(path: Path) -> list[str]:
    return [each.name for each in path.parent.iterdir() if b"said-in-confidence" in each.read_bytes()]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("verb", ["enable", "rotate"])
@pytest.mark.parametrize("kills", sizes(6, 100))
def test_a_killed_encryption_loses_no_entry_and_is_taken_up_again(
    tmp_path: Path, kills: int, verb: str
) -> None:
    began, chance = tmp_path / "began", random.Random(kills)

    def seal(path: Path) -> None:
        with SessionManager.open(path, sweep_every=None) as manager:
            while True:  # enabling is over once; rotations follow each other
                getattr(manager.history.encryption, verb)(progress=lambda _: began.touch())
                began.touch()

    unfinished = written = most = 0
    session, path = "", tmp_path
    for turn in range(kills):
        if verb == "enable" or turn == 0:  # a database is encrypted once only
            path = founded(tmp_path / f"db{turn}" / "clawguard.db")
            session, written = talking(path, is_encrypted=verb == "rotate"), ENTRIES
        began.unlink(missing_ok=True)
        with crew() as start:
            worker = start(seal, path)
            wait_for(began, worker)
            time.sleep(chance.uniform(0, 0.03) * (turn % 2))
            worker.kill()
        numbers = [number for (number,) in rows(path, "SELECT number FROM content_keys ORDER BY number")]
        held = {number for (number,) in rows(path, "SELECT DISTINCT content_key FROM entries")}
        assert held <= set(numbers)  # no key was destroyed before its entries had left it
        unfinished, most = unfinished + (len(numbers) > 1), max(most, numbers[-1])
        with SessionManager.open(path, sweep_every=None) as manager:
            manager.history.append(session, said(written))
            written += 1
            found = [each.text for each in manager.history.load_with_timestamps(session)]
            assert found == [TEXT.format(number) for number in range(written)]
    with SessionManager.open(path, sweep_every=None) as manager:
        getattr(manager.history.encryption, verb)()
        assert manager.history.encryption.status().is_finished
        assert len(manager.history.load(session)) == written
        assert holding(path) == []
    report(f"whole through {verb}", kills=kills, in_the_middle=unfinished, highest_key=most, entries=written)
    assert unfinished > 0
    assert_whole(path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", sizes(4, 100))
def test_processes_that_read_and_write_never_notice_a_rotation(tmp_path: Path, rounds: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    with SessionManager.open(path, sweep_every=None) as manager:
        ids = [manager.create("agent", scopes="a", ttl=86_400).id for _ in range(3)]
        for session in ids:
            manager.history.extend(session, [said(number) for number in range(300)])
    over = CONTEXT.Event()

    def talk(session: str) -> tuple[int, int]:
        turns = busy = 0
        with SessionManager.open(path, sweep_every=None) as manager:
            history = manager.history
            texts = [TEXT.format(number) for number in range(300)]
            while not over.is_set():
                turns += 1
                try:
                    history.append(session, said(turns))
                    texts.append(TEXT.format(turns))
                    history.update_last(session, said(-turns))
                    texts[-1] = TEXT.format(-turns)
                except StoreBusy:
                    busy += 1
                assert [each.text for each in history.load_with_timestamps(session)] == texts
                assert [each.text for each in history.tail(session, 5)] == texts[-5:]
        return turns, busy

    def rotate(number: int) -> None:
        with SessionManager.open(path, sweep_every=None) as manager:
            manager.history.encryption.enable()
            for _ in range(rounds):
                manager.history.encryption.rotate()

    with crew() as start:
        talkers = [start(talk, session) for session in ids]
        for worker in [start(rotate, number) for number in range(2)]:
            worker.result(500)
        over.set()
        told = [worker.result() for worker in talkers]
    highest = rows(path, "SELECT max(number), count(*) FROM content_keys")[0]
    report("unnoticed rotations", highest_key=highest[0], turns=sum(turns for turns, _ in told), told=told)
    assert highest[0] > rounds
    assert highest[1] == 1
    assert rows(path, f"SELECT count(*) FROM entries WHERE content_key <> {highest[0]}") == [(0,)]
    assert sum(busy for _, busy in told) == 0
    assert holding(path) == []
    assert_whole(path)
