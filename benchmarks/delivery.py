"""The event bus under load: how fast it delivers, what a hanging subscriber or a denied agent costs."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

from clawguard import AccessDenied, Event, SessionManager

from .filling import Filler
from .harness import Result, Setting, benchmark, pair
from .raw import SCOPES, open_manager


@benchmark("delivery")
def delivery(setting: Setting) -> Iterator[Result]:
    """durable delivery of a backlog; validate and revoke beside a subscriber that hangs"""
    path, events = setting.path("delivery"), setting.size(50_000, 10_000)
    with Filler(path) as filler:
        filler.roots(events)
    with open_manager(path) as manager:
        rate = max(_rate(manager, f"siem-{number}", events) for number in range(3))
    yield Result("durable delivery, events", rate, 5_000, "rate", at_least=True)
    yield from _beside_a_hanging_one(setting)


def _rate(manager: SessionManager, name: str, events: int) -> float:
    done, heard = threading.Event(), [0]

    def take(_event: Event) -> None:
        heard[0] += 1
        if heard[0] == events:
            done.set()

    start = perf_counter()
    manager.on("*", take, durable=name, after=0)
    if not done.wait(120):
        raise RuntimeError(f"only {heard[0]} of {events} events came")
    took = perf_counter() - start
    manager.off(take)
    return events / took


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


@benchmark("denied")
def denied(setting: Setting) -> Iterator[Result]:
    """create and revoke while another process is denied in a loop, against one that is let in"""
    context = multiprocessing.get_context("spawn")
    is_denied, is_over = context.Value("b", 0), context.Event()
    path = setting.path("denied")
    with open_manager(path) as manager:
        token = manager.create("planner", scopes=SCOPES).token
        asking = context.Process(target=_ask, args=(path, token, is_denied, is_over), daemon=True)
        asking.start()

        def beside(is_so: int) -> None:
            is_denied.value = is_so
            manager.revoke(manager.create("worker", scopes=SCOPES))

        try:
            yield pair(lambda: beside(1), lambda: beside(0), rounds=setting.size(41, 15), number=20).against(
                "create and revoke beside an agent that is denied in a loop", 1.1
            )
        finally:
            is_over.set()
            asking.join(30)


def _ask(path: Path, token: str, is_denied: Any, is_over: Any) -> None:
    with SessionManager.open(path) as manager:
        for number in count():
            if is_over.is_set():
                return
            for _ in range(100):
                with suppress(AccessDenied):
                    manager.validate(token, require=f"do:{number}" if is_denied.value else ())
