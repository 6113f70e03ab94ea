"""A broker is killed, stopped and restarted under load: every event reaches it, in order, known by its id."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from clawguard import Event, SessionManager, Verifier
from clawguard.errors import ReceiverUnavailable
from clawguard.relays.nats import NatsRelay
from clawguard.relays.redis import RedisRelay
from tests.faults.lab import PATIENCE, assert_whole, crew, founded, report, sizes
from tests.servers import HOST, Server, entries, nats_server, published, redis_server

STREAM = "LOG"
TIMEOUT = 0.5


class Relay(Protocol):
    """Be what carries an event to a broker."""

    def __call__(self, event: Event) -> None: ...


class Broker(NamedTuple):
    """Hold how one kind of broker is started, written to and read."""

    server: Callable[[Path], Server]
    relay: Callable[[int], AbstractContextManager[Relay]]
    ids: Callable[[int], list[str]]


def to_redis(port: int) -> RedisRelay:
    return RedisRelay(f"redis://{HOST}:{port}/0", stream=STREAM, timeout=TIMEOUT)


def to_nats(port: int) -> NatsRelay:
    return NatsRelay(f"nats://{HOST}:{port}", create_stream=STREAM, timeout=TIMEOUT)


def ids_in_redis(port: int) -> list[str]:
    return [each["id"] for each in entries(port, STREAM)]


def ids_in_nats(port: int) -> list[str]:
    return [each.headers["Nats-Msg-Id"] for each in published(port, STREAM)]


def lazy_redis_server(folder: Path) -> Server:
    """Return a Redis as it comes: what it acknowledges may not be in its file yet."""
    return redis_server(folder, "--appendfsync", "everysec")


BROKERS = {
    "redis": Broker(redis_server, to_redis, ids_in_redis),
    "nats": Broker(nats_server, to_nats, ids_in_nats),
}
LAZY = {"redis everysec": Broker(lazy_redis_server, to_redis, ids_in_redis)}


class Deliveries:
    """Count what a relay has delivered, and remember when."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.times: list[float] = []
        self.failures = 0

    def take(self, event: Event) -> None:
        try:
            self._relay(event)
        except ReceiverUnavailable:
            self.failures += 1
            raise
        self.times.append(time.monotonic())

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.times) + count
        wait_until(lambda: len(self.times) >= wanted)

    def first_after(self, moment: float) -> float:
        """Return how long after a moment the next delivery came."""
        wait_until(lambda: bool(self.times) and self.times[-1] >= moment)
        return next(each for each in self.times if each >= moment) - moment


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.002)


def write(path: Path) -> None:
    """Create and revoke without end."""
    with SessionManager.open(path, sweep_every=None) as manager:
        while True:
            manager.revoke(manager.create("agent", scopes="a"))
            time.sleep(0.002)


def disturb(server: Server, turn: int, chance: random.Random) -> None:
    """Kill and restart a broker, or every third time halt it for longer than a call waits."""
    time.sleep(chance.uniform(0, 0.1))
    if turn % 3 == 2:
        server.stop(TIMEOUT * 2)
    else:
        server.kill()
        time.sleep(chance.uniform(0, 0.3))
        server.start()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("faults", sizes(3, 36))
@pytest.mark.parametrize("name", BROKERS)
def test_no_event_is_lost_to_a_broker_that_is_killed_or_stopped(
    tmp_path: Path, name: str, faults: int
) -> None:
    path, broker, chance = founded(tmp_path / "db" / "clawguard.db"), BROKERS[name], random.Random(faults)
    recovered = []
    with crew() as start, broker.server(tmp_path / "broker") as server:
        writer = start(write, path)
        with broker.relay(server.port) as relay, Verifier.open(path) as verifier:
            deliveries = Deliveries(relay)
            verifier.on("*", deliveries.take, durable="relay", after=0)
            for turn in range(faults):
                deliveries.wait_for_more(20)
                disturb(server, turn, chance)
                recovered.append(deliveries.first_after(server.answered_at))
            writer.kill()
            events = assert_whole(path)
            (subscriber,) = verifier.subscribers.list()
            wait_until(lambda: verifier.subscribers.list()[0].position >= events)
            assert subscriber.parked == 0
            expected = [event.id for event in all_events(verifier)]
        found = broker.ids(server.port)
    assert list(dict.fromkeys(found)) == expected, "an event is missing, or overtook another"
    assert deliveries.failures, "nothing was ever in the way"
    report(
        f"G-EVENTS through {name}",
        faults=faults,
        events=len(expected),
        failed_calls=deliveries.failures,
        lost=0,
        twice=len(found) - len(expected),
        recovered_after=" ".join(f"{each:.2f}" for each in recovered),
        median=f"{statistics.median(recovered):.2f} s",
        longest=f"{max(recovered):.2f} s",
    )


