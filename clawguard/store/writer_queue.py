"""The writers' queue: one lock for the threads of a process, then one file lock for all processes.

SQLite's own busy handler polls and starves; a file lock queues in the kernel and falls when its holder
dies. It is tried without blocking first; only when another process holds it does one helper thread wait
for it and hand it over, so that a caller can give up at its deadline.
"""

from __future__ import annotations

import fcntl
import math
import os
import struct
import threading
import time
from contextlib import suppress
from pathlib import Path

from clawguard.errors import StoreBusy, StoreUnavailable

__all__ = ["WriterQueue"]

_COUNTER_BYTES = 8
_WAIT, _WAIT_AT = struct.Struct("<d"), 8
_MANY = 2**32  # more commits than were ever counted: the file was damaged, and a checkpoint is due


class WriterQueue:
    """Let one writer in at a time, over all threads and processes of the machine."""

    def __init__(self, path: Path, *, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._fd = -1
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._threads = threading.RLock()  # it knows its holder: an interrupted call can tell what it holds
        # Entered by itself: a signal's exception within Condition.__enter__ would leave it locked.
        self._lock = threading.Lock()
        self._state = threading.Condition(self._lock)
        self._helper: threading.Thread | None = None
        self._asked = False
        self._waiting = False
        self._granted = False
        self._closed = False
        self._waited_at = -math.inf

    def acquire(self) -> None:
        """Take the lock, or raise StoreBusy when it is not had within the timeout (seconds).

        Raises StoreUnavailable when the lock's file cannot be opened.
        """
        self.check_not_mine()
        deadline = time.monotonic() + self._timeout
        try:
            if not (self._lock_threads() and self._lock_file(deadline)):
                raise self._busy()
        except OSError as error:
            self.release()
            raise _unusable(error) from None
        except BaseException:
            self.release()
            raise

    def is_mine(self) -> bool:
        """Tell whether this thread holds the lock."""
        return bool(self._threads._is_owned())  # type: ignore[attr-defined]  # what Condition asks it too

    def check_not_mine(self) -> None:
        """Raise StoreBusy where this thread holds the lock already."""
        if self.is_mine():
            raise StoreBusy("this thread is in the middle of a write", hint="call again when that has ended")

    def is_held_here(self) -> bool:
        """Tell whether any thread of this process holds the lock."""
        if self.is_mine() or not self._threads.acquire(blocking=False):
            return True
        self._threads.release()
        return False

    def release(self) -> None:
        """Give the lock back and let another writer run; nothing happens where this thread has it not."""
        if not self.is_mine():
            return
        is_wanted = False
        try:
            with self._lock:
                if self._fd >= 0 and not self._asked:
                    is_wanted = self._is_wanted()
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
                    if self._closed:
                        self._close_file()
        finally:
            self._threads.release()
        if is_wanted:
            # Where there are more writers than cores, the one just woken would else wait for a time slice.
            os.sched_yield()

    def count_commit(self, weight: int = 1) -> int:
        """Count a commit since the last checkpoint, over all processes; the lock must be held."""
        count = self.commits() + weight
        self.reset_commits(count)
        return count

    def commits(self) -> int:
        """Return the commits since the last checkpoint; the lock must be held."""
        return min(int.from_bytes(self.noted(at=0, size=_COUNTER_BYTES)), _MANY)

    def reset_commits(self, count: int = 0) -> None:
        """Begin the count again; the lock must be held."""
        self.note(count.to_bytes(_COUNTER_BYTES), at=0)

    def note(self, data: bytes, *, at: int) -> None:
        """Write a note behind the counter, `at` so many bytes; the lock must be held.

        As with what reads or syncs notes, raises StoreUnavailable where the disk fails.
        """
        try:
            os.pwrite(self._fd, data, at)
        except OSError as error:
            raise _unusable(error) from None

    def noted(self, *, at: int, size: int) -> bytes:
        """Return what is noted there, or what there is of it; the lock must be held."""
        try:
            return os.pread(self._fd, size, at)
        except OSError as error:
            raise _unusable(error) from None

    def sync_notes(self) -> None:
        """Make what is noted survive power loss; the lock must be held."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise _unusable(error) from None

    def after_fork(self) -> None:
        """Let go of the parent's descriptor: kept, it would keep the parent's lock alive after its death."""
        self._close_file()
        self._begin_anew()

    def close(self) -> None:
        """Close the file and end the helper; a thread that is still writing does it as it lets go."""
        with self._lock:
            self._closed = True
            self._state.notify_all()
        if not self.is_mine() and self._threads.acquire(blocking=False):
            self.release()

    def _close_file(self) -> None:
        fd, self._fd = self._fd, -1  # first: a fork meanwhile must not find a number that is free again
        if fd >= 0:
            os.close(fd)

    def _busy(self) -> StoreBusy:
        return StoreBusy(
            f"the write lock was not had within {self._timeout:g} s",
            hint="repeat the call; a stopped or very slow writer holds it",
        )

    def open(self) -> None:
        """Open the lock's file, made if it is missing: OSError where that cannot be."""
        if self._fd < 0:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = os.open(self._path, flags, 0o600)

    def _lock_threads(self) -> bool:
        if self._threads.acquire(blocking=False):
            return True
        self._waited_at = time.monotonic()
        return self._threads.acquire(timeout=self._timeout)

    def _note_wait(self) -> None:
        """Note for other processes that somebody begins to wait, by the clock that all of them share."""
        with suppress(OSError):
            os.pwrite(self._fd, _WAIT.pack(time.monotonic()), _WAIT_AT)

    def _is_wanted(self) -> bool:
        """Tell whether somebody began to wait who may be waiting still."""
        latest = self._waited_at
        with suppress(OSError, struct.error):
            latest = max(latest, *_WAIT.unpack(os.pread(self._fd, _WAIT.size, _WAIT_AT)))
        return 0 <= time.monotonic() - latest < self._timeout

    def _lock_file(self, deadline: float) -> bool:
        with self._lock:
            self.open()
            if not self._asked:
                try:
                    fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    self._note_wait()
                    self._ask_helper()
                else:
                    return True
            return self._wait_for_helper(deadline)

    def _ask_helper(self) -> None:
        if self._helper is None:
            helper = threading.Thread(target=self._help, name="clawguard-writer-queue", daemon=True)
            try:
                helper.start()
            except RuntimeError:
                raise StoreBusy("no thread could be started to wait for the lock") from None
            self._helper = helper
        self._asked = True
        self._state.notify_all()

    def _wait_for_helper(self, deadline: float) -> bool:
        self._waiting = True
        try:
            self._state.wait_for(lambda: self._granted, timeout=max(0.0, deadline - time.monotonic()))
            granted = self._granted
        except BaseException:
            if self._granted:
                fcntl.flock(self._fd, fcntl.LOCK_UN)
            raise
        finally:
            self._waiting = self._granted = False
        return granted

    def _help(self) -> None:
        """Wait for the file lock whenever asked; hand it over, or let go when nobody waits any more."""
        lock, state = self._lock, self._state
        while self._wait_to_be_asked(lock, state):
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            with lock:
                self._asked = False
                if self._waiting:
                    self._granted = True
                    state.notify_all()
                else:
                    fcntl.flock(self._fd, fcntl.LOCK_UN)
                if self._closed:
                    self._close_file()

    def _wait_to_be_asked(self, lock: threading.Lock, state: threading.Condition) -> bool:
        with lock:
            state.wait_for(lambda: self._asked or self._closed)
            return self._asked


def _unusable(error: OSError) -> StoreUnavailable:
    return StoreUnavailable(f"the lock file cannot be used ({error.strerror})")
