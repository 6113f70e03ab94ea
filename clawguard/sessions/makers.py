"""For whom sessions are made here: a server makes them for its callers, who may do less than a host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from clawguard.sessions.current import bound_actor

__all__ = ["Maker", "made_for", "maker_here", "who_makes"]


class Maker(NamedTuple):
    """Say for whose session a create or delegate is, and how far its authority goes.

    No root lasts beyond `ends_at` (microseconds UTC). Where an agent has as many sessions as it
    may, only a maker that `evicts` ends one of them for another.
    """

    session_id: str
    ends_at: int | None = None
    evicts: bool = False


_maker: ContextVar[Maker | None] = ContextVar("clawguard_maker", default=None)


@contextmanager
def made_for(maker: Maker) -> Iterator[None]:
    """Have what is made in a block made for somebody, also in threads that have its context."""
    before = _maker.set(maker)
    try:
        yield
    finally:
        _maker.reset(before)


def maker_here() -> Maker | None:
    """Return for whom sessions are made here, or None for the host itself."""
    return _maker.get()


def who_makes(*, by_token_of: str | None = None) -> str | None:
    """Return who makes a session here, for the log: a maker, the bound session, an agent by its token."""
    maker = _maker.get()
    if maker is not None:
        return f"session:{maker.session_id}"
    return bound_actor() or (None if by_token_of is None else f"session:{by_token_of}")
