"""Snippets: what was found stands in brackets, in a piece of the text as it was written."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clawguard.history.snippets import SEEN, Finder

LONG = " ".join(f"w{number}" for number in range(100))


@pytest.mark.parametrize(
    ("keyword", "text", "snippet"),
    [
        ("needle", "the needle in the hay", "the [needle] in the hay"),
        ("NEEDLE hay", "(the Needle, in the hay)", "(the [Needle], in the [hay])"),
        ("need", "the needle", "the needle"),
        ("need*", "the needle and its needs", "the [needle] and its [needs]"),
        ("facade grosse", "Façade, die große", "[Façade], die große"),
        ("große FACADE", "façade und GROSSE und Große", "[façade] und GROSSE und [Große]"),
        ("docs:read", "docs:read, docs read, docs of read", "[docs:read], [docs read], docs of read"),
        ("docs docs:read", "docs:read", "[docs:read]"),
        ("docs:re*", "docs:read docs", "[docs:read] docs"),
        ("京都", "東京都に", "東[京都]に"),
        ("京tow*", "東京tower", "東[京tower]"),
        ("a\0b", "b a", "[b] [a]"),
        ("*", "nothing", "nothing"),
        ("nowhere", "", ""),
        ("w0", LONG, "[w0] " + " ".join(f"w{number}" for number in range(1, 32)) + "…"),
        ("w50 w51", LONG, "…w42 w43 w44 w45 w46 w47 w48 w49 [w50] [w51] "
         + " ".join(f"w{number}" for number in range(52, 74)) + "…"),
        ("w99", LONG, "…" + " ".join(f"w{number}" for number in range(68, 99)) + " [w99]"),
        ("nowhere", LONG, " ".join(f"w{number}" for number in range(32)) + "…"),
        ("x" + " y" * 40, "x" + " y" * 3, "[x] [y] [y] [y]"),
        ("東西" * 10, "東西" * 10, "[" + "東西" * 8 + "]東西東西"),
    ],
)  # fmt: skip
def test_a_snippet_shows_what_was_found(keyword: str, text: str, snippet: str) -> None:
    assert Finder(keyword).snippet(text) == snippet


def test_the_text_that_has_a_find_is_shown() -> None:
    assert Finder("needle").snippet("let me see", '{"arguments":"needle"}') == '{"arguments":"[needle]"}'
    assert Finder("nowhere").snippet("", "what it gave") == "what it gave"


def test_a_long_text_of_finds_alone_takes_no_time() -> None:
    """With SQLite's own snippets this one takes minutes."""
    found = Finder("x").snippet("x " * 131_072)
    assert found == " ".join(["[x]"] * 32) + "…"
    assert Finder("last").snippet(f"{'x ' * SEEN}last") == " ".join(["x"] * 32) + "…"


@given(keyword=st.text(st.characters()), text=st.text(st.characters()))
@example(keyword="İ", text="i̇ İ")
@example(keyword="e\u0301", text="\u00e9")
def test_a_snippet_is_a_piece_of_the_text(keyword: str, text: str) -> None:
    snippet = Finder(keyword).snippet(text)
    plain = text.replace("[", "").replace("]", "").replace("…", "")
    assert snippet.replace("[", "").replace("]", "").replace("…", "") in plain
