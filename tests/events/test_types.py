"""The names of events: a closed set."""

from __future__ import annotations

from typing import Any

import pytest

from clawguard import InvalidArgument
from clawguard.events.types import EVENT_TYPES, matching_types, signal_name


def test_every_type_fits_its_own_name_and_its_family() -> None:
    for each in EVENT_TYPES:
        assert matching_types(each) == {each}
        assert each in matching_types(each.partition(".")[0] + ".*")
        assert each in matching_types("*")
        assert signal_name(each).isidentifier()


@pytest.mark.parametrize(
    "mistaken", ["session.revoked", "session.ended", "session.deleted", "session.delegated"]
)
def test_a_likely_mistake_is_answered_with_the_right_name(mistaken: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        matching_types(mistaken)
    assert any(each in (refusal.value.hint or "") for each in EVENT_TYPES)


@pytest.mark.parametrize("pattern", ["", "Session.*", "session", "memory.added", None, 5, b"session.*"])
def test_a_pattern_that_never_hears_is_refused(pattern: Any) -> None:
    with pytest.raises(InvalidArgument, match="pattern"):
        matching_types(pattern)
