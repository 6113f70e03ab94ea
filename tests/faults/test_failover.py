"""Failover: what a promoted standby knows of what was acknowledged, and who goes by it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from clawguard import (
    AccessDenied,
    IssuedSession,
    OutcomeUnknown,
    SessionManager,
    SessionNotFound,
    StoreUnavailable,
    Verifier,
)
from clawguard.store.postgres import PostgresStore
from tests.faults.lab import PATIENCE, Acks, acknowledged, crew, founded, report, sizes
from tests.faults.test_postgres import assert_whole, count_lost, wait_beyond
from tests.openers import rows
from tests.servers import HOST, STANDBY, PostgresServer, postgres_server

pytestmark = pytest.mark.usefixtures("kek")

WRITERS = 3
BOUND = 0.25


class Twins:
    """Hold a primary and its standby, and the URL by which clients find whichever of the two writes."""

    def __init__(self, primary: PostgresServer, standby: PostgresServer) -> None:
        self.primary, self.standby = primary, standby
        self.hosts = f"postgresql://postgres@{HOST}:{primary.port},{HOST}:{standby.port}/postgres"
        self.url = f"{self.hosts}?target_session_attrs=read-write&connect_timeout=2"

    def promote(self) -> None:
        """Make the standby a primary; it answers as one when this returns."""
        assert self.standby.ask("SELECT pg_promote(true, 60)") == [(True,)]

    def cut_the_stream(self) -> None:
        """Let nothing more reach the standby, which goes on answering."""
        self.standby.ask("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.ask("SELECT pg_reload_conf()")
        until(lambda: not self.primary.ask("SELECT 1 FROM pg_stat_replication"))


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


@contextmanager
def twins(*, synchronous: bool) -> Iterator[Twins]:
    """Run a primary and a standby that was made from it; clawguard has been opened there once."""
    with postgres_server() as primary:
        founded(primary.url)
        with postgres_server(of=primary) as standby:
            streams = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
            until(lambda: primary.ask(streams))
            if synchronous:
                primary.ask(f"ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'")
                primary.ask("SELECT pg_reload_conf()")
                until(lambda: primary.ask(f"{streams} AND sync_state = 'sync'"))
            yield Twins(primary, standby)


def load(url: str, acks_path: Path) -> None:
    """Create and revoke without end, whatever becomes of the server; note what a failover lost."""
    acks, live = Acks(acks_path), list[IssuedSession]()
    with SessionManager.open(url, sweep_every=None) as manager:
        while True:
            with suppress(StoreUnavailable):
                live.append(manager.create("agent", scopes="a"))
                acks.add("created", live[-1].id)
            while live:
                try:
                    manager.revoke(live[-1])
                    acks.add("revoked", live[-1].id)
                except SessionNotFound:
                    acks.add("missing", live[-1].id)
                except OutcomeUnknown:
                    continue
                except StoreUnavailable:
                    time.sleep(0.01)
                    break
                live.pop()


class Loss(NamedTuple):
    """Tell of one failover what had been acknowledged before it, and how much of that is gone."""

    revokes: int
    lost: int
    creates: int
    creates_lost: int


def fail_over(pair: Twins, folder: Path, chance: random.Random, between: Callable[[], object]) -> Loss:
    """Kill the primary under load and promote the standby, which all find by themselves."""
    folder.mkdir()
    files = [folder / f"acks-{number}" for number in range(WRITERS)]
    with crew() as start:
        workers = [start(load, pair.url, file) for file in files]
        wait_beyond(files, [0] * WRITERS)
        time.sleep(chance.uniform(0, 0.5))
        pair.primary.kill()
        before = [each for file in files for each in acknowledged(file)]
        between()
        pair.promote()
        wait_beyond(files, [len(acknowledged(file)) for file in files])
        for worker in workers:
            worker.kill()
    assert_whole(pair.standby.url)
    ends, creates = ([each for each in before if each[0] == what] for what in ("revoked", "created"))
    known = {each[0] for each in rows(pair.standby.url, "SELECT id FROM sessions")}
    lost = count_lost(pair.standby.url, ends)
    return Loss(len(ends), lost, len(creates), sum(each[1] not in known for each in creates))


def total(losses: list[Loss], what: str) -> Loss:
    found = Loss(*map(sum, zip(*losses, strict=True)))
    report(f"failover to {what}", failovers=len(losses), **found._asdict())
    return found


@pytest.mark.parametrize("rounds", sizes(1, 10, timeout=1_200))
def test_no_acknowledged_revoke_is_lost_to_a_failover_with_a_synchronous_standby(
    tmp_path: Path, rounds: int
) -> None:
    chance, losses = random.Random(rounds), []
    for turn in range(rounds):
        with twins(synchronous=True) as pair, SessionManager.open(pair.url, sweep_every=None) as manager:
            ended, living = (manager.create("agent", scopes="a") for _ in range(2))
            either = f"{pair.hosts}?connect_timeout=2"  # it takes whoever answers first
            with Verifier.open(either, max_staleness=BOUND) as verifier:
                until(lambda: follows(verifier) and accepts(verifier, ended) and accepts(verifier, living))  # noqa: B023
                losses.append(
                    fail_over(pair, tmp_path / str(turn), chance, lambda: refuses_a_standby(verifier, living))  # noqa: B023
                )
                manager.revoke(ended)
                until(lambda: follows(verifier))
                assert not accepts(verifier, ended)
                assert accepts(verifier, living)
    found = total(losses, "a synchronous standby")
    assert found.revokes
    assert found.lost == 0


def refuses_a_standby(verifier: Verifier, living: IssuedSession) -> None:
    """No lease comes from a server in recovery, nor any row: it is refused when it is connected to."""
    until(lambda: not follows(verifier))
    opened = seen_by(verifier)
    with pytest.raises(StoreUnavailable, match="only reads"):
        verifier.validate(living.token)
    assert not follows(verifier)
    assert seen_by(verifier) == opened


@pytest.mark.torture
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("lags", [False, True])
def test_what_an_asynchronous_standby_loses_is_seen(tmp_path: Path, lags: bool) -> None:
    """Nothing is promised here but that the log is whole: what the standby lacks is gone."""
    chance, losses = random.Random(10), []
    for turn in range(10):
        with twins(synchronous=False) as pair:
            if lags:
                pair.cut_the_stream()
            losses.append(fail_over(pair, tmp_path / str(turn), chance, lambda: None))
    found = total(losses, f"an asynchronous standby that {'lags behind' if lags else 'keeps up'}")
    assert found.lost or not lags, "the loss is not seen: then the promise above shows nothing"


def follows(verifier: Verifier) -> bool:
    freshness = verifier.freshness
    return freshness is not None and freshness.lease > 0


def accepts(verifier: Verifier, session: IssuedSession) -> bool:
    try:
        verifier.validate(session.token)
    except AccessDenied:
        return False
    return True


def seen_by(verifier: Verifier) -> int:
    """Return how many connections have been opened for looks at the log."""
    store = verifier._parts.store
    assert isinstance(store, PostgresStore)
    return store.feed_source
