"""What one server holds, in one place: `state_of(request)` finds it from any endpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from clawguard.server.loads import Loads
from clawguard.server.metrics import Meters
from clawguard.server.rates import Rates
from clawguard.server.settings import Settings
from clawguard.server.tail import Tail
from clawguard.sessions.aio import AsyncSessionManager
from clawguard.sessions.families import Families
from clawguard.web.fastapi import ClawguardBearer
from clawguard.web.front import Front

__all__ = ["State", "state_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Hold what the endpoints work with; the manager is shared, and closed by whoever opened it.

    `now` is the manager's clock, in microseconds.
    """

    manager: AsyncSessionManager
    families: Families
    settings: Settings
    guard: ClawguardBearer
    front: Front[HTTPConnection]
    tail: Tail
    meters: Meters
    loads: Loads
    rates: Rates
    now: Callable[[], int]


def state_of(conn: HTTPConnection) -> State:
    """Return the state of the server that a request came to."""
    state: State = conn.app.state.clawguard
    return state
