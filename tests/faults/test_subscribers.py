"""Every event reaches a durable subscriber at least once, in order, whoever is killed or stopped."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from clawguard import Event, SessionManager, Verifier
from tests.faults.lab import (
    PATIENCE,
    assert_whole,
    crew,
    founded,
    report,
    sizes,
    stands_at,
    stop_outside_a_write,
    wait_until_beyond,
)

LEASE = 0.3


def write(path: Path) -> None:
    """Create and revoke without end."""
    with SessionManager.open(path, sweep_every=None, lock_timeout=PATIENCE) as manager:
        while True:
            manager.revoke(manager.create("agent", scopes="a"))
            time.sleep(0.002)


def take(path: Path, heard_path: Path) -> None:
    """Note each event that is given out, in one write; nothing of it can be lost by a kill."""
    heard = os.open(heard_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(event: Event) -> None:
        time.sleep(0.0005)  # so that a kill finds events that were given out and not yet noted
        os.write(heard, f"{event.seq} {event.id}\n".encode())

    with Verifier.open(path) as verifier:
        verifier.on("session.*", note, durable="siem", after=0, lease=LEASE)
        while True:
            time.sleep(1)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", sizes(3, 100))
def test_no_event_is_lost_to_a_killed_or_stopped_subscriber_or_writer(tmp_path: Path, kills: int) -> None:
    """Each of them is killed so often, and a subscriber stopped as often besides."""
    path, heard_path = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "heard"
    chance = random.Random(kills)
    with crew() as start:
        takers = [start(take, path, heard_path) for _ in range(2)]
        writer = start(write, path)
        for turn in range(3 * kills):
            wait_until_beyond(path, stands_at(path) + 20)
            time.sleep(chance.uniform(0, 0.1))
            if turn % 3 == 0:
                writer.kill()
                writer = start(write, path)
            elif turn % 3 == 1:
                takers.pop(0).kill()
                takers.append(start(take, path, heard_path))
            else:
                stop_outside_a_write(takers[0], path)
                wait_until_beyond(path, stands_at(path) + 20)  # the other takes over
                takers[0].go_on()
                takers[0].kill()
                takers[0] = start(take, path, heard_path)
        writer.kill()
        events = assert_whole(path)
        wait_until_beyond(path, events)
    heard = [tuple(line.split()) for line in heard_path.read_text().splitlines()]
    first = list(dict.fromkeys(int(seq) for seq, _ in heard))
    assert first == list(range(1, events + 1)), "an event is missing, or overtook another"
    assert len(set(heard)) == events, "one event came under two ids"
    report("G-EVENTS", kills_of_each=kills, events=events, given_again=len(heard) - events, lost=0)


def die_of(path: Path, heard_path: Path, poison: int) -> None:
    """Serve with a receiver that one event ends, and all of its process with it."""
    heard = os.open(heard_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def take(event: Event) -> None:
        if event.seq == poison:
            os._exit(9)
        os.write(heard, f"{event.seq}\n".encode())

    with Verifier.open(path) as verifier:
        verifier.on("session.*", take, durable="siem", after=0, lease=LEASE)
        while True:
            time.sleep(1)


@pytest.mark.timeout(120)
def test_an_event_that_ends_whoever_takes_it_is_parked_and_it_alone(tmp_path: Path) -> None:
    path, heard_path, poison = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "heard", 7
    with SessionManager.open(path, sweep_every=None) as manager, crew() as start:
        for _ in range(10):
            manager.create("agent", scopes="a")
        end, server = time.monotonic() + PATIENCE, start(die_of, path, heard_path, poison)
        while stands_at(path) < 10:
            assert time.monotonic() < end, f"it stands at {stands_at(path)}"
            if server.process.exitcode is not None:
                server = start(die_of, path, heard_path, poison)
            time.sleep(0.01)
        (parked,) = manager.subscribers.parked("siem")
        (alarm,) = manager.events.read(types="subscriber.parked")
    assert (parked.seq, parked.error) == (poison, "lapsed")
    assert alarm.data["seq"] == poison
    heard = list(dict.fromkeys(int(line) for line in heard_path.read_text().split()))
    assert heard == [seq for seq in range(1, 11) if seq != poison]


def fork_while_taking(path: Path, heard_path: Path, child_path: Path) -> None:
    """Serve with a receiver that forks at its third event; both processes go on."""
    heard = os.open(heard_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def take(event: Event) -> None:
        if event.seq == 3 and not child_path.exists() and (child := os.fork()):
            child_path.write_text(str(child))
        os.write(heard, f"{event.seq} {os.getpid()}\n".encode())

    with Verifier.open(path) as verifier:
        verifier.on("session.*", take, durable="siem", after=0, lease=1)
        while True:
            time.sleep(1)


@pytest.mark.timeout(120)
def test_a_child_forked_in_a_receiver_stands_by_and_takes_over(tmp_path: Path) -> None:
    path, heard_path = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "heard"
    child_path = tmp_path / "child"
    with SessionManager.open(path, sweep_every=None) as manager, crew() as start:
        try:
            parent = start(fork_while_taking, path, heard_path, child_path)
            for seq in range(1, 41):
                manager.create("agent", scopes="a")
                wait_until_beyond(path, seq)
            parent.kill()
            for _ in range(10):
                manager.create("agent", scopes="a")
            wait_until_beyond(path, 50)
        finally:
            child = int(child_path.read_text())
            os.kill(child, signal.SIGKILL)
    heard = [(int(seq), int(pid)) for seq, pid in map(str.split, heard_path.read_text().splitlines())]
    assert list(dict.fromkeys(seq for seq, _ in heard)) == list(range(1, 51))
    assert [seq for seq, _ in heard if seq > 3] == list(range(4, 51)), "two were at work at once"
    assert {pid for seq, pid in heard if seq > 40} == {child}
