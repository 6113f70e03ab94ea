"""What grows with the number of sessions, and what must not: many sessions against a thousand, and a tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from time import perf_counter

from clawguard import SessionManager

from .filling import Filler, mint, sample
from .harness import Act, Pair, Result, Setting, alternate, benchmark, pair
from .raw import SCOPES, open_manager

_FEW = 1_000


class _Side:
    """Hold one of the two databases: an open manager, and sessions from all over it."""

    def __init__(self, path: Path, size: int, revokes: int) -> None:
        self.path = path
        with Filler(path) as filler:
            ids = filler.roots(size)
        spread = sample(ids, _FEW)
        self.manager = open_manager(path)
        self.scattered = cycle(self._seen(mint(path, spread[revokes:])))
        self.to_revoke = iter(spread[:revokes])

    def _seen(self, tokens: list[str]) -> list[str]:
        for token in tokens:
            self.manager.validate(token)
        return tokens

    def validate_recent(self) -> Act:
        manager = self.manager
        tokens = cycle(self._seen([manager.create("recent", scopes=SCOPES).token for _ in range(100)]))
        return lambda: manager.validate(next(tokens), require="docs:read")

    def validate_scattered(self) -> object:
        return self.manager.validate(next(self.scattered), require="docs:read")

    def create(self) -> object:
        return self.manager.create("planner", scopes=SCOPES)

    def revoke(self) -> object:
        return self.manager.revoke(next(self.to_revoke))

    def page(self) -> object:
        return self.manager.sessions.page(limit=50)

    def page_of_agent(self) -> object:
        return self.manager.sessions.page(agent_id="agent-7", live=True, limit=50)


@benchmark("many")
def many(setting: Setting) -> Iterator[Result]:
    """a database of 1,000,000 sessions (quick: 100,000) against one of 1,000"""
    rounds = setting.size(21, 9)
    large = _Side(setting.path("many"), setting.size(1_000_000, 100_000), revokes=rounds * 15 + 1)
    small = _Side(setting.path("few"), _FEW, revokes=rounds * 15 + 1)
    with large.manager, small.manager:
        yield from _compare(large, small, rounds)
    yield _opening(large.path, small.path, rounds)


def _compare(large: _Side, small: _Side, rounds: int) -> Iterator[Result]:
    head = "many sessions to 1,000: "
    found = pair(large.validate_recent(), small.validate_recent(), rounds=rounds, number=300)
    yield found.against(f"{head}validate, recent", 1.3)
    found = pair(large.validate_scattered, small.validate_scattered, rounds=rounds, number=200)
    yield found.against(f"{head}validate, scattered", 1.7)
    found = pair(large.create, small.create, rounds=rounds, number=20)
    yield found.against(f"{head}create", 1.3)
    found = pair(large.page, small.page, rounds=rounds, number=10)
    yield found.against(f"{head}page of 50", 1.3)
    found = pair(large.revoke, small.revoke, rounds=rounds, number=15)
    yield found.against(f"{head}revoke, scattered", 1.7)


def _opening(large: Path, small: Path, rounds: int) -> Result:
    opened: list[SessionManager] = []

    def opens(path: Path) -> Act:
        return lambda: opened.append(SessionManager.open(path, sweep_every=None))

    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for into, found in zip(times, alternate(opens(large), opens(small), rounds=1, number=1), strict=True):
            into.extend(found)
        with ExitStack() as stack:
            for manager in opened:
                stack.enter_context(manager)
        opened.clear()
    return Pair(*times).against("many sessions to 1,000: open", 1.3)


@benchmark("tree")
def tree(setting: Setting) -> Iterator[Result]:
    """revoke of a tree of 10,000 sessions, in one transaction"""
    path = setting.path("tree")
    size = 10_000
    with Filler(path) as filler:
        roots = [filler.tree(size) for _ in range(setting.size(5, 3))]
    times = []
    with open_manager(path) as manager:
        for root in roots:
            before = manager.active_count()
            start = perf_counter()
            manager.revoke(root)
            times.append(perf_counter() - start)
            if before - manager.active_count() != size:
                raise RuntimeError("the tree did not end as a whole")
    yield Result("revoke a tree of 10,000", min(times), 0.5, "seconds")
