"""The names of events: the library's own are a closed set, the host adds to it."""

from __future__ import annotations

from typing import Any

import pytest

from clawguard import InvalidArgument
from clawguard.events.registry import EventTypes
from clawguard.events.types import EVENT_TYPES, RESERVED, signal_name


@pytest.fixture
def types() -> EventTypes:
    return EventTypes()


def test_a_name_a_family_and_everything_are_patterns(types: EventTypes) -> None:
    types.register("memory.added", None)
    assert types.names == (*EVENT_TYPES, "memory.added")
    for each in types.names:
        for pattern in (each, each.partition(".")[0] + ".*", "*", "*.*", each[:-1] + "?"):
            assert types.check_pattern(pattern) == pattern
        assert signal_name(each).isidentifier()


def test_no_two_types_share_a_signal_or_a_family_with_the_hosts() -> None:
    assert len({signal_name(each) for each in EVENT_TYPES}) == len(EVENT_TYPES)
    assert {each.partition(".")[0] for each in EVENT_TYPES} <= RESERVED


@pytest.mark.parametrize(
    "mistaken", ["session.revoked", "session.ended", "session.deleted", "session.delegated"]
)
def test_a_likely_mistake_is_answered_with_the_right_name(types: EventTypes, mistaken: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        types.check_pattern(mistaken)
    assert any(each in (refusal.value.hint or "") for each in EVENT_TYPES)


@pytest.mark.parametrize(
    "pattern", ["", "Session.*", "session", "memory.added", "[s]*", "*" * 65, None, 5, b"session.*"]
)
def test_a_pattern_that_never_hears_is_refused(types: EventTypes, pattern: Any) -> None:
    with pytest.raises(InvalidArgument, match="pattern"):
        types.check_pattern(pattern)
