"""What `bench` measures: what this machine makes of the main verbs, in terms of one `jwt.decode` here."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jwt

from clawguard import SessionManager

__all__ = ["Row", "measure"]

_BATCH = 50


class Row(NamedTuple):
    """Hold what one of something took, in microseconds."""

    what: str
    microseconds: float


def measure(seconds: float, *, progress: Callable[[int], None]) -> Iterator[Row]:
    """Measure each verb for its share of so many seconds, in a database of its own that is removed.

    `jwt.decode` of the same token comes first: what the others are held against. `progress` is told how many
    are done.
    """
    with (
        tempfile.TemporaryDirectory(prefix="clawguard-bench-") as folder,
        SessionManager.open(Path(folder, "clawguard.db"), sweep_every=None) as manager,
    ):
        plays = _plays(manager)
        for done, (what, play) in enumerate(plays, start=1):
            yield Row(what, _median(play, seconds / len(plays)) * 1e6)
            progress(done)


def _plays(manager: SessionManager) -> list[tuple[str, Callable[[], object]]]:
    planner = manager.create("planner", scopes="docs:read mail:send")
    other = manager.create("other", scopes="docs:read")
    keys = {each["kid"]: jwt.PyJWK(each).key for each in manager.keys.jwks()["keys"]}
    key = keys[jwt.get_unverified_header(planner.token)["kid"]]
    waiting = [manager.create("leaf", scopes="docs:read").id]

    def decode() -> object:
        return jwt.decode(
            planner.token, key, algorithms=["ES256"], audience=planner.audience, issuer=manager.issuer
        )

    def create() -> None:
        waiting.append(manager.create("leaf", scopes="docs:read").id)

    def revoke() -> None:
        manager.revoke(waiting.pop() if waiting else manager.create("leaf", scopes="docs:read"))

    return [
        ("jwt.decode, for comparison", decode),
        ("validate", lambda: manager.validate(planner.token, require="docs:read")),
        ("create", create),
        ("delegate", lambda: manager.delegate(planner, "child", scopes="docs:read")),
        ("refresh", lambda: manager.refresh(other)),
        ("revoke", revoke),
    ]


def _median(play: Callable[[], object], seconds: float) -> float:
    """Return the median time of one call, in seconds; the first ones, which warm up, do not count."""
    for _ in range(_BATCH // 10):
        play()
    times, deadline = [], time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        began = time.perf_counter()
        play()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
