"""The thread between calls."""

from __future__ import annotations

import logging
import threading
from unittest.mock import patch

import pytest

from clawguard import SessionManager, StoreUnavailable
from clawguard.clock import SECOND
from clawguard.sessions.sweeper import Sweeper
from tests.clocks import FakeClock
from tests.openers import open_manager


def test_without_an_interval_nothing_runs_by_itself() -> None:
    sweeper = Sweeper([lambda: pytest.fail("ran")], every=None)
    sweeper.start()
    sweeper.kick()
    sweeper.stop()
    assert sweeper._thread is None


def test_a_kick_runs_the_chores_now() -> None:
    ran = threading.Event()
    sweeper = Sweeper([ran.set], every=3_600)
    sweeper.kick()
    assert ran.wait(60)
    sweeper.stop()
    sweeper.stop()
    sweeper.start()
    assert sweeper._thread is not None
    assert not sweeper._thread.is_alive()
    assert (sweeper._thread.name, sweeper._thread.daemon) == ("clawguard-sweeper", True)


def test_a_failing_chore_is_logged_and_the_others_run(caplog: pytest.LogCaptureFixture) -> None:
    ran = threading.Event()

    def fail() -> None:
        raise StoreUnavailable("no answer")

    sweeper = Sweeper([fail, ran.set], every=3_600)
    with caplog.at_level(logging.ERROR, logger="clawguard.sessions"):
        sweeper.kick()
        assert ran.wait(60)
    sweeper.stop()
    assert caplog.messages == ["a background chore failed and is tried again: no answer"]


def test_the_manager_records_natural_ends_by_itself() -> None:
    clock = FakeClock()
    ended = threading.Event()
    with open_manager(clock=clock, sweep_every=0.01, dispatch="thread") as manager:
        manager.on("session.expired", lambda event: ended.set())
        made = manager.create("a", scopes="x", ttl=10)
        clock.advance(10)
        assert ended.wait(60)
        assert manager.get_session(made.id).cause == "ttl"


def test_several_sweepers_end_each_session_once(tmp_path: object) -> None:
    clock = FakeClock()
    path = f"{tmp_path}/c.db"
    with open_manager(path, clock=clock) as one, open_manager(path, clock=clock) as two:
        for _ in range(300):
            one.create("a", scopes="x", ttl=10)
        clock.advance(10)
        swept: list[int] = []

        def sweep(manager: SessionManager) -> None:
            swept.append(manager._endings.sweep(batch=7))

        threads = [threading.Thread(target=sweep, args=(each,)) for each in (one, two) * 2]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sum(swept) == 300
        assert len(one.events.read(types="session.expired", limit=1_000)) == 300


class SlowClock(FakeClock):
    """Let time pass with every look at it."""

    def elapsed(self) -> int:
        self.passed += SECOND
        return self.passed


@pytest.mark.parametrize(("clock", "batches"), [(FakeClock(), 1), (SlowClock(), 3)])
def test_a_slow_sweep_lets_others_write_in_between(clock: FakeClock, batches: int) -> None:
    with open_manager(clock=clock) as manager:
        for _ in range(250):
            manager.create("a", scopes="x", ttl=10)
        clock.advance(10)
        transaction = manager._parts.store.transaction
        with patch.object(type(manager._parts.store), "transaction", side_effect=transaction) as begun:
            assert manager.prune_expired() == 250
        assert begun.call_count == batches
