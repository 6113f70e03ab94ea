"""Scopes: their grammar, what covers what, and how authority narrows. Pure functions.

A scope is ASCII: segments of `[a-z0-9._-]+` joined by `:`, at most 16 segments and 255 characters; the last
segment may be `*`. `a:*` covers `a:b` and `a:b:c`, neither `a` nor `ab:c`; `*` covers everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from clawguard.errors import InvalidArgument

__all__ = ["EVERYTHING", "MAX_SCOPES", "ScopeSet", "Scopes", "check_scope", "parse_scopes"]

MAX_SCOPES = 256
_MAX_TEXT = 8_192
_SCOPE = re.compile(
    r"(?=.{1,255}\Z)(?:[a-z0-9._-]+(?::[a-z0-9._-]+){0,14}(?::[a-z0-9._-]+|:\*)?|\*)", re.ASCII
)


def check_scope(scope: object, *, argument: str = "scopes") -> str:
    """Return the scope if it fits the grammar, else raise InvalidArgument."""
    if not isinstance(scope, str) or not _SCOPE.fullmatch(scope):
        raise InvalidArgument(
            argument,
            "holds a malformed scope",
            hint="write lower-case ASCII segments such as 'docs:read' or 'docs:*', separated by spaces",
        )
    return scope


class ScopeSet:
    """Hold scopes, immutable and sorted; `in` honours wildcards.

    `"docs:read" in ScopeSet.of("docs:*")` is True. Iteration gives the scopes as they were granted.
    """

    __slots__ = ("_exact", "_prefixes", "_sorted")

    _sorted: tuple[str, ...]
    _exact: frozenset[str]
    _prefixes: tuple[str, ...]

    def __init__(self, scopes: Iterable[str] = ()) -> None:
        try:
            exact = frozenset(check_scope(scope) for scope in scopes)
        except TypeError:
            raise InvalidArgument("scopes", "must be an iterable of strings") from None
        if len(exact) > MAX_SCOPES or sum(map(len, exact)) > _MAX_TEXT:
            raise InvalidArgument("scopes", f"must be at most {MAX_SCOPES}, of {_MAX_TEXT} characters in all")
        self._fill(exact)

    @classmethod
    def _of_checked(cls, scopes: Iterable[str]) -> ScopeSet:
        """Hold scopes that were checked before: what two lawful sets share may be more than one may ask."""
        made = cls.__new__(cls)
        made._fill(frozenset(scopes))
        return made

    def _fill(self, exact: frozenset[str]) -> None:
        set_field = object.__setattr__
        set_field(self, "_sorted", tuple(sorted(exact)))
        set_field(self, "_exact", exact)
        set_field(self, "_prefixes", tuple(scope[:-1] for scope in exact if scope.endswith("*")))

    @classmethod
    def of(cls, scopes: Scopes, *, argument: str = "scopes") -> ScopeSet:
        """Return the scopes given as a space-separated string or any iterable as one set."""
        return parse_scopes(scopes, argument=argument)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("a ScopeSet is immutable")

    def __contains__(self, scope: object) -> bool:
        if not isinstance(scope, str):
            return False
        if scope in self._exact:
            return True
        return (
            bool(self._prefixes) and scope.startswith(self._prefixes) and _SCOPE.fullmatch(scope) is not None
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._sorted)

    def __len__(self) -> int:
        return len(self._sorted)

    def __eq__(self, other: object) -> bool:
        return self._exact == other._exact if isinstance(other, ScopeSet) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._exact)

    def __str__(self) -> str:
        return " ".join(self._sorted)

    def __repr__(self) -> str:
        return f"ScopeSet({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return ScopeSet._of_checked, (self._sorted,)

    def _covers(self, scope: str) -> bool:
        """Tell whether a scope that was checked before is covered."""
        return scope in self._exact or (bool(self._prefixes) and scope.startswith(self._prefixes))

    def missing(self, wanted: ScopeSet) -> tuple[str, ...]:
        """Return those of the wanted scopes that this set does not cover, in order."""
        if wanted._exact <= self._exact:
            return ()
        return tuple(scope for scope in wanted._sorted if not self._covers(scope))

    def intersect(self, other: ScopeSet) -> ScopeSet:
        """Return what both sets cover."""
        if self._exact == other._exact:
            return self
        if ("*" in self._exact) != ("*" in other._exact):
            return other if "*" in self._exact else self
        return _intersect(self, other)

    def union(self, other: ScopeSet) -> ScopeSet:
        """Return what either set covers."""
        return ScopeSet._of_checked((*self, *other)) if self.missing(other) else self


@lru_cache(maxsize=4_096)
def _intersect(one: ScopeSet, other: ScopeSet) -> ScopeSet:
    """Intersect once and share the set: the same rows meet the same ceilings again and again."""
    kept = {scope for scope in one if other._covers(scope)} | {scope for scope in other if one._covers(scope)}
    return ScopeSet._of_checked(kept)


EVERYTHING = ScopeSet(("*",))

Scopes = str | ScopeSet | Iterable[str]


def parse_scopes(scopes: Scopes, *, argument: str = "scopes") -> ScopeSet:
    """Return scopes as a set; a string is split on the space U+0020 alone.

    Raises InvalidArgument for a malformed scope, more than 256 of them, or over 8,192 characters.
    """
    if isinstance(scopes, ScopeSet):
        return scopes
    try:
        if isinstance(scopes, str):
            return _parse_text(scopes)
        listed = tuple(scopes)
        for scope in listed:
            check_scope(scope, argument=argument)
        return _parse_text(" ".join(listed))
    except InvalidArgument as error:
        raise InvalidArgument(argument, error.message.partition(": ")[2], hint=error.hint) from None
    except TypeError:
        raise InvalidArgument(argument, "must be a string or an iterable of strings") from None


@lru_cache(maxsize=4_096)
def _parse_text(text: str) -> ScopeSet:
    """Parse once and share the set: contexts in the cache hold the same object."""
    if len(text) > _MAX_TEXT:
        raise InvalidArgument("scopes", f"must be at most {_MAX_TEXT} characters in all")
    return ScopeSet(scope for scope in text.split(" ") if scope)
