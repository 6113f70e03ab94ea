"""What comes from outside: taken or refused, never changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard.checks import check_metadata, check_text
from clawguard.errors import InvalidArgument


@pytest.mark.parametrize(
    "text", ["a", "a" * 255, "user ana", "é", "日本", "\U0001f980", "' OR 1=1--", "%s", "__proto__"]
)
def test_lawful_text(text: str) -> None:
    assert check_text(text, argument="agent_id") == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 256,
        "a\x00",
        "a\n",
        "a\r\nb",
        "\x1b[31m",
        "a\u2028",
        "a\u0085",
        "a\u202e",
        "a\u200b",
        "\ud800",
        "\ufeff",
    ],
)
def test_attack_33_101_text_that_will_not_do(text: str) -> None:
    with pytest.raises(InvalidArgument, match="agent_id: must be 1 to 255 printable"):
        check_text(text, argument="agent_id")


@pytest.mark.parametrize("value", [None, 7, b"a", ["a"], True, object()])
def test_text_of_another_type(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="agent_id: must be a string"):
        check_text(value, argument="agent_id")


@pytest.mark.parametrize(
    "value", [{}, {"a": 1}, {"é": [None, True, 1.5, "x"]}, {"a": {"b": {"c": ()}}}, {"a": "\x00"}]
)
def test_attack_103_lawful_metadata(value: dict[str, Any]) -> None:
    assert json.loads(check_metadata(value)) == json.loads(json.dumps(value))


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"a": value}
    return value


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


@pytest.mark.parametrize(
    "value",
    [
        7,
        "{}",
        [],
        [("a", 1)],
        {1: 2},
        {"a": {1: 2}},
        {"a": b""},
        {"a": {1, 2}},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": "\ud800"},
        {"a": 10**5_000},
        {"a": datetime.now(UTC)},
        {"a": timedelta(1)},
        {"a": "x" * 16_384},
        nested(34),
        circular(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_attack_103_metadata_that_will_not_do(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^metadata: "):
        check_metadata(value)


def test_attack_103_the_bounds_of_metadata() -> None:
    assert check_metadata(None) == "{}"
    assert check_metadata(nested(32))
    exactly = {"a": "x" * (16_384 - len('{"a":""}'))}
    assert len(check_metadata(exactly)) == 16_384
    with pytest.raises(InvalidArgument, match="16384 bytes"):
        check_metadata({"a": exactly["a"] + "x"})


@given(st.text(max_size=300))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        taken = check_text(text, argument="name")
    except InvalidArgument:
        assert not text.isprintable() or not 0 < len(text) <= 255
    else:
        assert taken == text


@pytest.mark.parametrize("text", ["eyJhbGciOiJFUzI1NiJ9.eyJzaWQiOiIxIn0.c2ln", "cgr1_AZ_9xw0123456789"])
@pytest.mark.parametrize("form", ["{}", "Bearer {}", "a long text with {} in it"])
def test_attack_104_metadata_with_a_token_in_it_are_refused_and_not_repeated(text: str, form: str) -> None:
    """They are kept as they are, listed, and told in events."""
    held = form.format(text)
    for value in ({"auth": held}, {held: 1}, {"deep": [{"er": [held]}]}):
        with pytest.raises(InvalidArgument, match="token") as refused:
            check_metadata(value)
        assert text not in str(refused.value)
    for lawful in ("eyJ.a.b", "cgr1", "a.b.c", "01a1fccf-cf9e-7037-aefb-eac59a7e9560"):
        assert check_metadata({"note": lawful})
