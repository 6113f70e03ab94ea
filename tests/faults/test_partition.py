"""PostgreSQL behind a network that says nothing: no accept is later than the bound, and all recover."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol

import pytest

from clawguard import (
    AccessDenied,
    IssuedSession,
    SessionManager,
    StoreBusy,
    StoreUnavailable,
    Verifier,
)
from clawguard.clock import SECOND, SystemClock
from clawguard.sessions.feed import Feed
from clawguard.store.postgres import PostgresStore
from clawguard.store.postgres import store as store_module
from clawguard.store.postgres.connections import Connection
from tests.faults.lab import CONTEXT, Worker, crew, report, sizes
from tests.faults.proxy import Proxy, proxy
from tests.faults.test_staleness import AT_REST, BOUNDS, late_by
from tests.servers import PATIENCE

pytestmark = pytest.mark.usefixtures("kek")

RESTS = 1.5  # bounds, from the end to the moment when the network speaks again


@pytest.fixture
def between(url: str) -> Iterator[Proxy]:
    with proxy(url) as made:
        yield made


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.002)


def remember(url: str, bound: float, pipe: Any) -> None:
    """Validate each token that comes until it is refused; tell when the last accepted call began."""
    clock = SystemClock()
    with Verifier.open(url, max_staleness=bound) as verifier:
        while (token := pipe.recv()) is not None:
            verifier.validate(token)
            while verifier.freshness is None or not verifier.freshness.lease:
                time.sleep(AT_REST)
            verifier.validate(token)
            pipe.send("remembered")
            accepted = 0
            with suppress(AccessDenied):
                while True:
                    began = clock.elapsed()
                    with suppress(StoreUnavailable):
                        verifier.validate(token)
                        accepted = began
                    time.sleep(AT_REST)
            pipe.send(accepted)


class Between(Protocol):
    """Stand between a process and its server: hold every byte back, and go on."""

    def hold(self) -> None: ...
    def go_on(self) -> None: ...


class Rememberer:
    """Have a process remember tokens, and cut it off before each of them ends."""

    def __init__(self, between: Between, pipe: Any, manager: SessionManager, bound: float) -> None:
        self._between, self._pipe, self._manager, self._bound = between, pipe, manager, bound

    def _remembered(self) -> IssuedSession:
        session = self._manager.create("agent", scopes="a")
        self._pipe.send(session.token)
        self._pipe.recv()
        return session

    def late_when_healthy(self) -> float:
        """End a token; return the seconds after which it was last accepted."""
        self._manager.revoke(self._remembered())
        acknowledged = SystemClock().elapsed()
        assert self._pipe.poll(PATIENCE), "the end was not heard of"
        return max(0.0, float(self._pipe.recv() - acknowledged) / SECOND)

    def late(self, chance: random.Random) -> float:
        """End a token in a partition; return the seconds after which it was last accepted."""
        session = self._remembered()
        time.sleep(chance.uniform(0, self._bound / 3))
        acknowledged = self._end_in_a_partition(session, chance)
        time.sleep(RESTS * self._bound)
        self._between.go_on()
        assert self._pipe.poll(PATIENCE), "who was cut off did not recover"
        return float(self._pipe.recv() - acknowledged) / SECOND

    def _end_in_a_partition(self, session: IssuedSession, chance: random.Random) -> int:
        """Cut the process off, but not with the write lock in its hands: then nobody can end anything."""
        while True:
            self._between.hold()
            time.sleep(chance.uniform(0, self._bound / 2))
            try:
                self._manager.revoke(session)
            except StoreBusy:
                self._between.go_on()
            else:
                return SystemClock().elapsed()


def partitions(url: str, between: Proxy, bound: float, count: int, chance: random.Random) -> list[float]:
    """Cut one process off again and again; return how late each ended token was last accepted."""
    mine, theirs = CONTEXT.Pipe()
    with crew() as start, SessionManager.open(url, sweep_every=None, lock_timeout=0.5) as manager:
        worker: Worker = start(remember, between.url(url), bound, theirs)
        rememberer = Rememberer(between, mine, manager, bound)
        found = [rememberer.late(chance) for _ in range(count)]
        mine.send(None)
        worker.result()
    return found


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("count", sizes(1, 100, timeout=1_200))
def test_no_accept_is_later_than_the_bound_while_the_network_is_silent(
    url: str, between: Proxy, bound: float, count: int
) -> None:
    late = partitions(url, between, bound, count, random.Random(count))
    kept = sum(each <= bound for each in late)
    report(
        "bounded staleness on PostgreSQL, silent network",
        bound=f"{bound} s",
        partitions=count,
        kept=kept,
        latest_accept=f"{max(late):.3f} s after the acknowledgement",
    )
    assert max(late) > 0, "no token was accepted after its end: this shows nothing"
    assert kept == count


def test_without_a_lease_the_bound_is_not_kept(
    url: str, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def vouch(self: Feed, entry: Any) -> bool:
        is_known = entry.position >= self._forgotten
        return is_known and self._changed.get(entry.context.session_id, 0) <= entry.position

    monkeypatch.setattr(Feed, "vouches_for", vouch)
    assert partitions(url, between, 0.25, 1, random.Random(1))[0] > 0.25


def hold_to_bounds(what: str, url: str, condition: str, count: int) -> None:
    chance = random.Random(count)
    for bound in BOUNDS if count > 1 else BOUNDS[:2]:
        late = [late_by(url, condition, bound, chance) for _ in range(count)]
        report(
            f"bounded staleness on PostgreSQL, {what}",
            bound=f"{bound} s",
            revokes=count,
            latest_accept=f"{max(late):.3f} s after the acknowledgement",
        )
        assert max(late) <= bound


@pytest.mark.parametrize("count", sizes(1, 100, timeout=1_800))
def test_no_accept_is_later_than_the_bound_though_every_hint_is_lost(
    url: str, between: Proxy, count: int
) -> None:
    between.drop_hints()
    hold_to_bounds("every hint lost", between.url(url), "healthy", count)
    assert between.dropped, "there were no hints to be lost"


@pytest.mark.parametrize("count", sizes(1, 100, timeout=1_800))
def test_no_accept_of_a_halted_process_is_later_than_the_bound(url: str, count: int) -> None:
    hold_to_bounds("halted", url, "halted", count)


# deadlines


def store_of(holder: SessionManager | Verifier) -> PostgresStore:
    store = holder._parts.store
    assert isinstance(store, PostgresStore)
    return store


def follows(verifier: Verifier) -> bool:
    freshness = verifier.freshness
    return freshness is not None and freshness.lease > 0


def test_who_follows_gives_a_silent_server_up_and_follows_again(url: str, between: Proxy) -> None:
    with Verifier.open(between.url(url), max_staleness=0.25) as verifier:
        until(lambda: follows(verifier))
        [before] = store_of(verifier)._follower.living()
        between.hold()
        until(lambda: before.closed)  # by nobody but who waits: the server and the network are as they were
        assert not follows(verifier)
        between.go_on()
        until(lambda: follows(verifier))


def test_validate_gives_a_silent_server_up_and_recovers(
    url: str, between: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_BEYOND_LOCKS", 0.0)
    with (
        SessionManager.open(url, sweep_every=None) as manager,
        Verifier.open(between.url(url), lock_timeout=0.25) as verifier,
    ):
        session = manager.create("agent", scopes="a")
        verifier.validate(session.token)
        between.hold()
        with pytest.raises(StoreUnavailable, match="cannot be reached"):  # nor on a second connection
            verifier.validate(session.token)
        between.go_on()
        assert verifier.validate(session.token)
        manager.revoke(session)
        with pytest.raises(AccessDenied):
            verifier.validate(session.token)


@pytest.mark.parametrize("let_in", [False, True])
def test_a_server_that_falls_silent_while_it_is_opened_is_given_up(
    url: str, between: Proxy, monkeypatch: pytest.MonkeyPatch, let_in: bool
) -> None:
    connect = Connection.connect

    def connect_and_hold(*args: Any, **options: Any) -> Any:
        connection = connect(*args, **options)
        between.hold()
        return connection

    if let_in:
        monkeypatch.setattr(Connection, "connect", connect_and_hold)
    else:
        between.hold()
    with pytest.raises(StoreUnavailable):
        Verifier.open(f"{between.url(url)}&connect_timeout=2")
