"""After a power cut nothing is gone that anybody outside was told: no end, no event, no signed head."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clawguard import ClawguardError, SessionManager
from tests.faults.lab import assert_whole, founded, is_full, report, rows, sizes
from tests.faults.power import Disk, Step, choices, copy_rest, play, record

WRITTEN = ["clawguard.db", "clawguard.db-wal", "clawguard.db-lock"]


class Run(NamedTuple):
    """Hold what a run did to its folder, how that was before, and what it said."""

    steps: list[Step]
    folder: Path
    before: Path
    acks: Path


def check(path: Path, said: list[list[Any]]) -> None:
    """Hold a database that came back after a power cut against what had been said before."""
    assert_whole(path)
    log = {
        seq: (id, hash) for seq, id, hash in rows(path, "SELECT seq, body ->> '$.id', hex(hash) FROM events")
    }
    ended = {id for (id,) in rows(path, "SELECT id FROM sessions WHERE cause IS NOT NULL")}
    generations = dict(rows(path, "SELECT id, generation FROM sessions"))
    for what, first, *others in said:
        if what in ("heard", "published"):
            id, hash = others
            assert log.get(first) == (id, hash.upper()), f"event {first} was {what}, and is not there"
        elif what == "ended":
            assert first in ended, "an acknowledged end is gone"
        elif what == "refreshed":
            assert generations.get(first, 0) >= others[0], "an acknowledged refresh is gone"
    heard = max((first for what, first, *_ in said if what == "heard"), default=0)
    assert rows(path, "SELECT coalesce(max(position), 0) FROM event_cursors")[0][0] <= heard
    signed = [others[0] for what, _, *others in said if what == "checkpoint"]
    with SessionManager.open(path, sweep_every=None) as manager:
        for note in signed[-2:]:
            found = manager.events.verify(note)
            assert found.fault is None, f"a signed head cries tampering: {found}"
        manager.revoke(manager.create("agent", scopes="a"))  # and life goes on


@pytest.fixture(scope="module", params=sizes(240, 2_000))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed; it records what a run wrote and when it synced")
    place = tmp_path_factory.mktemp("power")
    path, acks = founded(place / "db" / "clawguard.db"), place / "acks"
    shutil.copytree(path.parent, place / "before")
    work = ["-m", "tests.faults.power_run", str(path), str(acks), str(request.param)]
    steps = record(work, place / "trace")
    return Run(steps, path.parent, place / "before", acks)


def cut(run: Run, target: Path, *, count: int, lies: bool = False) -> Iterator[tuple[Path, list[list[Any]]]]:
    """Give databases as power cuts have left them, each with what had been said by then."""
    chance = random.Random(count)
    total = len(run.acks.read_bytes().splitlines())
    moments = {chance.randrange(total) for _ in range(count)}
    disk = Disk(run.before, run.folder, WRITTEN, lies=lies)
    for number, said in play(run.steps, disk, run.acks, at=moments):
        image = target / str(number)
        copy_rest(run.before, image, but=[*WRITTEN, "clawguard.db-shm"])
        disk.lay(image, choices[number % len(choices)], chance)
        yield image / "clawguard.db", [json.loads(line) for line in said.splitlines()]
        shutil.rmtree(image)


def test_a_power_cut_takes_nothing_back_that_was_told(
    run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    images = told = 0
    for path, said in cut(run, tmp_path, count=1_000 if is_full(request) else 60):
        check(path, said)
        images, told = images + 1, told + len(said)
    report("power loss", images=images, told_before=told, steps=len(run.steps), taken_back=0)


def test_the_experiment_sees_what_a_disk_that_lies_takes_back(run: Run, tmp_path: Path) -> None:
    lost = 0
    for path, said in cut(run, tmp_path, count=20, lies=True):
        try:
            check(path, said)
        except (AssertionError, ClawguardError, sqlite3.DatabaseError):
            lost += 1
    assert lost
    report("power loss, a disk that lies", images=20, seen=lost)
