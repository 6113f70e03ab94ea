"""What is typed, read: durations, instants, scopes, JSON objects. Pure functions.

The library itself takes numbers and datetimes; `15m` is for people, here and in `clawguard.toml`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from clawguard.clock import LONGEST, SECOND, to_datetime
from clawguard.errors import InvalidArgument
from clawguard.scopes import ScopeSet, parse_scopes

__all__ = ["instant_of", "object_of", "scopes_of", "seconds_of", "span"]

_UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
_DURATION = re.compile("".join(f"(?:({_NUMBER}){unit})?" for unit in _UNITS), re.ASCII)
_PLAIN = re.compile(_NUMBER, re.ASCII)
_LONGEST_TEXT = 64
_HOW = "write seconds, or numbers with units from large to small: 90, 15m, 1h30m, 7d (w d h m s)"


def seconds_of(text: str, *, argument: str) -> float:
    """Return a duration such as `90`, `15m` or `1h30m` in seconds; raise InvalidArgument for another text."""
    short = text.strip()[: _LONGEST_TEXT + 1]
    if _PLAIN.fullmatch(short):
        seconds = float(short)
    else:
        found = _DURATION.fullmatch(short)
        if found is None or not short:
            raise InvalidArgument(argument, "is no duration", hint=_HOW)
        seconds = sum(
            float(number) * unit
            for number, unit in zip(found.groups(), _UNITS.values(), strict=True)
            if number
        )
    if seconds * SECOND > LONGEST:
        raise InvalidArgument(argument, "must be at most ten years")
    return seconds


def instant_of(text: str, *, argument: str, now: int) -> datetime:
    """Return an instant: ISO 8601 with a time zone, or a duration, which means so long ago.

    `now` is in microseconds. Raises InvalidArgument.
    """
    try:
        return to_datetime(now) - timedelta(seconds=seconds_of(text, argument=argument))
    except InvalidArgument:
        pass
    try:
        at = datetime.fromisoformat(text.strip()[:_LONGEST_TEXT])
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise InvalidArgument(
            argument,
            "is neither an instant with a time zone nor a duration",
            hint="write 2026-11-21T10:00Z, or 2h for two hours ago",
        )
    return at


def scopes_of(given: Iterable[str] | None, *, argument: str = "--scope") -> ScopeSet:
    """Return scopes that stood in one text or in several; raise InvalidArgument for a malformed one."""
    return parse_scopes(" ".join(given or ()), argument=argument)


def object_of(text: str | None, *, argument: str) -> dict[str, Any] | None:
    """Return the JSON object of a text; raise InvalidArgument for anything else."""
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidArgument(argument, "is no JSON object", hint="""write '{"ticket": 17}'""")
    return value


def span(seconds: float) -> str:
    """Return a duration as people say it, its two largest units: `2d 3h`, `14m 59s`, `0.4s`."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < 1:
        return f"{seconds:.1f}s"
    parts, rest = [], int(seconds)
    for unit, size in _UNITS.items():
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
