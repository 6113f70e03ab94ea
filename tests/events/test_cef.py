"""CEF, read back by a parser that knows its rules only: any text comes back, in one line."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import Event
from clawguard.events.formats.facts import failed

EVENT = Event(
    seq=7,
    id="0190d2a0-5555-7000-8000-000000000005",
    type="session.expired",
    at=datetime(2026, 9, 21, 14, 13, 20, 123_456, UTC),
    workspace_id="default",
    session_id="0190d2a0-1111-7000-8000-000000000001",
    version=2,
    agent_id="planner",
    subject="user:ana",
    actor="host",
    cause="revoked",
    reason="leaked",
    cause_id="0190d2a0-6666-7000-8000-000000000006",
    data={"size": 3},
    prev_hash="0" * 64,
    hash="1" * 64,
)
TEXT = st.text(st.characters())  # lone surrogates and control characters too
UNESCAPED = {"n": "\n", "r": "\r"}
KEYS = {"rt", "externalId", "outcome", "reason", "suser", "msg"}
CUSTOM = re.compile(r"(cn[12]|cs[1-6]|flexString[12])(Label)?")
KEY = re.compile(r"(?:^|(?<= ))[A-Za-z0-9_]+$")


class Line(NamedTuple):
    """Hold a parsed line: its seven header fields, and its extension by key."""

    header: list[str]
    extension: dict[str, str]


def characters(text: str) -> Iterator[tuple[str, bool]]:
    """Yield each character that is meant, and whether a backslash stood before it."""
    rest = iter(text)
    for each in rest:
        yield (next(rest), True) if each == "\\" else (each, False)


def parse(line: str) -> Line:
    """Parse a line of CEF 0: `|` divides the header, `=` ends a key, unless a backslash stands before."""
    header, extension = [""], [""]
    keys: list[str] = []
    for each, is_escaped in characters(line):
        if len(header) < 8 and each == "|" and not is_escaped:
            header.append("")
        elif len(header) < 8:
            assert not is_escaped or each in "\\|"
            header[-1] += each
        elif each == "=" and not is_escaped:
            key = KEY.search(extension[-1])
            assert key is not None
            keys.append(key.group())
            extension[-1] = extension[-1][: key.start()]
            extension.append("")
        else:
            assert not is_escaped or each in "\\=nr"
            extension[-1] += UNESCAPED.get(each, each) if is_escaped else each
    assert header.pop() == ""
    values = [each[:-1] for each in extension[1:-1]] + extension[-1:]  # a blank stands before each key
    return Line(header, dict(zip(keys, values, strict=True)))


def printable(text: str) -> str:
    """Return what CEF can say of a text: line ends and all that can be printed."""
    return "".join(each if each.isprintable() or each in "\r\n" else "\ufffd" for each in text)


def fields_of(line: Line) -> dict[str, object]:
    """Return an event's fields from a line: by their own keys, and the custom ones by their labels."""
    extension = line.extension
    custom = {
        value: extension[key.removesuffix("Label")] for key, value in extension.items() if "Label" in key
    }
    return {
        "id": extension["externalId"],
        "type": line.header[4],
        "at": int(extension["rt"]),
        "reason": extension.get("reason"),
        "subject": extension.get("suser"),
        "data": json.loads(extension.get("msg", "{}")),
        "seq": int(custom["sequence"]),
        "version": int(custom["version"]) if "version" in custom else None,
        "session_id": custom.get("session"),
        "agent_id": custom.get("agent"),
        "workspace_id": custom.get("workspace"),
        "cause": custom.get("cause"),
        "cause_id": custom.get("causeId"),
        "actor": custom.get("actor"),
        "prev_hash": custom["prevHash"],
        "hash": custom["hash"],
    }


def expected_of(event: Event) -> dict[str, object]:
    fields = {name: getattr(event, name) for name in event.to_dict()}
    said = {name: printable(value) if isinstance(value, str) else value for name, value in fields.items()}
    return said | {"at": int(event.at.timestamp() * 1000), "data": dict(event.data)}


def test_every_event_of_the_scene_comes_back(events: list[Event]) -> None:
    for event in events:
        line = parse(event.to_cef())
        assert line.header[:3] == ["CEF:0", "clawguard", "clawguard"]
        assert fields_of(line) == expected_of(event)
        assert not {key for key in line.extension.keys() - KEYS if not CUSTOM.fullmatch(key)}
        assert line.extension["outcome"] == ("failure" if failed(event) else "success")
        assert 0 <= int(line.header[6]) <= 10


@given(reason=TEXT, agent_id=TEXT, subject=TEXT, actor=TEXT, value=TEXT)
def test_any_text_comes_back_in_one_line(
    reason: str, agent_id: str, subject: str, actor: str, value: str
) -> None:
    data = {"value": value, "a=b|c": [value]}
    event = replace(EVENT, reason=reason, agent_id=agent_id, subject=subject, actor=actor, data=data)
    written = event.to_cef()
    assert written.isprintable()
    assert written.encode()
    assert fields_of(parse(written)) == expected_of(event)


@given(name=TEXT.filter(lambda text: "\n" not in text and "\r" not in text))
def test_any_type_comes_back_from_the_header(name: str) -> None:
    line = parse(replace(EVENT, type=name).to_cef())
    assert line.header[4] == printable(name)
    assert fields_of(line)["subject"] == "user:ana"


@pytest.mark.parametrize(
    ("reason", "written"),
    [
        ("a=b", r"reason=a\=b "),
        ("a|b", "reason=a|b "),
        ("a\\b", r"reason=a\\b "),
        ("a\nb\rc", r"reason=a\nb\rc "),
        ("a\x1b[2Jb\u2028", "reason=a\ufffd[2Jb\ufffd "),
        (" suser=root", r"reason= suser\=root "),
    ],
)
def test_escapes(reason: str, written: str) -> None:
    assert written in replace(EVENT, reason=reason).to_cef()


def test_a_line_end_cannot_stand_in_the_header() -> None:
    line = parse(replace(EVENT, type="memory\n|added").to_cef())
    assert line.header[4:6] == ["memory |added", "Memory |added"]
