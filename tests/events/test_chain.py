"""The chain: one text for one event, and each entry bound to all before it."""

from __future__ import annotations

import hashlib
from typing import Any, get_args

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from clawguard import InvalidArgument
from clawguard.events.chain import Fault, FaultKind, Place, canonical, genesis, link, walk

SAFE = 2**53 - 1
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-SAFE, SAFE) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=6)
START = genesis("urn:mine")


@given(OBJECTS)
def test_the_text_of_an_event_is_the_one_of_rfc_8785(body: dict[str, Any]) -> None:
    assert canonical(body).encode() == rfc8785.dumps(body)


def test_names_are_sorted_by_utf_16_as_the_rfc_asks() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\xf6"]
    body = dict.fromkeys(names, 1)
    assert canonical(body).encode() == rfc8785.dumps(body)


@given(OBJECTS)
def test_the_order_in_which_an_event_is_built_does_not_matter(body: dict[str, Any]) -> None:
    assert canonical(dict(reversed(body.items()))) == canonical(body)


@pytest.mark.parametrize("value", [1.0, 2**53, -(2**53), b"x", {1}, object(), float("nan")])
def test_what_has_no_plain_text_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="data"):
        canonical({"a": [{"b": value}]})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (2**53, "data: holds an integer beyond 2^53"),
        (1.0, "data: must hold strings, integers, lists and objects, not float"),
    ],
)
def test_a_refusal_says_what_an_event_may_hold(value: Any, told: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        canonical({"a": value})
    assert str(refused.value) == told


def test_a_chain_begins_where_whoever_checks_it_by_hand_begins() -> None:
    assert genesis("urn:mine") == hashlib.sha256(b"clawguard log 1\nurn:mine").digest()


def test_two_issuers_begin_two_chains() -> None:
    assert genesis("urn:a") != genesis("urn:b")
    assert len(genesis("urn:a")) == 32


Links = list[tuple[int, bytes, bytes, int]]


def chain_of(texts: list[str], start: bytes = START) -> Links:
    made: Links = []
    for seq, text in enumerate(texts, start=1):
        start = link(start, text.encode())
        made.append((seq, start, text.encode(), 1))
    return made


def fault_of(links: Links) -> tuple[int, str] | None:
    found = walk(links, start=Place(0, START))
    assert bool(found) is (found.fault is None)
    return None if found.fault is None else (found.fault.seq, found.fault.kind)


CHAINS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1, max_size=8).map(
    chain_of
)


@given(CHAINS)
def test_an_honest_chain_holds(links: Links) -> None:
    found = walk(links, start=Place(0, START))
    assert (found.count, found.head, found.fault) == (len(links), links[-1][1].hex(), None)


@given(CHAINS, st.data())
def test_any_change_is_named_at_the_first_entry_it_touches(links: Links, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(links) - 1))
    seq, digest, text, _ = links[at]
    edited = [*links[:at], (seq, digest, text + b"x", 1), *links[at + 1 :]]
    assert fault_of(edited) == (seq, "genesis" if at == 0 else "link")
    rehashed = [*links[:at], (seq, bytes(32), text, 1), *links[at + 1 :]]
    assert fault_of(rehashed) == (seq, "genesis" if at == 0 else "link")
    assert fault_of([*links[:at], (seq, digest, text, 0), *links[at + 1 :]]) == (seq, "columns")
    removed = links[:at] + links[at + 1 :]
    assert fault_of(removed) == ((seq + 1, "gap") if at < len(links) - 1 else None)
    doubled = [*links[: at + 1], *links[at:]]
    assert fault_of(doubled) == (seq, "gap")


@given(CHAINS, st.data())
def test_what_was_signed_finds_a_rewrite_and_a_truncation(links: Links, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, len(links)))
    goals = {size: links[size - 1][1]}
    at = data.draw(st.integers(0, len(links) - 1))
    texts = [text.decode() for _, _, text, _ in links]
    rewritten = chain_of([*texts[:at], texts[at] + "x", *texts[at + 1 :]])
    found = walk(rewritten, start=Place(0, START), goals=goals).fault
    assert found == ((size, "rewritten") if at < size else None)
    found = walk(links[:at], start=Place(0, START), goals=goals).fault
    assert found == ((at + 1, "tail") if at < size else None)
    rest = walk(links[at:], start=Place(*([(0, START), *[each[:2] for each in links]][at])), goals={})
    assert (rest.fault, rest.after, rest.count) == (None, at, len(links))


def test_the_chain_of_another_issuer_is_no_chain_of_ours() -> None:
    assert fault_of(chain_of(["a", "b"], genesis("urn:other"))) == (1, "genesis")


@pytest.mark.parametrize("kind", get_args(FaultKind))
def test_a_fault_is_told_in_a_sentence(kind: Any) -> None:
    from clawguard.events.chain import Fault

    assert str(Fault(7, kind)).startswith("entry 7: ")


def test_an_empty_log_holds() -> None:
    assert fault_of([]) is None


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_walk_counts_all_that_holds_and_all_that_was_archived(archived: int, fault: int) -> None:
    links = chain_of([str(number) for number in range(11)])
    start = Place(archived, links[archived - 1][1] if archived else START)
    walked = links[archived:]
    found = walk(walked, start=start)
    assert (found.count, found.head, found.fault, found.after) == (11, links[-1][1].hex(), None, archived)
    seq, digest, text, agrees = walked[fault]
    walked[fault] = (seq, digest, text + b"!", agrees)
    found = walk(walked, start=start)
    assert found.fault is not None
    assert (found.count, found.fault.seq, found.after) == (archived + fault, seq, archived)


@given(st.integers(1, 5))
def test_an_archive_that_ends_in_another_hash_than_was_signed_was_rewritten(archived: int) -> None:
    links = chain_of([str(number) for number in range(8)])
    start = Place(archived, links[archived - 1][1])
    found = walk(links[archived:], start=start, goals={archived: b"another"})
    assert not found
    assert (found.count, found.fault, found.after) == (archived, Fault(archived, "rewritten"), archived)
