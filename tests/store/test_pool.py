"""The pool: never more than its limit, none lost, and at rest while the process forks."""

from __future__ import annotations

import gc
from threading import Event, Thread

import pytest

from clawguard.errors import StoreBusy
from clawguard.store.connections import Connection
from clawguard.store.pool import Pool


class Opener:
    """Open readers and remember how many."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> Connection:
        self.count += 1
        return Connection(":memory:", check_same_thread=False)


def test_the_last_used_is_lent_first_and_never_more_than_the_limit() -> None:
    opener = Opener()
    pool = Pool(opener, limit=2)
    first, second = pool.take(), pool.take()
    waiting: list[Connection] = []
    thread = Thread(target=lambda: waiting.append(pool.take()))
    thread.start()
    pool.give(first)
    thread.join(60)
    assert waiting == [first]
    pool.drop(second)
    third = pool.take()
    assert third not in (first, second)
    assert opener.count == 3
    pool.give(first)
    pool.give(third)
    assert pool.take() is third
    pool.give(third)
    assert pool.idle() == (first, third)
    pool.close()
    assert pool.living() == ()


def test_a_caller_that_finds_none_free_is_told_so_in_time() -> None:
    pool = Pool(Opener(), limit=1, timeout=0.05)
    reader = pool.take()
    with pytest.raises(StoreBusy, match="no connection was free"):
        pool.take()
    pool.give(reader)
    assert pool.take() is reader
    pool.drop(reader)


def test_a_reader_that_is_lost_costs_nobody_its_place() -> None:
    """So a signal's exception leaves it, when it comes before the caller could hold on to it."""
    pool = Pool(Opener(), limit=1, timeout=0.05)
    pool.take()
    gc.collect()
    pool.drop(pool.take())
    pool.come_to_rest()
    pool.go_on()


def test_coming_to_rest_is_not_kept_waiting_by_those_who_take_again_and_again() -> None:
    pool, stop = Pool(Opener(), limit=4), Event()

    def work() -> None:
        reader = pool.take()
        while not stop.is_set():  # it never lies idle for longer than an instant
            pool.give(reader)
            reader = pool.take()
        pool.give(reader)

    threads = [Thread(target=work, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        pool.come_to_rest()
        assert pool.living() == ()
        pool.go_on()
    stop.set()
    for thread in threads:
        thread.join(60)
    pool.close()


def test_a_reader_that_never_comes_back_keeps_no_fork_waiting_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pool = Pool(Opener(), limit=2, timeout=0.05)
    kept = pool.take()
    pool.come_to_rest()
    assert "1 connection(s) that did not come back" in caplog.text
    assert pool.living() == (kept,)
    pool.go_on()
    pool.drop(kept)
