"""Watching: an async block is cancelled when what it stands on is gone, and its end says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Watch"]

_LOOK_EVERY = 0.25


class Watch:
    """Look again and again whether the block of this task may go on; `look` takes microseconds, or raises.

    One that `waits`, for a server's answer, looks in a thread.
    """

    def __init__(self, look: Callable[[], object], *, waits: bool = False) -> None:
        self.refusal: Exception | None = None
        self._look = look
        self._waits = waits
        self._stopped = False
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._look_later()

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._watcher.cancel()

    def settle(self, kind: type[BaseException] | None) -> None:
        """Raise the refusal, where it is what ended the block or where nothing else did."""
        if self.refusal is not None and self._task is not None:
            mine = self._task.uncancel() <= self._cancelling
            if kind is None or (issubclass(kind, asyncio.CancelledError) and mine):
                raise self.refusal from None

    def _look_later(self) -> None:
        """Set a timer, which costs a block that is soon over less than a task."""
        self._watcher = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._run)

    def _run(self) -> None:
        if self._waits:
            looking = asyncio.get_running_loop().run_in_executor(None, self._refused)
            looking.add_done_callback(lambda done: self._act(done.result()))
        else:
            self._act(self._refused())

    def _refused(self) -> Exception | None:
        """Look; whatever keeps us from seeing refuses too."""
        try:
            self._look()
        except Exception as refusal:
            return refusal
        return None

    def _act(self, refusal: Exception | None) -> None:
        if self._stopped:
            return
        self.refusal = refusal
        if refusal is None:
            self._look_later()
        elif self._task is not None:
            self._task.cancel()
