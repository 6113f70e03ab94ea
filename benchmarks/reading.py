"""Validate: a hit, a hit in many threads, a miss, each against `jwt.decode` of the same token."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from clawguard import Verifier

from .harness import Result, Setting, benchmark, pair, pair_in_threads
from .raw import SCOPES, decoder, open_manager

_THREADS = (2, 4, 8)


@benchmark("hit")
def hit(setting: Setting) -> Iterator[Result]:
    """validate of a token seen before, with require=; one thread and several"""
    with open_manager(setting.path("hit")) as manager:
        token = manager.create("planner", scopes=SCOPES).token
        decode = decoder(manager)

        def ours() -> object:
            return manager.validate(token, require="docs:read")

        def theirs() -> object:
            return decode(token)

        rounds = setting.size(25, 11)
        yield pair(ours, theirs, rounds=rounds, number=200).against(
            "validate, hit, require=, to jwt.decode", 1 / 10, "part"
        )
        for threads in _THREADS:
            found = pair_in_threads(
                ours, theirs, threads=threads, rounds=setting.size(11, 5), numbers=(8_000, 800)
            )
            yield found.against(f"  the same in {threads} threads", 1 / 5, "part")


@benchmark("bounded")
def bounded(setting: Setting) -> Iterator[Result]:
    """validate of a token seen before, with max_staleness=1"""
    with open_manager(setting.path("bounded"), max_staleness=1) as manager:
        token = manager.create("planner", scopes=SCOPES).token
        decode = decoder(manager)
        manager.validate(token)
        found = pair(
            lambda: manager.validate(token, require="docs:read"),
            lambda: decode(token),
            rounds=setting.size(25, 11),
            number=200,
        )
        yield found.against("validate, hit, max_staleness=1, to jwt.decode", 1 / 40, "part")


@benchmark("miss")
def miss(setting: Setting) -> Iterator[Result]:
    """validate of a token never seen before"""
    rounds, number = setting.size(25, 9), 30
    path = setting.path("miss")
    with open_manager(path) as manager, Verifier.open(path) as verifier:
        tokens = [manager.create("planner", scopes=SCOPES).token for _ in range(rounds * number + 1)]
        fresh, again, decode = iter(tokens), cycle(tokens), decoder(manager)

        def ours() -> object:
            return verifier.validate(next(fresh), require="docs:read")

        def theirs() -> object:
            return decode(next(again))

        yield pair(ours, theirs, rounds=rounds, number=number).against("validate, miss, to jwt.decode", 1.35)
