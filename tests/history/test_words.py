"""Words: what an entry is found by, and what a search makes of any text."""

from __future__ import annotations

import pytest

from clawguard.history.words import matching, readable, words_of


@pytest.mark.parametrize(
    ("keyword", "wanted"),
    [
        ("", None),
        (" \t\n", None),
        ("*", None),
        ("** * \0", None),
        ("\ud800", None),
        ("word", '"word"'),
        ("one two one", '"one" OR "two"'),
        ("mem*", '"mem"*'),
        ("mem**", '"mem"*'),
        ("a*b", '"a*b"'),
        ("docs:read", '"docs:read"'),
        ('say "no"', '"say" OR """no"""'),
        ("a OR NOT (b) NEAR", '"a" OR "OR" OR "NOT" OR "(b)" OR "NEAR"'),
        ("words : x -y +z ^q {a}", '"words" OR ":" OR "x" OR "-y" OR "+z" OR "^q" OR "{a}"'),
        ("a\0b", '"a" OR "b"'),
        ("東京", '"\u200b東\u200b\u200b京\u200b"'),
    ],
)
def test_every_text_is_a_search_for_its_words(keyword: str, wanted: str | None) -> None:
    assert matching(keyword) == wanted


@pytest.mark.parametrize("text", ["plain", "東京タワー", "กรุงเทพ", "ภาษา and English", "မြန်မာ"])
def test_what_is_set_apart_reads_as_it_was_written(text: str) -> None:
    found = words_of("user", text, None, 0)
    assert found is not None
    assert readable(found[0]) == text


def test_what_tools_were_given_and_gave_is_left_out_unless_it_is_asked_for() -> None:
    calls = '{"tool_calls":[{"arguments":"secret"}]}'
    assert words_of("assistant", "let me see", calls, 0) == ("let me see", "")
    assert words_of("tool", "the secret", None, 0) is None
    assert words_of("assistant", "let me see", calls, 1) == ("let me see", calls)
    assert words_of("tool", "the secret", None, 1) == ("", "the secret")
    assert words_of("assistant", "", None, 1) is None
