"""Messages: what goes in comes out the same, and what will not do is refused without being repeated."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import InvalidArgument
from clawguard.history.messages import Message, SessionQuery, decode, encode, read_message, read_query
from clawguard.history.records import TAKEN, Entry, Row

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=3)
FIELDS = frozenset(Message.model_fields) | TAKEN
OTHERS = st.dictionaries(TEXT.filter(lambda name: name not in FIELDS), VALUES, max_size=3)
MESSAGES = st.builds(
    lambda fields, others: fields | others,
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "tool", "system"])},
        optional={
            "content": TEXT | st.lists(OBJECTS, max_size=3) | st.none(),
            "tool_calls": st.lists(OBJECTS, max_size=2),
            "tool_call_id": TEXT,
            "name": TEXT,
            "auto_injected": st.booleans(),
            "kind": st.sampled_from(["message", "prompt", "warn"]),
        },
    ),
    OTHERS,
)


@given(MESSAGES)
def test_every_message_comes_back_as_it_was(given_: dict[str, Any]) -> None:
    message = read_message(given_)
    assert decode(encode(message, at=7)) == message
    assert read_message(message.to_dict()) == message
    assert message.to_dict().items() <= {**given_, "content": message.content}.items()


@given(MESSAGES)
def test_an_entry_tells_number_time_and_message(given_: dict[str, Any]) -> None:
    row = encode(read_message(given_), at=1_790_000_000_000_000)
    entry = Entry((3, *row[:-1]))
    told = entry.to_dict()
    assert (told.pop("seq"), told.pop("at")) == (3, "2026-09-21T14:13:20+00:00")
    assert told == entry.message.to_dict()
    assert entry == Entry((3, *row[:-1]))
    assert hash(entry) == hash(Entry((3, *row[:-1])))
    assert entry != Entry((4, *row[:-1]))


def test_of_parts_those_that_are_text_are_the_text() -> None:
    parts = [
        {"type": "text", "text": "look at"},
        {"type": "image", "source": {"data": "AAAA"}},
        {"type": "tool_use", "name": "find", "input": {"key": "secret"}},
        {"text": "this"},
        {"type": "text", "text": 7},
    ]
    row = encode(read_message({"role": "user", "content": parts}), at=0)
    assert row.content == "look at\nthis"
    assert decode(row).content == parts


WRONG: dict[str, tuple[object, str]] = {
    "a text": ("hush", "must be a Message or a dict"),
    "a list": ([{"role": "user"}], "must be a Message or a dict"),
    "no role": ({"content": "hush"}, "needs a role"),
    "another role": ({"role": "hush", "content": ""}, "role: "),
    "another kind": ({"role": "user", "kind": "hush"}, "kind: "),
    "a number as content": ({"role": "user", "content": 7}, "content: "),
    "parts that are texts": ({"role": "user", "content": ["hush"]}, "content: "),
    "calls that are none": ({"role": "assistant", "tool_calls": "hush"}, "tool_calls: "),
    "a flag that is none": ({"role": "user", "auto_injected": "hush"}, "auto_injected: "),
    "a number of its own": ({"role": "user", "content": "hush", "seq": 7}, "'seq' is what an entry has"),
    "a time of its own": ({"role": "user", "content": "hush", "at": "now"}, "'at' is what an entry has"),
    "names that are no texts": ({"role": "user", 7: "hush"}, "message: "),
    "a lone surrogate": ({"role": "user", "content": "hush\ud800"}, "lone surrogate"),
    "a lone surrogate aside": ({"role": "user", "name": "hush\ud800"}, "lone surrogate"),
    "not a number": ({"role": "user", "hush": float("nan")}, "JSON values only"),
    "an object": ({"role": "user", "hush": object()}, "JSON values only"),
    "bytes": ({"role": "user", "hush": [b"hush"]}, "JSON values only"),
    "too long": ({"role": "user", "content": "hush" * 4_194_305}, "at most 16777216 bytes"),
    "too long aside": ({"role": "user", "parts": "hush" * 4_194_305}, "at most 16777216 bytes"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_no_message_is_refused_and_not_repeated(fault: str) -> None:
    value, why = WRONG[fault]
    with pytest.raises(InvalidArgument, match=why) as caught:
        encode(read_message(value), at=0)
    assert caught.value.argument == "message"
    assert "hush" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


MADE = Message(role="user", content="hush", name="ana")
FORGED = {
    "a copy with another role": MADE.model_copy(update={"role": "hush"}),
    "a copy with a number of its own": MADE.model_copy(update={"seq": 7}),
    "a copy with a number as content": MADE.model_copy(update={"content": 7}),
    "one that was put together": Message.model_construct(kind="hush"),
    "one with a flag that is none": Message.model_construct(role="user", content="", auto_injected="hush"),
}


@pytest.mark.parametrize("fault", FORGED)
def test_a_message_that_nobody_checked_is_checked(fault: str) -> None:
    """Else an entry would be stored that can never be read again, and with it the whole conversation."""
    with pytest.raises(InvalidArgument) as caught:
        read_message(FORGED[fault])
    assert "hush" not in str(caught.value)


@given(MESSAGES)
def test_a_message_that_is_one_is_taken_as_it_is(given_: dict[str, Any]) -> None:
    message = read_message(given_)
    again = read_message(message)
    assert (again, again.model_fields_set) == (message, message.model_fields_set)


def test_a_query_that_nobody_checked_is_checked() -> None:
    with pytest.raises(InvalidArgument, match="limit: "):
        read_query(SessionQuery(keyword="word").model_copy(update={"limit": -1}), {})


def test_what_was_said_or_searched_for_is_in_no_repr() -> None:
    for made in (MADE, SessionQuery(keyword="hush")):
        assert "hush" not in f"{made!r} {made}"
    assert repr(MADE) == "Message(role='user', kind='message', characters=4)"


def test_nesting_has_a_bound() -> None:
    deep: Any = {}
    for _ in range(2_000):
        deep = {"a": deep}
    with pytest.raises(InvalidArgument, match="64 levels deep"):
        encode(read_message({"role": "user", "extra": deep}), at=0)


def test_a_note_needs_no_role_and_a_message_does_not_say_what_was_said_in_its_entry() -> None:
    row = encode(read_message({"kind": "alert", "content": "a secret"}), at=0)
    assert row[:4] == (0, "alert", None, "a secret")
    assert "secret" not in repr(Entry((1, *row[:-1])))


@pytest.mark.parametrize(
    ("argument", "fields"),
    [
        ("keyword", {"keyword": 7}),
        ("keyword", {"keyword": "x" * 4_097}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1_001}),
        ("limit", {"limit": True}),
        ("agent_id", {"agent_id": 7}),
        ("since", {"since": "2026-01-01"}),
        ("colour", {"colour": "red"}),
    ],
)
def test_a_search_that_will_not_do_is_refused(argument: str, fields: dict[str, Any]) -> None:
    wanted = {"keyword": "word", **fields}
    with pytest.raises(InvalidArgument) as caught:
        read_query(wanted.pop("keyword"), wanted)
    assert caught.value.argument == argument


def test_a_query_says_all_of_a_search_by_itself() -> None:
    query = SessionQuery(keyword="word", limit=3)
    assert read_query(query, {}) == query
    with pytest.raises(InvalidArgument, match="limit: stands in the query"):
        read_query(query, {"limit": 5})


def test_a_row_has_the_columns_of_the_table() -> None:
    said = ("at", "kind", "role", "content", "data", "auto_injected", "tools_indexed")
    assert Row._fields == (*said, "content_key", "sealed")
