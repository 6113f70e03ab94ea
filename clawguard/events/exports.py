"""Exports: checkpoints that are made by themselves and handed to another trust domain."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from clawguard.checks import is_integer
from clawguard.clock import Duration, microseconds
from clawguard.errors import InvalidArgument
from clawguard.events.checkpoints import Checkpoint, read_checkpoint
from clawguard.guard import NoteKey
from clawguard.private_files import replace_private

__all__ = ["Export", "Target", "last_exported"]

Target = str | os.PathLike[str] | Callable[[Checkpoint], object]

_LONGEST_NOTE = 262_144


class Export(NamedTuple):
    """Hold where checkpoints go, and when the next one is due: `size` and `at` are of the last."""

    hand_over: Callable[[Checkpoint], object]
    every: int
    rest: int
    size: int
    at: int

    @classmethod
    def of(cls, to: Target, *, every: object, seconds: Duration, at: int) -> Export:
        """Check what was asked for; raise InvalidArgument for what will not do."""
        if not is_integer(every, least=1):
            raise InvalidArgument("every", "must be a number of events, at least 1")
        rest = microseconds(seconds, argument="seconds")
        return cls(_receiver_of(to), every, rest, -1, at)

    def is_due(self, size: int, *, at: int) -> bool:
        """Tell whether a log of `size` entries is to be signed at a moment of the clock's `elapsed`."""
        if self.size < 0:
            return True
        return size - self.size >= self.every or (size > self.size and at - self.at >= self.rest)


def last_exported(to: Target, key: NoteKey) -> Checkpoint | None:
    """Return the checkpoint that a file holds from before, if `to` is one.

    Raises InvalidArgument where it holds anything else: nothing of somebody else's is written over.
    """
    if callable(to):
        return None
    try:
        with Path(to).open("rb") as file:
            text = file.read(_LONGEST_NOTE).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidArgument("to", f"cannot be read ({error.strerror})") from None
    return read_checkpoint(text, key, argument="to")


def _receiver_of(to: object) -> Callable[[Checkpoint], object]:
    if callable(to):
        return to
    if not isinstance(to, str | os.PathLike) or not os.fspath(to) or b"\0" in os.fsencode(to):
        raise InvalidArgument("to", "must be a path or a callable that takes a Checkpoint")
    path = Path(os.fsdecode(to)).absolute()
    if not path.parent.is_dir():
        raise InvalidArgument("to", "names a folder that does not exist")

    def put(checkpoint: Checkpoint) -> None:
        replace_private(path, checkpoint.text.encode(), name="checkpoint")

    return put
