"""Which `with` block a transaction belongs to, and whether the function with it is still running.

Known by its frame's id: to hold the frame would keep the transaction alive itself.
"""

from __future__ import annotations

import sys
from types import FrameType

__all__ = ["entered_block", "is_running"]


def entered_block() -> int:
    """Return which block is being entered; called by its `__enter__`, through which others may stand."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name == "__enter__":
        frame = frame.f_back
    return id(frame)


def is_running(block: int) -> bool:
    """Tell whether the function with that block is among those that this thread runs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and id(frame) != block:
        frame = frame.f_back
    return frame is not None
