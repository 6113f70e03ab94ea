"""What must not be shared with a forked child: each owner registers once and is called around every fork."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

__all__ = ["ForkAware", "call_around_fork"]

_logger = logging.getLogger("clawguard.store")


class ForkAware(Protocol):
    """Own something that a forked child must not share with its parent."""

    def after_fork(self) -> None:
        """Make it anew; called in the child, before any other code of it runs."""


class _Registry:
    """Hold the owners weakly, in order; `os.register_at_fork` can never be undone, so it is called once."""

    def __init__(self) -> None:
        self._owners: list[weakref.ref[ForkAware]] = []
        self._lock = threading.Lock()
        self._forking = threading.Lock()
        self._registered = False

    def add(self, owner: ForkAware) -> None:
        with self._lock:
            if not self._registered and hasattr(os, "register_at_fork"):
                self._registered = True
                os.register_at_fork(
                    before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child
                )
            self._owners = [each for each in self._owners if each() is not None] + [weakref.ref(owner)]

    def _before(self) -> None:
        self._forking.acquire()  # forks of several threads come one after the other
        self._call("before_fork")

    def _in_parent(self) -> None:
        try:
            self._call("after_fork_in_parent")
        finally:
            self._forking.release()

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        self._forking = threading.Lock()
        self._call("after_fork")

    def _call(self, name: str) -> None:
        for reference in self._owners:
            action: Callable[[], None] | None = getattr(reference(), name, None)
            if action is None:
                continue
            try:
                action()
            except Exception:  # the next owner's locks must be made anew all the same
                _logger.exception("%s of %s failed", name, type(reference()).__name__)


_registry = _Registry()


def call_around_fork(owner: ForkAware) -> None:
    """Have the owner called around every fork from now on, as long as it lives.

    One that must be at rest meanwhile also has `before_fork`, called in the parent, which may wait for other
    threads there, and `after_fork_in_parent`, called even when the fork failed.
    """
    _registry.add(owner)
