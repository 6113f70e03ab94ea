"""What is typed is read as meant, or refused; nothing else happens, whatever the text."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import InvalidArgument, ScopeSet
from clawguard.cli.values import instant_of, object_of, scopes_of, seconds_of, span
from clawguard.clock import LONGEST, SECOND, to_datetime

NOW = 1_790_000_000 * SECOND
UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
SEGMENT = st.text("abz09._-", min_size=1, max_size=6)


@given(st.dictionaries(st.sampled_from(sorted(UNITS)), st.integers(0, 90), min_size=1))
def test_a_duration_is_the_sum_of_its_parts(parts: dict[str, int]) -> None:
    text = "".join(f"{parts[unit]}{unit}" for unit in UNITS if unit in parts)
    assert seconds_of(text, argument="x") == sum(count * UNITS[unit] for unit, count in parts.items())


@given(st.decimals(0, 10**6, places=3, allow_nan=False))
def test_a_number_alone_is_seconds(number: object) -> None:
    assert seconds_of(str(number), argument="x") == float(str(number))


@given(st.text(max_size=80))
def test_any_text_is_a_duration_within_bounds_or_refused(text: str) -> None:
    with suppress(InvalidArgument):
        assert 0 <= seconds_of(text, argument="--ttl") * SECOND <= LONGEST


NO_DURATIONS = (
    "",
    " ",
    "m",
    "-1",
    "1m1h",
    "1h1h",
    "1 h",
    "1e3",
    "nan",
    "inf",
    "0x1",
    "1.",
    ".5",
    "5M",
    "1m\n2m",
)


@pytest.mark.parametrize("text", [*NO_DURATIONS, "\u0663m", "9" * 60])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        seconds_of(text, argument="--ttl")


@given(st.datetimes(timezones=st.just(UTC)))
def test_an_instant_is_read_back(at: datetime) -> None:
    assert instant_of(at.isoformat(), argument="x", now=NOW) == at


@given(st.integers(0, 10**8))
def test_a_duration_as_an_instant_is_so_long_ago(seconds: int) -> None:
    assert instant_of(f"{seconds}s", argument="x", now=NOW) == to_datetime(NOW) - timedelta(seconds=seconds)


@given(st.text(max_size=80))
def test_any_text_is_an_aware_instant_or_refused(text: str) -> None:
    with suppress(InvalidArgument):
        assert instant_of(text, argument="--since", now=NOW).utcoffset() is not None


def test_an_instant_needs_a_time_zone() -> None:
    with pytest.raises(InvalidArgument, match="time zone"):
        instant_of("2026-11-21T10:00", argument="--since", now=NOW)
    assert instant_of("2026-11-21T10:00Z", argument="--since", now=NOW).hour == 10


@given(st.lists(st.lists(SEGMENT, min_size=1, max_size=3).map(":".join), max_size=8), st.randoms())
def test_scopes_may_stand_in_one_text_or_in_several(scopes: list[str], shuffled: object) -> None:
    wanted = ScopeSet.of(scopes)
    assert scopes_of([" ".join(scopes)]) == scopes_of(scopes) == wanted
    assert scopes_of([" ".join(scopes[:3]), "", *scopes[3:]]) == wanted


@pytest.mark.parametrize("text", ["Docs:Read", "a:", "*:a", "a\tb", "a\nb", "docs:réad", "a\u2003b"])
def test_a_malformed_scope_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        scopes_of([text])
    assert refused.value.argument == "--scope"


@pytest.mark.parametrize("text", ["", "[]", "1", "{", "null", "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        object_of(text, argument="--metadata")


def test_an_object_is_read() -> None:
    assert object_of('{"ticket": 17}', argument="--metadata") == {"ticket": 17}
    assert object_of(None, argument="--metadata") is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (0.44, "0.4s"),
        (59.9, "59s"),
        (60, "1m"),
        (3_661, "1h 1m"),
        (90_061, "1d 1h"),
        (-5, "-5s"),
    ],
)
def test_a_span_is_told_by_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text
