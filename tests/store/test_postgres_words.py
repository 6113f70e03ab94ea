"""Texts for PostgreSQL: nothing is lost, words are what they are in SQLite."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import SessionManager
from clawguard.store.postgres import words
from tests.openers import open_manager
from tests.schemas import schema

TEXTS = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\ufdd0\ufdd1\ufdd2"))


@pytest.fixture(scope="module")
def manager() -> Iterator[SessionManager]:
    with schema() as url, open_manager(url) as opened:
        yield opened


@given(TEXTS)
def test_what_a_text_of_postgresql_may_not_hold_comes_back(text: str) -> None:
    told = words.adapted("entry.insert", {"content": text})
    assert "\0" not in told["content"]
    assert words.restored("entry.all", [(1, told["content"])]) == [(1, text)]


@given(TEXTS, TEXTS)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (words._escaped(one) == words._escaped(other)) == (one == other)


@given(text=TEXTS)
def test_a_message_comes_back_from_the_server_as_it_was(manager: SessionManager, text: str) -> None:
    session = manager.create("a", scopes="x")
    manager.history.append(session, {"role": "user", "content": text, "extra": {"k": text}})
    [message] = manager.history.load(session)
    assert message.content == text
    assert message.model_extra == {"extra": {"k": text}}


@given(st.text(max_size=200))
def test_a_text_is_cut_into_words_that_a_tsvector_takes(text: str) -> None:
    found = list(words._words(text))
    assert [each.start for each in found] == sorted({each.start for each in found})
    for each in found:
        assert text[each.start : each.end]
        assert "'" not in each.text
        assert "\\" not in each.text


def parts_of(said: str, tools: str = "") -> list[dict[str, str]]:
    adapted = words.adapted("words.insert", {"id": 1, "words": said, "tools": tools})
    parts: list[dict[str, str]] = json.loads(adapted["parts"])
    return parts


def test_a_long_text_is_cut_into_parts_that_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "_A_PART", 10)
    monkeypatch.setattr(words, "_OVERLAP", 3)
    text = " ".join(f"w{number}" for number in range(25))
    parts = parts_of(text, "t1 t2")
    assert [int(part["part"]) for part in parts] == list(range(len(parts)))
    assert " w7 w8 w9 " in f" {parts[1]['words']} "
    for number in range(22):
        phrase = " ".join(f"w{each}" for each in range(number, number + 4))
        assert any(phrase in part["words"] for part in parts), phrase
    assert parts[-1]["tools"] == "t1 t2"
    assert all(len(part["document"].split()) <= 11 for part in parts)


def test_very_much_text_is_found(manager: SessionManager) -> None:
    session = manager.create("a", scopes="x")
    many = " ".join(f"Wort{number:07d}" for number in range(20_000))
    longest = "x" * 5_000
    manager.history.append(session, {"role": "user", "content": f"{many} {longest} the needle at the end"})
    for keyword in ("needle", "wort0000000", "wort0019999", "wort001999*", f"{longest[:3_000]}*"):
        hits = manager.history.search(keyword, session=session)
        assert [hit.seq for hit in hits] == [1], keyword[:20]
        assert len(hits[0].snippet) < 6_000
    manager.history.delete(session)
