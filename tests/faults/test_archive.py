"""An archive killed anywhere: the log is whole, and no entry is gone that is not in a file an event names."""

from __future__ import annotations

import hashlib
import json
import random
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawguard import SessionManager
from clawguard.clock import SystemClock, to_datetime
from clawguard.events import audit, proven
from clawguard.events.archives import verify_archive
from tests.faults.lab import Acks, acknowledged, crew, founded, report, rows, sizes

FILLING = 40


def archive_without_end(path: Path, folder: Path, acks_path: Path, turn: int) -> None:
    """Fill the log and archive all of it, over and over; note each archive, and a checkpoint before it."""
    audit._BATCH = proven._STRETCH = 7  # as many steps as there can be
    acks = Acks(acks_path)
    with SessionManager.open(path, sweep_every=None) as manager:
        for number in range(1_000_000):
            for _ in range(FILLING):
                manager.create("agent", scopes="a")
            acks.add("begun", str(manager.events.checkpoint()))
            before = to_datetime(SystemClock().now()) + timedelta(hours=1)
            made = manager.events.archive(before, folder / f"{turn}-{number}.ndjson")
            acks.add("archived", made.last)


def cuts(path: Path, folder: Path) -> dict[int, dict[str, Any]]:
    """Return what every `log.archived` event says, by its cut: in the database, then in archives."""
    [*texts] = (body for (body,) in rows(path, "SELECT body FROM events WHERE type = 'log.archived'"))
    found: dict[int, dict[str, Any]] = {}
    for body in texts:
        cut = json.loads(body)["data"]
        found[cut["seq"]] = cut
        for line in (folder / cut["file"]).read_text().splitlines()[1:]:
            if (event := json.loads(line)["event"])["type"] == "log.archived":
                texts.append(json.dumps(event))  # the list grows under way: back to the first archive
    return found


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", sizes(10, 400))
def test_an_archive_that_is_killed_leaves_all_or_the_event(tmp_path: Path, kills: int) -> None:
    path, folder = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "archives"
    folder.mkdir()
    chance = random.Random(kills)
    known: dict[int, dict[str, Any]] = {}
    unfinished, key = 0, ""
    for turn in range(kills):
        acks = tmp_path / f"acks-{turn}"
        with crew() as start:
            worker = start(archive_without_end, path, folder, acks, turn)
            deadline = time.monotonic() + 30
            while not acknowledged(acks):
                assert worker.process.is_alive(), worker.result()
                assert time.monotonic() < deadline, "a worker does nothing"
                time.sleep(0.0005)
            time.sleep(chance.uniform(0.0, 0.08))
            worker.kill()
        said = acknowledged(acks)
        known = cuts(path, folder)
        cut_at = max(known, default=0)
        lowest, last, count = rows(path, "SELECT min(seq), max(seq), count(*) FROM events")[0]
        assert count == last - lowest + 1
        assert lowest <= cut_at + 1, "entries are gone, and no event says where to"
        assert all(seq <= cut_at for what, seq in said if what == "archived")
        unfinished += lowest <= cut_at
        with SessionManager.open(path, sweep_every=None) as manager:
            assert manager.events.verify()
            for checkpoint in (said for what, said in said if what == "begun"):
                if int(checkpoint.split("\n")[1]) >= cut_at:
                    assert manager.events.verify(checkpoint)
            manager.prune_expired()
            assert rows(path, "SELECT min(seq) FROM events") == [(cut_at + 1,)]
            assert manager.events.verify().after == cut_at
            key = manager.events.key
    after = 0
    for seq, cut in sorted(known.items()):
        file = folder / cut["file"]
        found = verify_archive(file, key=key)
        assert (bool(found), found.after, found.count) == (True, after, seq)
        assert hashlib.sha256(file.read_bytes()).hexdigest() == cut["sha256"]
        after = seq
    unused = {each.name for each in folder.glob("*.ndjson")} - {cut["file"] for cut in known.values()}
    figures = {"archives": len(known), "removals_cut_short": unfinished, "unused_files": len(unused)}
    report("archive", kills=kills, **figures, events=after)
    assert len(known) >= kills // 4
