"""What relays write: each format whole, and nothing else is taken."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from clawguard import Event, InvalidArgument, SessionManager
from clawguard.relays.base import check_timeout, without_library
from clawguard.relays.encoding import Encoder, Format, encoder
from tests.openers import open_manager

FORMATS: tuple[Format, ...] = ("cloudevents", "ocsf", "clawguard")


@pytest.fixture(scope="module")
def events() -> list[Event]:
    with open_manager() as manager:
        planner = manager.create(
            "planner \u00e9\U0001f600", scopes="docs:read", metadata={"n": 2**53, "t": [None, 1.5]}
        )
        manager.revoke(planner, reason='leaked "here"')
        return list(manager.events.read())


def expected(event: Event, format: Format, source: str) -> dict[str, Any]:
    if format == "cloudevents":
        return event.to_cloudevent(source=source)
    return event.to_ocsf(source=source) if format == "ocsf" else event.to_dict()


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_written_is_the_whole_event_as_compact_json(format: Format, events: list[Event]) -> None:
    made = encoder(format, source="urn:clawguard:mine")
    for event in events:
        text = made.encode(event)
        assert json.loads(text) == json.loads(json.dumps(expected(event, format, "urn:clawguard:mine")))
        assert b'": ' not in text
        assert b"\n" not in text


def test_the_media_type_says_what_is_written() -> None:
    assert [encoder(each).content_type for each in FORMATS] == [
        "application/cloudevents+json",
        "application/json",
        "application/json",
    ]


def test_a_source_is_what_the_host_says_it_is(events: list[Event]) -> None:
    assert json.loads(encoder("cloudevents").encode(events[0]))["source"] == "urn:clawguard"
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        made = encoder("cloudevents", source=manager.issuer)
        assert json.loads(made.encode(events[0]))["source"] == manager.issuer


@pytest.mark.parametrize("format", ["cef", "CloudEvents", "", None, 1, ["ocsf"]])
def test_a_format_that_there_is_not_is_refused(format: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^format: must be one of 'cloudevents', 'ocsf', 'clawguard'$"):
        encoder(format)


@pytest.mark.parametrize("source", ["", "two\nlines", 7, "x" * 256])
def test_a_source_that_is_no_text_is_refused(source: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^source: "):
        encoder("ocsf", source=source)


def test_an_encoder_is_a_value() -> None:
    assert encoder("ocsf") == Encoder("ocsf", "urn:clawguard", "application/json")


@pytest.mark.parametrize(("given", "seconds"), [(5, 5.0), (0.25, 0.25), (timedelta(seconds=10), 10.0)])
def test_a_timeout_is_seconds_well_below_a_lease(given: Any, seconds: float) -> None:
    assert check_timeout(given) == seconds


@pytest.mark.parametrize("given", [0, -1, 10.5, float("nan"), "5", True, None])
def test_a_timeout_that_would_not_end_a_call_in_time_is_refused(given: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^timeout: "):
        check_timeout(given)


def test_a_missing_library_says_which_extra_brings_it() -> None:
    error = without_library("nats", extra="nats")
    assert str(error) == "this relay needs the library nats: pip install 'clawguard-sessions[nats]'"
    assert error.name == "nats"
