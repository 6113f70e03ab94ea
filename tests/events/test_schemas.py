"""The published schemas: made of one description, and every event of the log fits its own."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from clawguard import Event
from clawguard.events.schemas import SHAPES, schema_of
from clawguard.events.types import EVENT_TYPES
from tests.events.schema_files import FOLDER, files


def published(event_type: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{event_type}.json").read_text(encoding="utf-8"))


@cache
def validator(event_type: str) -> Draft202012Validator:
    """Return the validator of a schema as it was published."""
    return Draft202012Validator(published(event_type))


def faults(record: dict[str, Any]) -> list[str]:
    return [each.message for each in validator(record["type"]).iter_errors(record)]


def one_of(events: list[Event], event_type: str) -> dict[str, Any]:
    record = next(each for each in events if each.type == event_type).to_dict()
    return record | {"data": dict(record["data"])}


def test_what_is_published_is_what_the_code_says() -> None:
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.iterdir()}
    assert found == files(), "run `make schemas`"


def test_every_type_has_a_schema_that_is_one() -> None:
    assert tuple(SHAPES) == EVENT_TYPES
    for event_type in EVENT_TYPES:
        Draft202012Validator.check_schema(schema_of(event_type))


def test_every_event_of_the_log_fits_its_schema(events: list[Event]) -> None:
    assert {each.type for each in events} == set(EVENT_TYPES)
    for event in events:
        assert not faults(json.loads(json.dumps(event.to_dict()))), event


def test_a_cloudevent_names_the_schema_of_its_data(events: list[Event]) -> None:
    for event in events:
        sent = event.to_cloudevent()
        assert sent["dataschema"] == published(event.type)["$id"]
        assert not faults(sent["data"])


def test_every_member_that_a_schema_names_occurred(events: list[Event]) -> None:
    for event_type, shapes in SHAPES.items():
        alike = [each for each in events if each.type == event_type]
        members = {name for shape in shapes for name in (*shape.data, *shape.perhaps_data)}
        assert members == {name for each in alike for name in each.data}
        for name in {name for shape in shapes for name in (*shape.always, *shape.perhaps)}:
            assert any(getattr(each, name) is not None for each in alike), f"{event_type}: {name}"


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_what_is_more_or_less_or_other_does_not_fit(event_type: str, events: list[Event]) -> None:
    record = one_of(events, event_type)
    assert not faults(record)
    assert faults(record | {"seq": 0})
    assert faults(record | {"hash": record["hash"].upper() + "g"})
    assert faults(record | {"at": "2026-09-21 14:13:20"})
    assert faults(record | {"cause": "bored"})
    assert faults(record | {"data": record["data"] | {"more": 1}})
    assert faults({name: value for name, value in record.items() if name != "hash"})
    for name in record["data"]:
        assert faults(record | {"data": record["data"] | {name: None}})
    for shape in SHAPES[event_type]:
        for name in shape.data.keys() & record["data"].keys():
            left = {key: value for key, value in record["data"].items() if key != name}
            assert faults(record | {"data": left}), name
