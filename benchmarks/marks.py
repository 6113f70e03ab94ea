"""The parts of a page that a program makes: each stands between two marks, and only its maker changes it."""

from __future__ import annotations

__all__ = ["PageHasNoMark", "filled"]

_END = "<!-- end -->"


class PageHasNoMark(ValueError):
    """A page lacks the marks that a part of it is to be written between."""


def filled(page: str, part: str, made: str) -> str:
    """Return a page with what was made in the place of what stood between the marks of a part.

    Raises `PageHasNoMark` where the part does not begin or does not end.
    """
    begin = f"<!-- made: {part} -->"
    before, begun, rest = page.partition(begin)
    _, ended, after = rest.partition(_END)
    if not begun or not ended:
        raise PageHasNoMark(f"the page needs a line {begin} and below it a line {_END}")
    return f"{before}{begin}\n\n{made}\n\n{_END}{after}"
