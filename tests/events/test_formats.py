"""CloudEvents and OCSF, each read by others' code: nothing is lost, nothing is made up."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from cloudevents.core.formats.json import JSONFormat
from jsonschema import Draft202012Validator
from ocsf_json_schema import (  # type: ignore[import-untyped]
    OcsfJsonSchemaEmbedded,
    get_ocsf_schema,
)

from clawguard import Event
from clawguard.events.formats.facts import product_version
from clawguard.events.types import EVENT_TYPES
from clawguard.models import CAUSES
from tests.events.scene import KINDS

SOURCE = "urn:clawguard:0190d2a0-1111-7000-8000-000000000001"
OCSF_CLASSES = {3002: "authentication", 3003: "authorize_session", 3004: "entity_management"}
ACTIVITIES = {
    "session.created": {300201, 300204},
    "session.refreshed": {300205},
    "session.updated": {300403},
    "session.source_changed": {300299},
    "session.expired": {300202},
    "session.purged": {300404},
    "guard.denied": {300399},
    "guard.granted": {300301},
    "policy.changed": {300403},
    "agent.disabled": {300409},
    "agent.enabled": {300408},
    "token.rejected": {300299},
    "token.reuse_detected": {300205},
    "key.rotated": {300403},
    "subscriber.failed": {300499},
    "subscriber.parked": {300499},
    "log.archived": {300499},
    "history.cleared": {300404},
    "history.deleted": {300404},
    "history.imported": {300401},
    "history.key_rotated": {300403},
    "history.encrypted": {300403},
}


def of_the_host(events: list[Event]) -> Event:
    """Return an event of a type that is none of ours."""
    data = {"key": "käse", "size": 3, "tags": ["a", "b"]}
    return replace(events[0], type="memory.added", reason=None, data=data)


def of_type(events: list[Event], event_type: str) -> Event:
    return next(each for each in events if each.type == event_type)


@cache
def official() -> OcsfJsonSchemaEmbedded:
    return OcsfJsonSchemaEmbedded(get_ocsf_schema("1.8.0"))


@cache
def ocsf_class(class_uid: int) -> Draft202012Validator:
    return Draft202012Validator(official().get_class_schema(OCSF_CLASSES[class_uid]))


@cache
def captions(class_uid: int) -> dict[str, dict[str, str]]:
    """Return what a class calls each value of its closed sets, by the name of their sibling."""
    attributes = official().schema.schema["classes"][OCSF_CLASSES[class_uid]]["attributes"]
    return {
        attribute["sibling"]: {value: each["caption"] for value, each in attribute["enum"].items()}
        for attribute in attributes.values()
        if "enum" in attribute and "sibling" in attribute
    }


def test_the_scene_has_every_type_and_every_cause(events: list[Event]) -> None:
    assert {each.type for each in events} == set(EVENT_TYPES) == set(ACTIVITIES)
    assert {each.cause for each in events} - {None} == set(CAUSES)
    assert sum(each.reason == "many kinds" for each in events) == 4
    assert sum(each.type == "token.rejected" for each in events) == KINDS + 1


def test_a_cloudevent_is_parsed_without_loss(events: list[Event]) -> None:
    for event in [*events, of_the_host(events)]:
        sent = event.to_cloudevent(source=SOURCE)
        read = JSONFormat().read(None, json.dumps(sent))
        assert read.get_attributes() | {"data": read.get_data()} == sent | {"time": event.at}
        fields = dict(sent["data"])
        assert Event(**fields | {"at": datetime.fromisoformat(fields["at"])}) == event


def test_a_cloudevent_says_what_and_where_from(events: list[Event]) -> None:
    sent = [each.to_cloudevent(source=SOURCE) for each in events]
    assert {each["type"] for each in sent} == {f"dev.clawguard.{each}" for each in EVENT_TYPES}
    assert {(each["source"], each["specversion"]) for each in sent} == {(SOURCE, "1.0")}
    assert [each.get("subject") for each in sent] == [each.session_id for each in events]
    assert len({each["id"] for each in sent}) == len(sent)
    assert [each["sequence"] for each in sent] == sorted(each["sequence"] for each in sent)
    assert events[0].to_cloudevent()["source"] == "urn:clawguard"


def test_a_type_of_the_host_keeps_its_name_and_has_no_schema_of_ours(events: list[Event]) -> None:
    sent = of_the_host(events).to_cloudevent()
    assert sent["type"] == "memory.added"
    assert "dataschema" not in sent


def test_ocsf_is_what_the_official_schema_asks_for(events: list[Event]) -> None:
    for event in [*events, of_the_host(events)]:
        record = json.loads(json.dumps(event.to_ocsf(source=SOURCE)))
        faults = [each.message for each in ocsf_class(record["class_uid"]).iter_errors(record)]
        assert not faults, f"{event.type}: {faults}"
        assert record["type_uid"] == record["class_uid"] * 100 + record["activity_id"]


def test_ocsf_names_are_the_captions_of_their_numbers(events: list[Event]) -> None:
    for event in events:
        record = event.to_ocsf()
        of_class = captions(record["class_uid"])
        numbers = {"activity_name": "activity_id", "severity": "severity_id", "status": "status_id"}
        for name, number in numbers.items():
            if record[number] != 99:
                assert record[name] == of_class[name][str(record[number])]
    users = official().schema.schema["objects"]["user"]["attributes"]["type_id"]["enum"]
    for user in (each.to_ocsf()["user"] for each in events if "user" in each.to_ocsf()):
        assert user["type"] == users[str(user["type_id"])]["caption"]


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_each_type_has_its_ocsf_activity(event_type: str, events: list[Event]) -> None:
    found = {each.to_ocsf()["type_uid"] for each in events if each.type == event_type}
    assert found == ACTIVITIES[event_type]


def test_ocsf_says_who_and_why(events: list[Event]) -> None:
    ended = next(each for each in events if each.reason == "leaked" and each.cause == "revoked")
    record = ended.to_ocsf(source=SOURCE)
    assert record["session"] == {"uid": ended.session_id, "issuer": SOURCE, "expiration_reason": "revoked"}
    assert record["user"] == {"uid": "user:ana", "name": "user:ana", "type_id": 1, "type": "User"}
    assert record["actor"] == {"user": {"name": "user:ana"}, "app_uid": "planner"}
    assert (record["status_code"], record["status_detail"]) == ("revoked", "leaked")
    granted = of_type(events, "guard.granted").to_ocsf()
    assert granted["privileges"] == ["web:search"]
    denied = of_type(events, "guard.denied").to_ocsf()
    assert (denied["privileges"], denied["status"], denied["count"]) == (["mail:send"], "Failure", 1)
    rotated = of_type(events, "key.rotated")
    assert rotated.to_ocsf()["entity_result"]["uid"] == rotated.data["kid"]
    assert rotated.to_ocsf()["entity"]["uid"] == rotated.data["previous"]


def test_ocsf_carries_the_chain_and_the_text_that_it_covers(events: list[Event]) -> None:
    for event in events:
        record = event.to_ocsf()
        [attestation] = record["unmapped"]["attestation_list"]
        previous = bytes.fromhex(attestation["prev_event"]["fingerprint"]["value"])
        digest = hashlib.sha256(previous + record["raw_data"].encode()).hexdigest()
        assert digest == attestation["fingerprint"]["value"] == event.hash
        assert record["metadata"]["sequence"] == event.seq


def test_a_grave_event_is_grave_in_every_format(events: list[Event]) -> None:
    def severities(event: Event) -> tuple[int, int]:
        return event.to_ocsf()["severity_id"], int(event.to_cef().split("|")[6])

    assert severities(of_type(events, "session.created")) == (1, 1)
    assert severities(of_type(events, "guard.denied")) == (3, 5)
    assert severities(of_type(events, "token.reuse_detected")) == (4, 8)
    rotations = [severities(each) for each in events if each.type == "key.rotated"]
    assert rotations == [(2, 3), (4, 8)]
    assert severities(of_the_host(events)) == (1, 1)


def test_no_format_has_a_secret(events: list[Event], secrets: set[str]) -> None:
    assert len(secrets) > 8
    for event in events:
        written: list[Any] = [event.to_cloudevent(), event.to_ocsf(), event.to_cef()]
        assert not [each for each in secrets if each in json.dumps(written)]


def test_who_writes_no_format_pays_for_none() -> None:
    command = "import sys, clawguard; print([each for each in sys.modules if 'formats' in each])"
    run = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_without_an_installed_distribution_the_version_is_unknown(
    events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("clawguard.events.formats.facts.version", missing)
    product_version.cache_clear()
    try:
        assert events[0].to_ocsf()["metadata"]["product"]["version"] == "0"
    finally:
        product_version.cache_clear()
