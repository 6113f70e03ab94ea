"""Snippets: the piece of a text around what a search found in it, each find in brackets. Pure functions.

SQLite's own `snippet` compares every find in a text with every other: a text with some ten thousand of them
takes seconds, and each further one as long again.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from clawguard.history.words import UNSPACED, stems_of

__all__ = ["SEEN", "Finder"]

SEEN = 65_536  # characters of a text that are looked through
_TOKENS = 32  # in a snippet
_BEFORE = 8  # of these, so many before the first find
_LONGEST = 16  # tokens of a term that are compared
_MARK = "[\u0300-\u036f]"
_TOKEN = f"{UNSPACED}|(?:(?!{UNSPACED})[^\\W_]{_MARK}*)+"


class _Token(NamedTuple):
    start: int
    end: int
    word: str


class Finder:
    """Find the words of a search in texts, as the index does: without regard to case and accents."""

    def __init__(self, keyword: str) -> None:
        self._whole: set[tuple[str, ...]] = set()
        self._begun: dict[tuple[str, ...], tuple[str, ...]] = {}  # what a term's last word begins with
        for stem, is_beginning in stems_of(keyword):
            words = [token.word for token in _tokens(stem)]
            if is_beginning and 0 < len(words) <= _LONGEST:
                *before, last = words
                self._begun[tuple(before)] = (*self._begun.get(tuple(before), ()), last)
            elif words:
                self._whole.add(tuple(words[:_LONGEST]))
        lengths = {len(words) for words in self._whole} | {len(before) + 1 for before in self._begun}
        self._lengths = sorted(lengths, reverse=True)

    def snippet(self, *texts: str) -> str:
        """Return the piece around the first find in the first text that has one, else a text's beginning."""
        found = (self._piece(text[:SEEN]) for text in texts)
        return next((piece for piece in found if piece), None) or _beginning(next(filter(None, texts), ""))

    def _piece(self, text: str) -> str | None:
        tokens: list[_Token] = []
        finds: dict[int, int] = {}  # the first token of each, and its last one
        last = None
        for place, token in enumerate(_tokens(text)):
            if place == last:
                return _marked(text, tokens, finds, is_cut=True)
            tokens.append(token)
            length = self._ending_in(tokens)
            if length:
                first = place - length + 1
                finds[first] = place
                last = last or max(0, first - _BEFORE) + _TOKENS
        return _marked(text, tokens, finds, is_cut=False) if finds else None

    def _ending_in(self, tokens: list[_Token]) -> int:
        """Return the length of the longest term that ends with the last token, 0 where none does."""
        for length in self._lengths:
            words = tuple(token.word for token in tokens[-length:])
            begun = self._begun.get(words[:-1], ())
            if len(words) == length and (words in self._whole or words[-1].startswith(begun)):
                return length
        return 0


def _tokens(text: str) -> Iterator[_Token]:
    for found in re.finditer(_TOKEN, text):
        yield _Token(found.start(), found.end(), _folded(found[0]))


def _folded(word: str) -> str:
    lower = word.lower()
    if lower.isascii():
        return lower
    return re.sub(_MARK, "", unicodedata.normalize("NFD", lower))


def _marked(text: str, tokens: list[_Token], finds: dict[int, int], *, is_cut: bool) -> str:
    """Return the text from some tokens before the first find on, with brackets around all of them."""
    begin = max(0, min(min(finds) - _BEFORE, len(tokens) - _TOKENS))
    at = tokens[begin].start if begin else 0
    pieces = ["…"] if begin else []
    for first, last in sorted(finds.items()):
        if tokens[first].start >= at:
            pieces += [text[at : tokens[first].start], "[", text[tokens[first].start : tokens[last].end], "]"]
            at = tokens[last].end
    pieces.append(text[at : tokens[-1].end] + "…" if is_cut else text[at:])
    return "".join(pieces)


def _beginning(text: str) -> str:
    ends = [token.end for token, _ in zip(_tokens(text[:SEEN]), range(_TOKENS + 1), strict=False)]
    return text if len(ends) <= _TOKENS else text[: ends[_TOKENS - 1]] + "…"
