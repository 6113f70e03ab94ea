"""The words that an entry is found by, and what a search makes of any text. Pure functions.

SQLite's `unicode61` takes a run of letters for one word. Where a script has no blanks between words, each
character is a word of its own here, set apart by zero-width blanks; a search for several looks for them side
by side. So a name in the middle of a Chinese sentence is found, and a snippet reads as the text did.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["UNSPACED", "matching", "ranked", "readable", "stems_of", "words_of"]

_LONGEST = 262_144  # characters: more would keep other writers waiting for seconds
_RANKED = 8  # words of a search, each of which is one more walk through what it finds
_APART = "\N{ZERO WIDTH SPACE}"
# Texts and no compiled patterns, whose making would fall to every import; `re` keeps them once they are used.
UNSPACED = (
    "([\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff])"
)
_UNSEEN = "[\0\ud800-\udfff]"  # what ends a text for SQLite, and what no UTF-8 text has


def words_of(role: str | None, content: str, data: str | None, tools_indexed: int) -> tuple[str, str] | None:
    """Return what an entry is found by: what was said, and what tools were given and gave, if that is wanted.

    Of each its first 262,144 characters. None where there is nothing to be found by.
    """
    is_result = role == "tool"
    said = "" if is_result else _set_apart(content[:_LONGEST])
    given = filter(None, (content if is_result else "", data)) if tools_indexed else ()
    tools = _set_apart(" ".join(given)[:_LONGEST])
    return (said, tools) if said or tools else None


def matching(keyword: str) -> str | None:
    """Return a search for any word of a text, or None for a text without one; no text is a wrong one.

    A word ends at a blank; what stands in it between letters, as in `docs:read`, may be anything. One that
    ends in `*` stands for all that begin so.
    """
    return " OR ".join(dict.fromkeys(_term(*each) for each in stems_of(keyword))) or None


def ranked(keyword: str) -> list[str]:
    """Return the searches whose finds are weighed each by itself: the first words, all others together."""
    terms = list(dict.fromkeys(_term(*each) for each in stems_of(keyword)))
    first, rest = terms[:_RANKED], terms[_RANKED:]
    return [*first, " OR ".join(rest)] if rest else first


def stems_of(keyword: str) -> Iterator[tuple[str, bool]]:
    """Yield what a text searches for, and of each whether it stands for all that begin so."""
    for word in re.sub(_UNSEEN, " ", keyword).split():
        stem = word.rstrip("*")
        if stem:
            yield stem, stem != word


def readable(text: str) -> str:
    """Return what was set apart as it was written."""
    return text.replace(_APART, "")


def _term(stem: str, is_beginning: bool) -> str:
    quoted = _set_apart(stem).replace('"', '""')
    return f'"{quoted}"' + "*" * is_beginning


def _set_apart(text: str) -> str:
    return re.sub(UNSPACED, rf"{_APART}\1{_APART}", re.sub(_UNSEEN, " ", text))
