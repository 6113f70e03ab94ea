"""Watching: an async block is cancelled when what it stands on is gone, and its end says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Watch"]

_LOOK_EVERY = 0.25


class Watch:
    """Look again and again whether the block of this task may go on; `look` takes microseconds, or raises."""

    def __init__(self, look: Callable[[], object]) -> None:
        self.refusal: Exception | None = None
        self._look = look
        self._task = asyncio.current_task()
        self._cancelling = self._task.cancelling() if self._task else 0
        self._look_later()

    def stop(self) -> None:
        """Look no more."""
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
        """Look; whatever keeps us from seeing refuses too."""
        try:
            self._look()
        except Exception as refusal:
            self.refusal = refusal
            if self._task is not None:
                self._task.cancel()
        else:
            self._look_later()
