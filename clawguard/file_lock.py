"""A file that one thread of one process holds at a time: others wait for it, up to a deadline."""

from __future__ import annotations

import fcntl
import io
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clawguard.errors import ConfigError, StoreBusy
from clawguard.forks import call_around_fork
from clawguard.private_files import check_private

__all__ = ["FileLock"]

_LOOK_AGAIN = 0.01  # seconds


class FileLock:
    """Let one thread of one process in at a time; the kernel lets go when its holder dies.

    Each holder opens the file for itself, so that threads keep each other out as processes do.
    """

    def __init__(self, path: Path, *, timeout: float) -> None:
        self._path = path
        self._timeout = timeout
        self._begin_anew()
        call_around_fork(self)

    def _begin_anew(self) -> None:
        self._opening = threading.Lock()
        self._files: weakref.WeakSet[io.FileIO] = weakref.WeakSet()
        self._is_forking = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock for a block; raise StoreBusy when it is not had within the timeout (seconds)."""
        with self._open() as file:
            check_private(self._path, os.fstat(file.fileno()), name="lock file")
            self._wait_for(file)
            try:
                yield
            finally:
                if not file.closed:  # in a child forked within the block
                    fcntl.flock(file, fcntl.LOCK_UN)

    def before_fork(self) -> None:
        """Let no file be opened that the child would not know of."""
        self._opening.acquire()
        self._is_forking = True

    def after_fork_in_parent(self) -> None:
        """Let files be opened again."""
        if self._is_forking:
            self._is_forking = False
            self._opening.release()

    def after_fork(self) -> None:
        """Close what the parent has open: kept, it would keep the parent's lock alive after its death."""
        for file in list(self._files):
            file.close()
        self._begin_anew()

    def _open(self) -> io.FileIO:
        try:
            with self._opening:
                file = io.FileIO(self._path, "r+", opener=_open)
                self._files.add(file)
                return file
        except OSError as error:
            raise self._unusable(error) from None

    def _wait_for(self, file: io.FileIO) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise StoreBusy(
                        f"the lock file {self._path} was not had within {self._timeout:g} s",
                        hint="repeat the call; its holder is redeeming, or was stopped",
                    ) from None
            except OSError as error:
                raise self._unusable(error) from None
            time.sleep(_LOOK_AGAIN)

    def _unusable(self, error: OSError) -> ConfigError:
        return ConfigError(
            f"the lock file {self._path} cannot be used: {error.strerror}",
            hint="it must be a regular file, no symlink, in a local folder where you may write",
        )


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
