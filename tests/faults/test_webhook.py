"""Every event reaches a webhook at least once and in order, or is parked, whoever is killed or hangs."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clawguard import SessionManager, Verifier
from clawguard.relays.webhook import WebhookRelay
from tests.faults.lab import (
    assert_whole,
    crew,
    founded,
    report,
    rows,
    sizes,
    stands_at,
    wait_until_beyond,
)
from tests.subscribing import made, position, until
from tests.webhooks import SECRET, Delivery, Hook, running

POISON = 37  # every so many events there is one that the receiver will never take


def write(path: Path) -> None:
    """Create and revoke without end."""
    with SessionManager.open(path, sweep_every=None) as manager:
        while True:
            manager.revoke(manager.create("agent", scopes="a"))
            time.sleep(0.004)


def send(path: Path, port: int) -> None:
    """Carry the log out for as long as nobody ends this process."""
    with (
        Verifier.open(path) as verifier,
        WebhookRelay(f"http://localhost:{port}/", secret=SECRET, timeout=0.5) as relay,
    ):
        verifier.on("session.*", relay, durable="hook", after=0, lease=2)
        while True:
            time.sleep(1)


def receive(port: int, heard_path: Path) -> None:
    """Note each event that comes, and answer afterwards: what a kill strikes between comes once more."""
    heard = os.open(heard_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(delivery: Delivery) -> int:
        event = delivery.verified()["data"]
        if event["seq"] % POISON == 0:
            return 422
        os.write(heard, f"{event['seq']} {delivery['webhook-id']} {event['id']}\n".encode())
        return 204

    hook = Hook(port=port)
    hook.answer = note
    hook.serve_forever(0.01)


@contextmanager
def reserved_port() -> Iterator[int]:
    """Keep a port for servers that come and go; nobody listens here, so that it refuses meanwhile."""
    with socket.socket() as place:
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", 0))
        yield int(place.getsockname()[1])


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kills", sizes(6, 60))
def test_no_event_is_lost_to_a_receiver_or_a_relay_that_is_killed_or_hangs(
    tmp_path: Path, kills: int
) -> None:
    path, heard_path = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "heard"
    chance = random.Random(kills)
    with reserved_port() as port, crew() as start:
        receiver, writer = start(receive, port, heard_path), start(write, path)
        relays = [start(send, path, port) for _ in range(2)]
        for turn in range(kills):
            wait_until_beyond(path, stands_at(path) + 20)
            time.sleep(chance.uniform(0, 0.1))
            if turn % 3 == 0:
                receiver.kill()
                time.sleep(chance.uniform(0, 0.5))
                receiver = start(receive, port, heard_path)
            elif turn % 3 == 1:
                relays.pop(0).kill()
                relays.append(start(send, path, port))
            else:
                receiver.stop()
                time.sleep(chance.uniform(0, 1.5))  # beyond the relay's deadline, or not
                receiver.go_on()
        writer.kill()
        assert_whole(path)
        sent = [
            seq for (seq,) in rows(path, "SELECT seq FROM events WHERE type GLOB 'session.*' ORDER BY seq")
        ]
        wait_until_beyond(path, sent[-1])
    heard = [tuple(line.split()) for line in heard_path.read_text().splitlines()]
    assert all(key == own for _, key, own in heard), "a request's id was not its event's"
    first = list(dict.fromkeys(int(seq) for seq, _, _ in heard))
    assert first == [seq for seq in sent if seq % POISON], "an event is missing, or overtook another"
    assert len(set(heard)) == len(first), "one event came under two ids"
    with SessionManager.open(path, sweep_every=None) as manager:
        parked = manager.subscribers.parked("hook")
    assert [each.seq for each in parked] == [seq for seq in sent if seq % POISON == 0]
    assert {each.error for each in parked} <= {"http://localhost answered 422"}
    report(
        "G-EVENTS", kills=kills, events=len(sent), again=len(heard) - len(first), parked=len(parked), lost=0
    )


@pytest.mark.timeout(120)
def test_a_receiver_that_hangs_hurts_nobody_else_and_gets_all_of_it_later(tmp_path: Path) -> None:
    path, heard_path = founded(tmp_path / "db" / "clawguard.db"), tmp_path / "heard"
    with (
        reserved_port() as port,
        crew() as start,
        running(Hook()) as healthy,
        SessionManager.open(path, sweep_every=None) as manager,
        WebhookRelay(healthy.url, secret=SECRET) as fine,
        WebhookRelay(f"http://127.0.0.1:{port}/", secret=SECRET, timeout=0.2) as hanging,
    ):
        receiver = start(receive, port, heard_path)
        manager.on("session.*", hanging, durable="hanging", tries=1)
        made(manager, 1)
        until(lambda: position(manager, "hanging") == 1)
        receiver.stop()
        manager.on("session.*", fine, durable="fine", after=0)
        session = manager.create("agent", scopes="a")
        made(manager, 30)
        until(lambda: len(healthy.deliveries) == 32)
        until(lambda: manager._parts.servers._servers["hanging"]._outages >= 2)  # type: ignore[union-attr]
        assert position(manager, "hanging") == 1
        assert manager.validate(session.token)
        receiver.go_on()
        until(lambda: position(manager, "hanging") >= 32)
        assert manager.subscribers.parked("hanging") == ()
        manager.off(hanging)
        manager.off(fine)
    heard = [line.split()[1] for line in heard_path.read_text().splitlines()]
    assert list(dict.fromkeys(heard)) == healthy.ids
