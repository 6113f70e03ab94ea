"""Events that are linked later: none is skipped, each session's stay in order, memory hears of all."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from typing import NamedTuple

import psycopg
import pytest

from clawguard import SessionManager
from clawguard.events import linking
from clawguard.sessions.feed import Feed
from clawguard.sessions.updating import set_in
from clawguard.store import Reach
from tests.faults.lab import PATIENCE, crew, report, sizes
from tests.schemas import schema
from tests.servers import postgres_url

pytestmark = pytest.mark.usefixtures("kek")

WRITERS = 8
LINGERING, ROLLING_BACK, SHARED = 0.2, 0.05, 0.3


class Committed(NamedTuple):
    """Hold whom an event names, and when its commit was acknowledged (seconds, of all processes)."""

    mark: str
    at: float


class RolledBack(Exception):
    """What tears a write down."""


@contextmanager
def foreign_transaction() -> Iterator[None]:
    """Leave a transaction open that has a number, as of somebody else who writes in the same server."""
    with psycopg.connect(postgres_url()) as other:
        other.execute("SELECT pg_current_xact_id()")
        yield
        other.rollback()


def write(number: int, url: str, rounds: int, shared: list[str]) -> list[Committed]:
    """Write beside others: mostly an event of its own, at times one of a session that all write to.

    It gives way to whoever listens: what is measured is the path, and not the line at two cores.
    """
    os.nice(10)
    chance, committed = random.Random(number), list[Committed]()
    with SessionManager.open(url, sweep_every=None, lock_timeout=60) as manager:
        for turn in range(rounds):
            mark = f"{number}-{turn}"
            target = chance.choice(shared) if shared and chance.random() < SHARED else None
            with suppress(RolledBack):
                with manager._parts.change(durable=True, reach=Reach(target)) as change:
                    if target is not None:
                        set_in(change, "session.set_name", target, name=mark)
                    change.writer.append("test.marked", session_id=mark)
                    change.ends_of(mark)  # so that the event has its number long before the commit
                    if chance.random() < LINGERING:
                        time.sleep(chance.uniform(0.001, 0.01))
                    if chance.random() < ROLLING_BACK:
                        raise RolledBack
                committed.append(Committed(mark, time.monotonic()))
    return committed


class Heard(Feed):
    """Note when it first heard of whom."""

    def listen(self) -> dict[str, float]:
        """Follow until a note is heard of that all has been written."""
        heard: dict[str, float] = {}
        while "over" not in heard:
            self.follow()
            now = time.monotonic()
            heard |= dict.fromkeys(self._changed.keys() - heard.keys(), now)
            self._changed = {}
            time.sleep(0.003)
        return heard


def listen(url: str) -> dict[str, float]:
    with SessionManager.open(url, sweep_every=None, lock_timeout=60) as manager:
        return Heard(manager._parts.store, manager._parts.clock, bound=250_000).listen()


def follow(url: str) -> list[tuple[int, str, int]]:
    """Read the log with a cursor until a note says that all has been written."""
    with SessionManager.open(url, sweep_every=None, lock_timeout=60) as manager:
        found = []
        for event in manager.events.follow(after=0, poll=0.02, timeout=PATIENCE):
            if event.session_id is None:
                continue
            if event.session_id == "over":
                break
            found.append((event.seq, event.session_id, event.version or 0))
        return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("rounds", sizes(25, 1_400))
def test_nothing_is_skipped_and_each_sessions_order_holds(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "_LINK_EVERY", 3)  # so that many link at once
    with (
        schema() as url,
        SessionManager.open(url, sweep_every=None, lock_timeout=60) as manager,
        foreign_transaction(),
    ):
        shared = [manager.create("agent", scopes="a").id for _ in range(3)]
        with crew() as start:
            ears, eyes = start(listen, url), start(follow, url)
            writers = [start(write, number, url, rounds, shared) for number in range(WRITERS)]
            committed = [each for writer in writers for each in writer.result(300)]
            with manager._parts.change(durable=True) as change:
                change.writer.append("test.marked", session_id="over")
            seen = eyes.result(300)
            heard = ears.result(300)
        assert manager.events.verify()
        lag = manager.events.lag()
    marks = {each.mark for each in committed}
    numbers = [seq for seq, _, _ in seen]
    skipped = marks - {mark for _, mark, _ in seen}
    unheard = marks - heard.keys()
    after = sorted(heard[each.mark] - each.at for each in committed if each.mark in heard)
    report(
        "outbox",
        events=len(seen),
        skipped=len(skipped),
        unheard=len(unheard),
        heard_p50_ms=round(after[len(after) // 2] * 1_000, 1),
        heard_p99_ms=round(after[len(after) * 99 // 100] * 1_000, 1),
    )
    assert (skipped, unheard) == (set(), set())
    assert {mark for _, mark, _ in seen} - marks == set(shared)  # nothing that was rolled back
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    for session_id in shared:
        versions = [version for _, mark, version in seen if mark == session_id]
        assert all(after - before == 1 for before, after in pairwise(versions))
    assert lag == (0, 0)


def read_naively(url: str, until: int) -> int:
    """Follow raw rows by the greatest number seen; return how many were."""
    seen, last, since = 0, 0, time.monotonic()
    address, _, name = url.partition("?schema=")
    with psycopg.connect(address, autocommit=True) as reader:
        while seen < until and time.monotonic() - since < 1:
            found = reader.execute(
                f"SELECT id FROM {name}.unlinked_events WHERE id > %s ORDER BY id", (last,)
            ).fetchall()
            if found:
                seen, last, since = seen + len(found), found[-1][0], time.monotonic()
            time.sleep(0.001)
    return seen


def test_who_follows_raw_rows_by_their_number_skips_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linking, "_LINK_EVERY", 2**62)  # so that all of it stays unlinked
    with schema() as url, SessionManager.open(url, sweep_every=None, lock_timeout=60) as manager:
        with crew() as start:
            reader = start(read_naively, url, WRITERS * 40)
            writers = [start(write, number, url, 40, []) for number in range(WRITERS)]
            committed = sum(len(writer.result()) for writer in writers)
            seen = reader.result()
        report("outbox, control", events=committed, skipped=committed - seen)
        assert seen < committed
        assert len([e for e in manager.events.read(limit=1_000) if e.type == "test.marked"]) == committed
