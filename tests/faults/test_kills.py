"""What was acknowledged survives kill -9, and no state stands without its event."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from clawguard import AccessDenied, IssuedSession, SessionManager
from tests.faults.lab import Acks, acknowledged, assert_whole, crew, founded, report, rows, sizes

LEAST = 12  # a worker is killed only after so many acknowledgements, else a slow machine would show nothing


def load(path: Path, acks_path: Path) -> None:
    """Create, delegate, refresh and revoke without end; acknowledge each before the next is begun."""
    chance, acks = random.Random(os.getpid()), Acks(acks_path)
    live: list[IssuedSession] = []
    with SessionManager.open(path, sweep_every=0.02) as manager:
        while True:
            dice = chance.random()
            if dice < 0.4 or not live:
                live.append(manager.create("agent", scopes="a b", idle_timeout=3_600))
                acks.add("created", live[-1].id)
            elif dice < 0.5:
                child = manager.delegate(chance.choice(live), "helper", scopes="a")
                acks.add("created", child.id)
            elif dice < 0.7:
                place = chance.randrange(len(live))
                old, live[place] = live[place], manager.refresh(live[place])
                acks.add("refreshed", live[place].id, live[place].generation, old.token)
            else:
                victim = live.pop(chance.randrange(len(live)))
                assert manager.revoke(victim)
                acks.add("revoked", victim.id, victim.token)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", sizes(8, 200))
def test_nothing_acknowledged_is_lost_to_a_kill(tmp_path: Path, kills: int, seed: int) -> None:
    path = founded(tmp_path / "db" / "clawguard.db")
    chance = random.Random(seed)
    totals = dict.fromkeys(("created", "refreshed", "revoked"), 0)
    lost, events = 0, 0
    for turn in range(kills // 2):
        files = [tmp_path / f"acks-{turn}-{number}" for number in (0, 1)]
        with crew() as start:
            workers = [start(load, path, acks) for acks in files]
            wait_for(*files)
            for worker, acks in zip(workers, files, strict=True):
                time.sleep(chance.uniform(0.001, 0.12))
                assert worker.process.is_alive(), worker.result()
                worker.kill()  # the second goes on meanwhile: the dead one's lock must not stay behind
                said = acknowledged(acks)
                lost += count_lost(path, said)
                events = assert_whole(path)
                for what, *_ in said:
                    totals[what] += 1
    report("G-DURABLE, G-AUDIT", kills=kills // 2 * 2, **totals, lost=lost, events=events)
    assert lost == 0
    assert min(totals.values()) > 0


def boasts(path: Path, acks_path: Path) -> None:
    """Revoke without end, and acknowledge each before it is done."""
    acks = Acks(acks_path)
    with SessionManager.open(path, sweep_every=None) as manager:
        while True:
            victim = manager.create("agent", scopes="a")
            acks.add("revoked", victim.id, victim.token)
            time.sleep(0.005)
            manager.revoke(victim)


@pytest.mark.control
def test_an_acknowledgement_before_the_commit_is_caught(tmp_path: Path, seed: int) -> None:
    path, chance = founded(tmp_path / "db" / "clawguard.db"), random.Random(seed)
    for kills in range(1, 60):
        acks = tmp_path / f"acks-{kills}"
        with crew() as start:
            worker = start(boasts, path, acks)
            wait_for(acks)
            time.sleep(chance.uniform(0, 0.01))
            worker.kill()
        if count_lost(path, acknowledged(acks)):
            report("G-DURABLE, control: acknowledged before the commit", caught_at_kill=kills)
            return
    pytest.fail("nothing was lost")


def wait_for(*files: Path) -> None:
    deadline = time.monotonic() + 30
    while not all(len(acknowledged(file)) >= LEAST for file in files):
        assert time.monotonic() < deadline, "a worker does nothing"
        time.sleep(0.002)


def count_lost(path: Path, said: list[list[object]]) -> int:
    """Hold each acknowledgement against the row and, where a token died of it, against `validate`."""
    found = {each[0]: each[1:] for each in rows(path, "SELECT id, generation, cause FROM sessions")}
    lost = 0
    with SessionManager.open(path, sweep_every=None) as manager:
        for what, session_id, *rest in said:
            generation, cause = found.get(session_id, (0, None))
            lost += generation == 0
            lost += what == "revoked" and cause != "revoked"
            lost += what == "refreshed" and generation < rest[0]
            if rest:
                try:
                    manager.validate(str(rest[-1]))
                except AccessDenied:
                    continue
                lost += 1
    return lost
