"""What relays have in common: how long a call may take, which extra a relay needs."""

from __future__ import annotations

from clawguard.clock import SECOND, Duration, microseconds
from clawguard.errors import InvalidArgument

__all__ = ["TIMEOUT", "check_timeout", "without_library"]

TIMEOUT = 5.0  # seconds
_LONGEST_TIMEOUT = 10  # seconds; a subscriber's lease is 15, and over a longer call another takes over


def check_timeout(timeout: Duration) -> float:
    """Return how long a call may take, in seconds: more than 0, at most 10; else raise InvalidArgument."""
    ticks = microseconds(timeout, argument="timeout")
    if ticks > _LONGEST_TIMEOUT * SECOND:
        raise InvalidArgument(
            "timeout",
            f"must be at most {_LONGEST_TIMEOUT} seconds",
            hint="a durable subscriber is taken over when a call takes longer than its lease",
        )
    return ticks / SECOND


def without_library(library: str, *, extra: str) -> ImportError:
    """Return what to raise where a relay's library is missing."""
    return ImportError(
        f"this relay needs the library {library}: pip install 'clawguard-sessions[{extra}]'", name=library
    )
