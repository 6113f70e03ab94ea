"""Texts as PostgreSQL takes them: words apart, searches, and characters that it has no room for.

What a word is must not hang on the server's locale or its parser, which takes addresses and numbers for more
than words. So the library says it: runs of letters and digits, without case or accents, as SQLite's
`unicode61` does.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from clawguard.store import Row

__all__ = ["adapted", "adapted_row", "restored"]

_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff"  # accents that stand for themselves
_WORD = re.compile(rf"[^\W_](?:[^\W_]|[{_MARKS}])*")
_TERM = re.compile(r'"((?:[^"]|"")*)"(\*?)')
_A_PART = 12_000  # words; a tsvector knows 16,383 places
_PART_BYTES = 400_000  # of its words; a tsvector has room for 1 MB
_OVERLAP = 100  # words; what is looked for side by side is found across the end of a part
_WORD_BYTES = 2_000  # a tsvector takes 2,046
_ESCAPE, _ITSELF, _NUL = "\ufdd0", "\ufdd1", "\ufdd2"  # never characters; no text of PostgreSQL's has a NUL


class _Word(NamedTuple):
    text: str
    start: int
    end: int


class _Term(NamedTuple):
    words: tuple[str, ...]
    is_beginning: bool


def adapted(name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters of a named statement as PostgreSQL takes them."""
    if name == "words.insert":
        return {"id": params["id"], "parts": json.dumps(list(_parts(params["words"], params["tools"])))}
    if name == "words.search":
        return {**params, "query": _tsquery(_terms(params["query"]))}
    if _is_of_free_text(name):
        return {key: _escaped(value) if type(value) is str else value for key, value in params.items()}
    return params


def adapted_row(name: str, row: Sequence[Any]) -> Sequence[Any]:
    """Return the values of a named statement, given in its order, as PostgreSQL takes them."""
    if _is_of_free_text(name):
        return [_escaped(value) if type(value) is str else value for value in row]
    return row


def restored(name: str, rows: list[Row]) -> list[Row]:
    """Return the rows of a named statement as they were meant."""
    if _is_of_free_text(name):
        return [tuple(_unescaped(each) if type(each) is str else each for each in row) for row in rows]
    return rows


def _is_of_free_text(name: str) -> bool:
    """Tell whether a statement writes or reads what may be any text: entries, and values of milestones."""
    return name.startswith(("entry.", "milestone.")) or name.endswith((".entries", ".milestones"))


def _escaped(text: str) -> str:
    if "\0" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, _ESCAPE + _ITSELF).replace("\0", _ESCAPE + _NUL)


def _unescaped(text: str) -> str:
    if _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE + _NUL, "\0").replace(_ESCAPE + _ITSELF, _ESCAPE)


def _words(text: str) -> Iterator[_Word]:
    for found in _WORD.finditer(text):
        yield _Word(_folded(found[0]), found.start(), found.end())


def _folded(word: str) -> str:
    if word.isascii():
        return word.lower()[:_WORD_BYTES]
    plain = unicodedata.normalize("NFD", unicodedata.normalize("NFD", word).casefold())
    bare = re.sub(rf"[{_MARKS}]", "", plain)
    return bare.encode()[:_WORD_BYTES].decode(errors="ignore")


def _parts(words: str, tools: str) -> Iterator[dict[str, Any]]:
    """Yield both texts in parts that a tsvector has room for, what tools gave behind what was said."""
    part = 0
    for column, text in (("words", words), ("tools", tools)):
        for piece, document in _pieces(text):
            yield {"part": part, "words": "", "tools": "", column: piece, "document": document}
            part += 1
    if not part:  # nothing to be found by, but it has been gone over
        yield {"part": part, "words": "", "tools": "", "document": ""}


def _pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield a text's pieces, which overlap, and for each the words in it with their places."""
    found, held = _words(text), list[_Word]()
    begin, is_last = 0, False
    while not is_last:
        fresh = 0
        for word in islice(found, _A_PART - len(held)):
            held.append(word)
            fresh += len(word.text.encode())
            if fresh > _PART_BYTES:
                break
        following = next(found, None)
        is_last = following is None
        end = len(text) if following is None else following.start
        if held:
            yield text[begin:end], _tsvector(held)
        held = held[-_OVERLAP:]
        begin = held[0].start if held else end
        if following is not None:
            held.append(following)


def _tsvector(words: list[_Word]) -> str:
    places: dict[str, list[str]] = {}
    for place, word in enumerate(words, 1):
        places.setdefault(word.text, []).append(str(place))
    return " ".join(f"'{word}':{','.join(at)}" for word, at in places.items())


def _terms(query: str) -> list[_Term]:
    """Read a search as `clawguard.history.words.matching` writes it: any of several phrases or beginnings."""
    found = []
    for quoted, star in _TERM.findall(query):
        words = tuple(word.text for word in _words(quoted.replace('""', '"')))
        if words:
            found.append(_Term(words, bool(star)))
    return found


def _tsquery(terms: list[_Term]) -> str:
    def written(term: _Term) -> str:
        *before, last = (f"'{word}'" for word in term.words)
        return " <-> ".join([*before, last + (":*" if term.is_beginning else "")])

    return " | ".join(f"({written(term)})" for term in terms)
