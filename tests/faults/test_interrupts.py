"""A signal's exception may come at any instruction: it locks nobody out and leaves nothing half done."""

from __future__ import annotations

import random
import signal
import threading
import time
from pathlib import Path

import pytest

from clawguard import SessionManager, StoreUnavailable
from tests.faults.lab import assert_whole, report, sizes


class Late(BaseException):
    """What a time limit raises."""


def raise_late(*_: object) -> None:
    raise Late


@pytest.mark.parametrize("limits", sizes(250, 5_000))
def test_a_time_limit_that_strikes_anywhere_locks_nobody_out(tmp_path: Path, limits: int) -> None:
    path = tmp_path / "db" / "clawguard.db"
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    before = signal.signal(signal.SIGALRM, raise_late)
    try:
        with SessionManager.open(path, sweep_every=None, lock_timeout=1) as manager:
            struck = sum(strike(manager, chance) for _ in range(limits))
            manager.create("last", scopes="x")
        with SessionManager.open(path, sweep_every=None, lock_timeout=1) as other:
            assert other.prune_expired() == 0
    finally:
        signal.signal(signal.SIGALRM, before)
    report("interrupts", limits=limits, struck=struck, seed=seed)
    assert struck > limits // 2
    assert_whole(path)


def strike(manager: SessionManager, chance: random.Random) -> bool:
    """Work under a time limit that strikes at some moment, then write once in peace."""
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0002, 0.003))
        try:
            for _ in range(100):
                manager.validate(manager.create("a", scopes="x").token)
            struck = False
        except Late:
            struck = True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Late:
        struck = True
    manager.create("peace", scopes="x")
    return struck


@pytest.mark.parametrize("rounds", sizes(40, 300))
def test_closing_under_a_writing_thread_harms_nobody(tmp_path: Path, rounds: int) -> None:
    """The closer gives up waiting: the connection is closed by the thread that uses it, when it is done."""
    for number in range(rounds):
        path = tmp_path / str(number) / "clawguard.db"
        manager = SessionManager.open(path, sweep_every=None, lock_timeout=0.005)
        for _ in range(40):
            manager.create("a", scopes="x")
        ended: list[object] = []

        def work(manager: SessionManager = manager, ended: list[object] = ended) -> None:
            try:
                ended.append(manager.revoke_all_for_agent("a"))
            except StoreUnavailable as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.0001 * (number % 15))
        manager.close()
        thread.join(30)
        assert not thread.is_alive()
        assert manager._parts.store._writer is None  # type: ignore[attr-defined]
        assert manager._parts.store._queue._fd < 0  # type: ignore[attr-defined]
        with SessionManager.open(path, sweep_every=None) as again:
            assert again.active_count() == (40 if isinstance(ended[0], StoreUnavailable) else 0)
        assert_whole(path)
