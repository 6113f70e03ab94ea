"""Base64url and JSON as tokens hold them: one text for one value, none that two readers read differently."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard.guard.encoding import MAX_NESTING, b64decode, b64encode, parse_object


@given(st.binary(max_size=40))
def test_bytes_have_one_text_and_come_back(data: bytes) -> None:
    text = base64.urlsafe_b64encode(data).rstrip(b"=")
    assert b64encode(data) == text
    assert b64decode(text) == data
    assert b64decode(text + b"=") is None


@pytest.mark.parametrize("letter", [b"X", b"A", b"_"])
def test_the_last_letters_stay(letter: bytes) -> None:
    data = base64.urlsafe_b64decode(letter * 4)
    assert b64encode(data) == letter * 4


def nested(depth: int, *, in_lists: bool) -> str:
    inner = "[" * (depth - 1) + "]" * (depth - 1) if in_lists else "{}"
    return f'{{"a":{inner}}}' if in_lists else '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)


@pytest.mark.parametrize("in_lists", [True, False])
def test_objects_nest_as_deep_as_they_may_and_no_deeper(in_lists: bool) -> None:
    assert parse_object(nested(MAX_NESTING, in_lists=in_lists).encode()) is not None
    assert parse_object(nested(MAX_NESTING + 1, in_lists=in_lists).encode()) is None


@pytest.mark.parametrize(
    "value",
    [
        {"a": [[]] * 40},
        {"a": [{}] * 40, "b": {"c": [{"d": []}] * 40}},
        {"a": "[" * 40},
        {"a": '\\"' + "{" * 40},
        {"a": "\\", "b": "[{" * 40},
        {"[" * 40: 1},
    ],
)
def test_many_brackets_are_not_deep_nor_those_in_a_text(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text", ['{"a":' + '"[[","b":' * 20, '["' + "[" * 40 + '"]', "[" * 40, "]" * 40 + "[" * 40]
)
def test_what_is_no_object_is_none_whatever_its_brackets(text: str) -> None:
    assert parse_object(text.encode()) is None


def test_numbers_have_sixteen_digits_at_most() -> None:
    assert parse_object(b'{"a":9999999999999999}') == {"a": 9_999_999_999_999_999}
    for number in (b"10000000000000000", b"-1", b"-0", b"1.0", b"1e3", b"NaN"):
        assert parse_object(b'{"a":' + number + b"}") is None


@pytest.mark.parametrize("count", [1, 2])
def test_depth_is_counted_down_by_one_and_up_by_one(count: int) -> None:
    inner = "[" * (MAX_NESTING - 2) + "]" * (MAX_NESTING - 2)
    fits = '{"a":[' + ",".join([inner] * count) + "]}"
    assert parse_object(fits.encode()) is not None
    too_deep = '{"a":[' + ",".join([inner] * count + [f"[{inner}]"]) + "]}"
    assert parse_object(too_deep.encode()) is None


def test_a_backslash_opens_and_closes_nothing() -> None:
    assert parse_object(json.dumps({"a": "\\" * 3 + '"', "b": [[]] * 40}).encode()) is not None