def all_events(verifier: Verifier) -> list[Event]:
    found: list[Event] = []
    while page := verifier.events.read(after=found[-1].seq if found else 0, limit=1_000):
        found += page
    return found


def publish_live(path: Path, port: int) -> None:
    """Create and revoke without end, and publish each event as it is heard: no cursor, no second try."""
    with (
        SessionManager.open(path, sweep_every=None) as manager,
        redis.Redis(host=HOST, port=port, retry=Retry(NoBackoff(), 0)) as client,
    ):
        manager.on("*", lambda event: client.publish(STREAM, str(event.seq)))
        while True:
            manager.revoke(manager.create("agent", scopes="a"))
            time.sleep(0.002)


class Listener:
    """Hear a channel of Redis, and subscribe it anew whenever the connection breaks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.heard: list[int] = []
        self.over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def wait_for_more(self, count: int) -> None:
        wanted = len(self.heard) + count
        wait_until(lambda: len(self.heard) >= wanted)

    def end(self) -> None:
        self.over = True
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while not self.over:
            with suppress(redis.RedisError, OSError), redis.Redis(host=HOST, port=self._port) as client:
                channel = client.pubsub(ignore_subscribe_messages=True)
                channel.subscribe(STREAM)
                while not self.over:
                    if message := channel.get_message(timeout=0.05):
                        self.heard.append(int(message["data"]))
            time.sleep(0.01)


@pytest.mark.control
def test_the_same_load_without_a_cursor_loses_events(tmp_path: Path) -> None:
    """The control: the experiment can see a loss."""
    path, chance = founded(tmp_path / "db" / "clawguard.db"), random.Random(1)
    with crew() as start, redis_server(tmp_path / "broker") as server:
        listener = Listener(server.port)
        writer = start(publish_live, path, server.port)
        for _ in range(3):
            listener.wait_for_more(20)
            disturb(server, 0, chance)
        listener.wait_for_more(20)
        writer.kill()
        listener.end()
    with Verifier.open(path) as verifier:
        begun, ended = listener.heard[0], listener.heard[-1]
        expected = [event.seq for event in all_events(verifier) if begun <= event.seq <= ended]
    lost = set(expected) - set(listener.heard)
    report("G-EVENTS, control: without a cursor", kills=3, events=len(expected), lost=len(lost))
    assert lost


@pytest.mark.parametrize("count", sizes(1_000, 10_000))
@pytest.mark.parametrize("name", BROKERS | LAZY)
def test_how_many_events_a_second_a_relay_carries(tmp_path: Path, name: str, count: int) -> None:
    path, broker = founded(tmp_path / "db" / "clawguard.db"), (BROKERS | LAZY)[name]
    with SessionManager.open(path, sweep_every=None) as manager:
        for _ in range(count):
            manager.create("agent", scopes="a")
    with (
        broker.server(tmp_path / "broker") as server,
        broker.relay(server.port) as relay,
        Verifier.open(path) as verifier,
    ):
        deliveries = Deliveries(relay)
        begun = time.monotonic()
        verifier.on("*", deliveries.take, durable="relay", after=0)
        wait_until(lambda: len(deliveries.times) >= count)
        seconds = deliveries.times[-1] - begun
        carried = dict.fromkeys(broker.ids(server.port))  # one that is slow to answer is given an event again
        assert list(carried) == [event.id for event in all_events(verifier)]
    report(f"through {name}", events=count, events_a_second=f"{count / seconds:,.0f}")
