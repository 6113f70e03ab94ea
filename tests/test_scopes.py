"""Scopes: the grammar, what covers what, and that authority only narrows."""

from __future__ import annotations

import pickle
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard.errors import InvalidArgument
from clawguard.scopes import MAX_SCOPES, ScopeSet, check_scope, parse_scopes

WRONG: Any = 7

segments = st.text("abc", min_size=1, max_size=2)
exact = st.lists(segments, min_size=1, max_size=4).map(":".join)
wild = exact.map(lambda scope: f"{scope}:*") | st.just("*")
sets = st.lists(exact | wild, max_size=6).map(ScopeSet)


@pytest.mark.parametrize(
    "scope",
    ["a", "docs:read", "a.b-c_d:9", "*", "a:*", "a:b:c:*", ":".join("a" * 16), "a:" * 15 + "*", "x" * 255],
)
def test_lawful_scopes(scope: str) -> None:
    assert check_scope(scope) == scope
    assert list(ScopeSet.of([scope])) == [scope]


@pytest.mark.parametrize(
    "scope",
    [
        "",
        " ",
        ":",
        "a:",
        ":a",
        "a::b",
        "**",
        "a*",
        "a:*b",
        "*:a",
        "a:*:b",
        "a:**",
        "A",
        "Docs:read",
        "a b",
        "a\n",
        "a\t",
        "a\x00",
        "\uff4demory",
        "mem\u043ery",
        "mem\u200bory",
        "\ufb01le",
        "\u00e9",
        "a\u00a0b",
        "a\ud800",
        "x" * 256,
        ":".join("a" * 17),
        "a:" * 16 + "*",
        "a/b",
        "a,b",
        'a"',
        "a\\",
    ],
)
def test_attack_80_81_malformed_scopes(scope: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        ScopeSet.of([scope])
    assert caught.value.argument == "scopes"
    assert caught.value.hint or "malformed" not in caught.value.message
    assert len(scope) < 3 or scope not in str(caught.value)


@pytest.mark.parametrize(
    "scopes", [None, 7, 1.5, b"docs:read", [b"a"], [None], [["a"]], object(), {"a": 1}.values()]
)
def test_scopes_of_another_type(scopes: Any) -> None:
    with pytest.raises(InvalidArgument, match="wanted"):
        ScopeSet.of(scopes, argument="wanted")


@pytest.mark.parametrize(
    ("held", "scope", "covered"),
    [
        ("docs:read", "docs:read", True),
        ("docs:*", "docs:read", True),
        ("docs:*", "docs:read:all", True),
        ("docs:*", "docs:*", True),
        ("docs:*", "docs:read:*", True),
        ("docs:*", "docs", False),
        ("docs:*", "docs:", False),
        ("docs:*", "docsx:read", False),
        ("docs:*", "*", False),
        ("docs:read:*", "docs:*", False),
        ("docs:read", "docs:*", False),
        ("*", "docs:read", True),
        ("*", "*", True),
        ("*", "", False),
        ("mem", "memory:read", False),
        ("mem:*", "memory:read", False),
        ("memory:read", "memory:readwrite", False),
        ("memory:readwrite", "memory:read", False),
        ("memory:read", "Memory:Read", False),
        ("", "docs:read", False),
    ],
)
def test_attack_76_77_78_what_covers_what(held: str, scope: str, *, covered: bool) -> None:
    assert (scope in ScopeSet.of(held)) is covered


@pytest.mark.parametrize("text", ["docs:read mail:send", "docs:READ", "docs:a\n", "docs:*:x", "docs::"])
def test_attack_76_a_wildcard_covers_scopes_only(text: str) -> None:
    assert text not in ScopeSet.of("docs:*")


@pytest.mark.parametrize("other", [None, 7, b"docs:read", ("docs:read",)])
def test_what_is_no_text_is_not_held(other: object) -> None:
    assert other not in ScopeSet.of("*")


def test_what_cannot_be_hashed_is_not_held() -> None:
    assert [] not in ScopeSet.of("*")


def test_attack_79_text_is_split_on_the_space_alone() -> None:
    assert list(parse_scopes("mail:send  docs:read docs:read ")) == ["docs:read", "mail:send"]
    assert len(parse_scopes("")) == len(parse_scopes(" ")) == len(parse_scopes(())) == 0
    for space in "\t\n\r\x0b\x0c\u00a0\u2003":
        with pytest.raises(InvalidArgument):
            parse_scopes(f"a{space}b")


def test_attack_79_bounds() -> None:
    assert len(parse_scopes(f"s{n}" for n in range(MAX_SCOPES))) == MAX_SCOPES
    with pytest.raises(InvalidArgument, match="at most 256"):
        parse_scopes(f"s{n}" for n in range(MAX_SCOPES + 1))
    with pytest.raises(InvalidArgument, match="characters in all"):
        parse_scopes(f"{n:03d}{'x' * 100}" for n in range(200))
    with pytest.raises(InvalidArgument):
        parse_scopes("x" * 1_000_000)


def test_a_set_reads_as_it_was_granted() -> None:
    scopes = ScopeSet.of("mail:send docs:*")
    assert list(scopes) == ["docs:*", "mail:send"]
    assert str(scopes) == "docs:* mail:send"
    assert repr(scopes) == "ScopeSet('docs:* mail:send')"
    assert scopes == ScopeSet.of(["docs:*", "mail:send"])
    assert scopes != "docs:* mail:send"
    assert ScopeSet.of(scopes) is scopes
    assert len({scopes, ScopeSet.of("docs:* mail:send")}) == 1
    assert pickle.loads(pickle.dumps(scopes)) == scopes


def test_a_set_is_immutable() -> None:
    with pytest.raises(AttributeError):
        ScopeSet.of("a")._sorted = ()
    with pytest.raises((AttributeError, TypeError)):
        del ScopeSet.of("a").__dict__


def test_equal_texts_share_one_set() -> None:
    assert parse_scopes("docs:read mail:send") is parse_scopes("docs:read mail:send")


def test_missing_tells_what_is_not_covered() -> None:
    held = ScopeSet.of("docs:* mail:send")
    assert held.missing(ScopeSet.of("docs:read mail:send")) == ()
    assert held.missing(ScopeSet.of("mail:* docs:read a:b")) == ("a:b", "mail:*")


@given(sets, sets, exact | wild)
def test_an_intersection_covers_what_both_cover(one: ScopeSet, other: ScopeSet, scope: str) -> None:
    both = one.intersect(other)
    assert (scope in both) == (scope in one and scope in other)
    assert not one.missing(both)
    assert not other.missing(both)
    assert both == other.intersect(one)


@given(sets, sets)
def test_missing_is_empty_where_all_is_covered(one: ScopeSet, other: ScopeSet) -> None:
    missing = one.missing(other)
    assert all(scope in other and scope not in one for scope in missing)
    assert (not missing) == all(scope in one for scope in other)


def test_an_intersection_of_large_sets() -> None:
    one = ScopeSet(["a:*", *(f"b:{n}" for n in range(255))])
    other = ScopeSet(["b:*", *(f"a:{n}" for n in range(255))])
    assert len(one.intersect(other)) == 510


@given(st.text(string.printable + "é\u00a0", max_size=40))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        scopes = parse_scopes(text)
    except InvalidArgument:
        return
    assert parse_scopes(str(scopes)) == scopes


SHOWN = "write lower-case ASCII segments such as 'docs:read' or 'docs:*', separated by spaces"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda: check_scope("A"), f"scopes: holds a malformed scope; {SHOWN}"),
        (lambda: parse_scopes("A", argument="wanted"), f"wanted: holds a malformed scope; {SHOWN}"),
        (lambda: parse_scopes(["A"], argument="wanted"), f"wanted: holds a malformed scope; {SHOWN}"),
        (
            lambda: parse_scopes(WRONG, argument="wanted"),
            "wanted: must be a string or an iterable of strings",
        ),
        (lambda: ScopeSet(WRONG), "scopes: must be an iterable of strings"),
        (
            lambda: ScopeSet(f"a:{n}" for n in range(257)),
            "scopes: must be at most 256, of 8192 characters in all",
        ),
        (lambda: parse_scopes("a " * 4_097), "scopes: must be at most 8192 characters in all"),
        (lambda: setattr(ScopeSet(), "_exact", frozenset()), "a ScopeSet is immutable"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_how_to_mend_it(asked: Callable[[], object], told: str) -> None:
    with pytest.raises((InvalidArgument, AttributeError)) as refused:
        asked()
    assert str(refused.value) == told


def test_as_many_and_as_long_as_they_may_be() -> None:
    assert len(ScopeSet(f"a:{n}" for n in range(256))) == 256
    longest = " ".join(f"{n:02d}{'a' * 251}" for n in range(32))
    assert len(longest) == 8_127
    assert len(parse_scopes(longest + " " * 65)) == 32
    assert len(ScopeSet([*longest.split(), "b" * 96])) == 33
    with pytest.raises(InvalidArgument, match="8192"):
        ScopeSet([*longest.split(), "b" * 97])


def test_a_union_with_what_is_covered_is_the_set_itself() -> None:
    held = ScopeSet.of("a:* b")
    assert held.union(ScopeSet.of("a:x b")) is held
    assert str(held.union(ScopeSet.of("c"))) == "a:* b c"
