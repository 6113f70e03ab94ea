"""Durable subscribers: how fast they are served, and what a hanging one costs those who work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import perf_counter

from clawguard import Event, SessionManager

from .filling import Filler
from .harness import Result, Setting, benchmark, pair
from .raw import SCOPES, open_manager


@benchmark("delivery")
def delivery(setting: Setting) -> Iterator[Result]:
    """durable delivery of a backlog; validate and revoke beside a subscriber that hangs"""
    path, count = setting.path("delivery"), setting.size(50_000, 10_000)
    with Filler(path) as filler:
        filler.roots(count)
    with open_manager(path) as manager:
        rate = max(_rate(manager, f"siem-{number}", count) for number in range(3))
    yield Result("durable delivery, events", rate, 5_000, "rate", at_least=True)
    yield from _beside_a_hanging_one(setting)


def _rate(manager: SessionManager, name: str, count: int) -> float:
    done, heard = threading.Event(), [0]

    def take(_event: Event) -> None:
        heard[0] += 1
        if heard[0] == count:
            done.set()

    start = perf_counter()
    manager.on("*", take, durable=name, after=0)
    if not done.wait(120):
        raise RuntimeError(f"only {heard[0]} of {count} events came")
    took = perf_counter() - start
    manager.off(take)
    return count / took


def _beside_a_hanging_one(setting: Setting) -> Iterator[Result]:
    rounds, go = setting.size(25, 11), threading.Event()
    with open_manager(setting.path("hanging")) as beside, open_manager(setting.path("alone")) as alone:
        beside.on("*", lambda _event: go.wait(600), durable="hangs")
        tokens = [manager.create("planner", scopes=SCOPES).token for manager in (beside, alone)]
        yield pair(
            lambda: beside.validate(tokens[0]), lambda: alone.validate(tokens[1]), rounds=rounds, number=200
        ).against("validate beside a hanging subscriber", 1.1)
        ours, theirs = (
            iter([each.create("planner", scopes=SCOPES).id for _ in range(rounds * 20 + 1)])
            for each in (beside, alone)
        )
        yield pair(
            lambda: beside.revoke(next(ours)), lambda: alone.revoke(next(theirs)), rounds=rounds, number=20
        ).against("  revoke", 1.1)
        go.set()
