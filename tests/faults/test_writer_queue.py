"""The writers' queue by itself: hand-over, giving up, forking, counting."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clawguard import StoreBusy
from clawguard.store.writer_queue import WriterQueue
from tests.faults.lab import leave

PATIENCE = 10.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "clawguard.db-lock"


@contextmanager
def held_elsewhere(path: Path) -> Iterator[int]:
    """Hold the file lock as another process would: through an open file of its own."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def is_free(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def wait_until_free(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_free(path):
        assert time.monotonic() < deadline, "the lock was not let go"
        time.sleep(0.005)


def helpers() -> set[threading.Thread]:
    """Name the helpers that live now; one of an earlier test may end at any moment."""
    return {each for each in threading.enumerate() if each.name == "clawguard-writer-queue"}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_free_lock_is_had_without_a_helper(path: Path) -> None:
    before = helpers()
    queue = WriterQueue(path, timeout=1.0)
    queue.acquire()
    assert not is_free(path)
    queue.release()
    assert is_free(path)
    assert helpers() <= before
    assert path.stat().st_mode & 0o777 == 0o600
    queue.close()


def test_the_helper_hands_the_lock_over(path: Path) -> None:
    queue = WriterQueue(path, timeout=PATIENCE)
    with held_elsewhere(path) as other:
        threading.Timer(0.1, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        queue.acquire()
        assert not is_free(path)
        queue.release()
    assert is_free(path)
    queue.close()


def test_a_waiter_gives_up_in_time_and_the_helper_lets_go_of_what_it_gets(path: Path) -> None:
    queue = WriterQueue(path, timeout=0.1)
    with held_elsewhere(path):
        before = time.monotonic()
        with pytest.raises(StoreBusy, match=r"within 0\.1 s"):
            queue.acquire()
        assert 0.1 <= time.monotonic() - before < 2.0
    wait_until_free(path)
    queue.acquire()
    queue.release()
    assert is_free(path)
    queue.close()


def test_who_comes_after_one_that_gave_up_gets_what_the_helper_waited_for(path: Path) -> None:
    queue = WriterQueue(path, timeout=0.05)
    with held_elsewhere(path) as other:
        with pytest.raises(StoreBusy):
            queue.acquire()
        queue._timeout = PATIENCE
        threading.Timer(0.1, fcntl.flock, (other, fcntl.LOCK_UN)).start()
        queue.acquire()
        assert not is_free(path)
        queue.release()
    assert is_free(path)
    queue.close()


def test_every_thread_that_waits_gives_up_at_its_own_deadline(path: Path) -> None:
    queue = WriterQueue(path, timeout=0.2)
    outcomes: list[float] = []

    def wait() -> None:
        before = time.monotonic()
        with pytest.raises(StoreBusy):
            queue.acquire()
        outcomes.append(time.monotonic() - before)

    with held_elsewhere(path):
        threads = [threading.Thread(target=wait) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert len(outcomes) == 6
    assert max(outcomes) < 2.2
    wait_until_free(path)
    queue.acquire()
    queue.release()
    queue.close()


@pytest.fixture
def yields(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Gather how often the processor was left to others."""
    seen: list[None] = []
    monkeypatch.setattr(os, "sched_yield", lambda: seen.append(None))
    return seen


@pytest.mark.parametrize("who", ["a thread", "a process"])
def test_the_processor_is_left_to_a_writer_that_waits_and_to_nobody_else(
    path: Path, yields: list[None], who: str
) -> None:
    mine, others = WriterQueue(path, timeout=PATIENCE), WriterQueue(path, timeout=PATIENCE)
    queue = mine if who == "a thread" else others

    def write() -> None:
        queue.acquire()
        queue.release()

    write()
    assert yields == []
    mine.acquire()
    waiter = threading.Thread(target=write)
    waiter.start()
    while not (queue._waiting or queue._waited_at > 0):
        time.sleep(0.001)
    mine.release()
    assert yields
    waiter.join(PATIENCE)
    for each in (mine, others):
        each.close()


def test_a_wait_of_long_ago_or_of_before_the_machine_was_started_leaves_it_to_nobody(
    path: Path, yields: list[None]
) -> None:
    queue = WriterQueue(path, timeout=PATIENCE)
    for noted in (time.monotonic() - PATIENCE, time.monotonic() + 1_000, float("nan"), float("inf")):
        path.write_bytes(bytes(8) + struct.pack("<d", noted))
        queue.acquire()
        queue.release()
    assert yields == []
    queue.close()


def test_only_one_thread_is_in_at_a_time(path: Path) -> None:
    queues = [WriterQueue(path, timeout=PATIENCE) for _ in range(3)]
    inside, seen = [], []

    def work(queue: WriterQueue) -> None:
        for _ in range(60):
            queue.acquire()
            inside.append(1)
            seen.append(len(inside))
            inside.pop()
            queue.release()

    threads = [threading.Thread(target=work, args=(queue,)) for queue in queues for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert seen == [1] * 540
    for queue in queues:
        queue.close()


def test_a_forked_child_holds_nothing_of_its_parents(path: Path) -> None:
    queue = WriterQueue(path, timeout=0.5)
    queue.acquire()
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            queue.after_fork()
            try:
                queue.acquire()
            except StoreBusy:
                status = 0  # the parent still holds it, and a fresh open file is refused
            os.write(theirs, b"x")
            time.sleep(1.0)
        finally:
            leave(status)
    os.close(theirs)
    os.read(ours, 1)
    queue.release()
    wait_until_free(path)  # though the child lives: the descriptor that it inherited is closed
    assert os.waitpid(child, 0)[1] == 0
    os.close(ours)
    queue.close()


def test_a_fork_while_the_helper_waits_leaves_the_child_a_queue_that_works(path: Path) -> None:
    queue = WriterQueue(path, timeout=0.05)
    with held_elsewhere(path) as other:
        with pytest.raises(StoreBusy):
            queue.acquire()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.close(other)
                queue.after_fork()
                queue._timeout = PATIENCE
                queue.acquire()
                queue.release()
                status = 0
            finally:
                leave(status)
        time.sleep(0.05)
    assert os.waitpid(child, 0)[1] == 0
    wait_until_free(path)
    queue.close()


def test_commits_are_counted_over_all_who_share_the_file(path: Path) -> None:
    first, second = WriterQueue(path, timeout=1.0), WriterQueue(path, timeout=1.0)
    for queue, count in ((first, 1), (second, 2), (first, 3)):
        queue.acquire()
        assert queue.count_commit() == count
        queue.release()
    second.acquire()
    assert second.commits() == 3
    second.reset_commits()
    second.release()
    first.acquire()
    assert first.commits() == 0
    first.release()
    first.close()
    second.close()


def test_closing_twice_is_nothing(path: Path) -> None:
    queue = WriterQueue(path, timeout=1.0)
    queue.acquire()
    queue.release()
    queue.close()
    queue.close()


def test_a_closed_queue_leaves_neither_thread_nor_descriptor(path: Path) -> None:
    threads, files = helpers(), descriptors()
    for _ in range(3):
        queue = WriterQueue(path, timeout=0.02)
        with held_elsewhere(path):
            with pytest.raises(StoreBusy):
                queue.acquire()
            queue.close()
    deadline = time.monotonic() + PATIENCE
    while not helpers() <= threads or descriptors() > files:
        assert time.monotonic() < deadline, "a helper or its descriptor was left behind"
        time.sleep(0.01)
