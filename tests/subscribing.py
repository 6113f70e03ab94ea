"""What tests of durable subscribers share: waiting for what must come, and how things stand."""

from __future__ import annotations

import time
from collections.abc import Callable

from clawguard import Event, SessionManager

PATIENCE = 30.0


def until(condition: Callable[[], object]) -> None:
    """Wait for something that must come; how long it takes decides nothing."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.005)


def made(manager: SessionManager, count: int, *, agent: str = "a") -> list[str]:
    return [manager.create(agent, scopes="x").id for _ in range(count)]


def ids(events: list[Event]) -> list[str | None]:
    return [event.session_id for event in events]


def position(manager: SessionManager, name: str = "siem") -> int:
    return next(each.position for each in manager.subscribers.list() if each.name == name)
