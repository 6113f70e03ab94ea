"""Whoever validates while others end: what is accepted and refused, told by a board that takes no clock."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from typing import NamedTuple

from clawguard import AccessDenied, SessionManager, Verifier
from tests.faults.lab import Board

__all__ = ["Seen", "told", "watch"]

_A_MOMENT = 0.0005


class Seen(NamedTuple):
    """Count answers: live tokens that were accepted, dead ones that were refused, and dead ones accepted."""

    live: int
    refused: int
    stale: int


def watch(
    holder: SessionManager | Verifier, board: Board, chance: random.Random, *, spread: int, pause: float = 0.0
) -> Seen:
    """Validate tokens old and new, with a pause before each, until all is over."""
    live = refused = stale = 0
    while not board.over:
        place = board.some(chance, spread)
        time.sleep(pause)
        before = board.state(place)
        if before == Board.UNKNOWN:
            time.sleep(_A_MOMENT)
            continue
        try:
            holder.validate(board.token(place))
        except AccessDenied:
            refused += before == Board.DEAD
        else:
            live += before == Board.LIVE
            stale += before == Board.DEAD
    return Seen(live, refused, stale)


def told(watchers: Iterable[Seen]) -> dict[str, int]:
    """Return what all of them saw, as figures."""
    live, refused, stale = (sum(each) for each in zip(*watchers, strict=True))
    return {"accepted_live": live, "refused_dead": refused, "accepted_dead": stale}
