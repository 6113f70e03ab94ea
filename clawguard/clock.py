"""Time and ids: both injectable, so that every rule can be tested at any instant."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from clawguard.errors import InvalidArgument

__all__ = [
    "LONGEST",
    "SECOND",
    "Clock",
    "Duration",
    "IdFactory",
    "SystemClock",
    "microseconds",
    "new_id",
    "to_datetime",
    "to_microseconds",
]

SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_FIRST = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _TICK
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _TICK
LONGEST = 3_653 * 86_400 * SECOND  # ten years: what asks for more is a slip

Duration = float | timedelta
IdFactory = Callable[[int], str]


class Clock(Protocol):
    """Tell the time twice over: as the world has it, and as it passes."""

    def now(self) -> int:
        """Return the wall clock, in microseconds UTC since 1970."""

    def elapsed(self) -> int:
        """Return microseconds that never run backwards and go on while the machine sleeps."""


class SystemClock:
    """Read the machine's own clocks."""

    def now(self) -> int:
        """Return the wall clock, in microseconds UTC since 1970."""
        return time.time_ns() // 1_000

    def elapsed(self) -> int:
        """Return microseconds of the boot-time clock where there is one, else of the monotonic clock."""
        boottime = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
        return time.clock_gettime_ns(boottime) // 1_000


def new_id(at: int) -> str:
    """Return a UUIDv7 for the instant `at` (microseconds).

    The twelve bits after the milliseconds hold the microsecond within it (RFC 9562, 6.2, method 3), so ids
    sort as their rows' `created_at` do and the primary key is the listing order.
    """
    milliseconds, rest = divmod(at, 1_000)
    tail = int.from_bytes(os.urandom(8)) >> 2 | 0x8000000000000000
    text = f"{milliseconds:012x}7{rest:03x}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def to_datetime(at: int) -> datetime:
    """Return microseconds UTC as an aware datetime."""
    return _EPOCH + timedelta(microseconds=at)


def to_microseconds(at: datetime, *, argument: str = "at") -> int:
    """Return an aware datetime as microseconds UTC; raise InvalidArgument for one without a place there."""
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise InvalidArgument(argument, "must be a datetime with a time zone", hint="use datetime.now(UTC)")
    ticks = (at - _EPOCH) // _TICK
    if not _FIRST <= ticks <= _LAST:
        raise InvalidArgument(argument, "must lie in the years 1 to 9999 in UTC")
    return ticks


def microseconds(duration: object, *, argument: str, least: int = 1) -> int:
    """Return a duration given in seconds (int, float) or as a timedelta, in microseconds.

    Raises InvalidArgument for another type, NaN, less than `least` microseconds or more than ten years.
    """
    if isinstance(duration, timedelta):
        ticks = duration // _TICK
    elif isinstance(duration, int | float) and not isinstance(duration, bool):
        if not -LONGEST < duration * SECOND < LONGEST:  # also false for NaN
            raise InvalidArgument(argument, "must be a finite number of seconds, at most ten years")
        ticks = round(duration * SECOND)
    else:
        raise InvalidArgument(argument, "must be seconds (int or float) or a timedelta")
    if ticks < least:
        raise InvalidArgument(argument, "must be more than 0 seconds" if least else "must not be negative")
    if ticks > LONGEST:
        raise InvalidArgument(argument, "must be at most ten years")
    return ticks
