"""Conversations under fire: none comes back, no number twice or missing, no file and no import half done."""

from __future__ import annotations

import ctypes
import json
import random
import time
from pathlib import Path

import pytest

from clawguard import SessionEnded, SessionManager
from tests.faults.lab import CONTEXT, assert_whole, crew, founded, report, rows, sizes, together

PROCESSES = 8
HELLO = {"role": "user", "content": "hello"}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", sizes(150, 5_000))
def test_a_deleted_conversation_does_not_come_back(tmp_path: Path, rounds: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    with SessionManager.open(path, sweep_every=None) as manager:
        ids = [manager.create("agent", scopes="a", ttl=86_400).id for _ in range(rounds)]
    barrier, gone = CONTEXT.Barrier(PROCESSES), CONTEXT.RawArray(ctypes.c_byte, rounds)

    def race(number: int) -> tuple[int, int, int]:
        appended = refused = resurrected = 0
        chance = random.Random(number)
        with SessionManager.open(path, sweep_every=None) as manager:
            for turn, session_id in enumerate(ids):
                barrier.wait(60)
                if turn % PROCESSES == number:
                    time.sleep(chance.uniform(0, 0.004))
                    assert manager.history.delete(session_id)
                    gone[turn] = 1  # whoever sees it began after the delete had returned
                    continue
                while True:
                    was_gone = gone[turn]
                    try:
                        manager.history.append(session_id, HELLO)
                    except SessionEnded as refusal:
                        refused += refusal.cause == "invalidated"
                        break
                    appended += 1
                    resurrected += was_gone
        return appended, refused, resurrected

    totals = [sum(each) for each in zip(*together(PROCESSES, race, timeout=500), strict=True)]
    appended, refused, resurrected = totals
    left = rows(path, "SELECT count(*) FROM entries")[0][0]
    found_again = rows(path, "SELECT count(*) FROM entry_words")[0][0]
    alive = rows(path, "SELECT count(*) FROM sessions WHERE ended_at IS NULL OR entry_count > 0")[0][0]
    told = "SELECT sum(json_extract(body, '$.data.count')) FROM events WHERE type = 'history.deleted'"
    deleted = rows(path, told)[0][0]
    report(
        "no resurrection", processes=PROCESSES, rounds=rounds, appended=appended, refused=refused,
        resurrected=resurrected, entries_left=left, sessions_left=alive,
    )  # fmt: skip
    assert (resurrected, left, found_again, alive) == (0, 0, 0, 0)
    assert refused == rounds * (PROCESSES - 1)
    assert deleted == appended > 0
    assert_whole(path)


@pytest.mark.slow
@pytest.mark.parametrize("count", sizes(150, 5_000))
def test_numbers_have_no_gap_and_none_is_given_twice(tmp_path: Path, count: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    with SessionManager.open(path, sweep_every=None) as manager:
        session_id = manager.create("agent", scopes="a", ttl=86_400).id
    barrier = CONTEXT.Barrier(PROCESSES)

    def append(number: int) -> list[tuple[int, str]]:
        said = []
        with SessionManager.open(path, sweep_every=None) as manager:
            barrier.wait(60)
            for turn in range(count):
                text = f"word{number}x{turn}"
                seq = manager.history.append(session_id, {"role": "user", "content": text})
                said.append((seq, text))
        return said

    acknowledged = [each for said in together(PROCESSES, append, timeout=500) for each in said]
    with SessionManager.open(path, sweep_every=None) as manager:
        found = [(each.seq, each.text) for each in manager.history.load_with_timestamps(session_id)]
        total = manager.history.count(session_id)
        [hit] = manager.history.search(found[-1][1])
    report("gapless numbers", processes=PROCESSES, appended=len(acknowledged), highest=found[-1][0])
    assert [seq for seq, _ in found] == list(range(1, PROCESSES * count + 1))
    assert sorted(acknowledged) == found
    assert (total, hit.seq) == (len(found), len(found))
    assert_whole(path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", sizes(8, 100))
def test_a_killed_export_leaves_the_old_file_or_the_new_one(tmp_path: Path, kills: int) -> None:
    path, file = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "talk.jsonl"
    began, chance = tmp_path / "began", random.Random(kills)
    with SessionManager.open(path, sweep_every=None) as manager:
        session = manager.create("agent", scopes="a", ttl=86_400)
        for _ in range(2_000):
            manager.history.append(session, HELLO)
        manager.history.export_jsonl(session, file)

    def export() -> None:
        with SessionManager.open(path, sweep_every=None) as manager:
            while True:
                manager.history.append(session, HELLO)
                manager.history.export_jsonl(session, file, progress=lambda _: began.touch())

    def lengths() -> int:
        lines = file.read_bytes().split(b"\n")
        assert lines.pop() == b""
        header, *messages = map(json.loads, lines)
        assert header["session_id"] == session.id
        assert all(each["content"] == "hello" for each in messages)
        return len(messages)

    unfinished = 0
    for _ in range(kills):
        before = lengths()
        began.unlink(missing_ok=True)
        with crew() as start:
            worker = start(export)
            deadline = time.monotonic() + 30
            while not began.exists():
                assert time.monotonic() < deadline, worker.result()
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.05))
            worker.kill()
        assert lengths() >= before
        unfinished += len(list(tmp_path.glob(".clawguard-*.new")))
        for left in tmp_path.glob(".clawguard-*.new"):
            left.unlink()
    report("whole exports", kills=kills, in_the_middle_of_one=unfinished, messages=lengths())
    assert unfinished > 0
    assert_whole(path)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", sizes(8, 100))
def test_a_killed_import_is_there_whole_or_not_at_all(tmp_path: Path, kills: int) -> None:
    path, file = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "talk.jsonl"
    lines, chance = 1_500, random.Random(kills)
    file.write_text(f"{json.dumps(HELLO)}\n" * lines, encoding="utf-8")
    began = tmp_path / "began"
    with SessionManager.open(path, sweep_every=None) as manager:
        sessions = [manager.create("agent", scopes="a", ttl=86_400).id for _ in range(kills)]
        before = time.monotonic()
        manager.history.import_jsonl(manager.create("agent", scopes="a"), file)
        takes = time.monotonic() - before

    def carry_in(session_id: str) -> None:
        with SessionManager.open(path, sweep_every=None) as manager:
            manager.history.import_jsonl(session_id, file, progress=lambda _: began.touch())

    for session_id in sessions:
        began.unlink(missing_ok=True)
        with crew() as start:
            worker = start(carry_in, session_id)
            deadline = time.monotonic() + 30
            while not began.exists():
                assert time.monotonic() < deadline, worker.result()
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 1.5 * takes))
            worker.kill()
    held = "SELECT s.entry_count, (SELECT count(*) FROM entries e WHERE e.session_id = s.id) FROM sessions s"
    found = rows(path, held)
    receipts = rows(path, "SELECT count(*) FROM import_receipts")[0][0]
    whole = sum(count == lines for count, _ in found) - 1  # the one that was not killed
    report("whole imports", kills=kills, imported=whole, not_at_all=kills - whole, receipts=receipts)
    assert {count for count, _ in found} <= {0, lines}
    assert all(count == entries for count, entries in found)
    assert receipts == whole + 1
    with SessionManager.open(path, sweep_every=None) as manager:
        for session_id in sessions:
            manager.history.import_jsonl(session_id, file)
            assert manager.history.count(session_id) == lines
    assert_whole(path)
