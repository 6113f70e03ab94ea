"""Time and ids."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard.clock import SECOND, SystemClock, microseconds, new_id, to_datetime, to_microseconds
from clawguard.errors import InvalidArgument

NOW = 1_790_000_000_123_456
LATEST = to_microseconds(datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC))


def test_the_system_clock_tells_the_time() -> None:
    clock = SystemClock()
    assert abs(clock.now() - time.time_ns() // 1_000) < 5 * SECOND
    first = clock.elapsed()
    assert clock.elapsed() >= first


def test_elapsed_without_a_boot_time_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert SystemClock().elapsed() <= SystemClock().elapsed()


@given(st.integers(0, LATEST))
def test_an_id_is_a_uuid_of_version_7(at: int) -> None:
    made = new_id(at)
    parsed = UUID(made)
    assert str(parsed) == made
    assert (parsed.version, parsed.variant) == (7, "specified in RFC 4122")
    assert parsed.int >> 80 == at // 1_000


@given(st.lists(st.integers(0, LATEST), min_size=2, unique=True))
def test_ids_sort_as_their_instants_do(instants: list[int]) -> None:
    made = [new_id(at) for at in instants]
    assert [made[instants.index(at)] for at in sorted(instants)] == sorted(made)


def test_ids_of_one_instant_differ() -> None:
    assert len({new_id(NOW) for _ in range(10_000)}) == 10_000


@given(st.integers(0, LATEST))
def test_instants_come_back(at: int) -> None:
    assert to_microseconds(to_datetime(at)) == at
    assert to_datetime(at).tzinfo is UTC


def test_an_instant_of_another_zone_is_the_same() -> None:
    there = datetime(2026, 9, 21, 16, 0, tzinfo=timezone(timedelta(hours=2)))
    assert to_microseconds(there) == to_microseconds(datetime(2026, 9, 21, 14, 0, tzinfo=UTC))


@pytest.mark.parametrize(
    "at",
    [
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=12))),
    ],
)
def test_an_instant_that_no_datetime_in_utc_is(at: datetime) -> None:
    """Stored, it could be read by nobody."""
    with pytest.raises(InvalidArgument, match="years 1 to 9999"):
        to_microseconds(at)


@pytest.mark.parametrize("at", [datetime(2026, 9, 21), 1_790_000_000, "2026-09-21", None])  # noqa: DTZ001
def test_an_instant_without_a_zone(at: Any) -> None:
    with pytest.raises(InvalidArgument, match="since: must be a datetime with a time zone"):
        to_microseconds(at, argument="since")


@pytest.mark.parametrize(
    ("duration", "ticks"),
    [
        (1, SECOND),
        (0.5, SECOND // 2),
        (0.1 + 0.2, 300_000),
        (1e-6, 1),
        (timedelta(minutes=15), 900 * SECOND),
        (timedelta(microseconds=1), 1),
        (9 * 366 * 86_400, 9 * 366 * 86_400 * SECOND),
    ],
)
def test_durations(duration: float | timedelta, ticks: int) -> None:
    assert microseconds(duration, argument="ttl") == ticks


@pytest.mark.parametrize(
    "duration",
    [
        0,
        -1,
        0.0,
        1e-7,
        -0.5,
        timedelta(0),
        timedelta(seconds=-1),
        timedelta.max,
        float("nan"),
        float("inf"),
        float("-inf"),
        1e308,
        10**400,
        -(10**400),
        11 * 366 * 86_400,
        True,
        "15m",
        "900",
        None,
        [],
        1j,
    ],
)
def test_durations_that_are_none(duration: Any) -> None:
    with pytest.raises(InvalidArgument, match=re.compile("^ttl: ")) as caught:
        microseconds(duration, argument="ttl")
    assert caught.value.argument == "ttl"


def test_the_least_duration() -> None:
    assert microseconds(0, argument="sweep", least=0) == 0
    with pytest.raises(InvalidArgument, match="more than 0 seconds"):
        microseconds(0, argument="ttl")
    with pytest.raises(InvalidArgument, match="negative"):
        microseconds(-1, argument="older_than", least=0)
