"""Linearizability of one session's life: could its calls have happened one at a time, each at one instant?

A session is a register that holds a generation until it ends. A history is what several processes were
answered, and when; the search (Wing and Gong) looks for an order of instants, each within its call, that the
register allows.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

__all__ = [
    "FOREVER",
    "UNKNOWN",
    "Call",
    "Register",
    "Verb",
    "is_linearizable",
    "lived",
    "shown",
    "some_history",
]

Verb = Literal["create", "refresh", "revoke", "validate", "lapse"]
UNKNOWN = "unknown"
FOREVER = 2**62
_OFTEN: dict[Verb, int] = {"refresh": 4, "revoke": 1, "validate": 9}
VERBS = [verb for verb, times in _OFTEN.items() for _ in range(times)]


class Register(NamedTuple):
    """Hold all that a session remembers: its generation, 0 before it is made, and whether it ended."""

    generation: int = 0
    ended: bool = False

    def answer(self, verb: Verb, given: int) -> tuple[str, Register]:
        """Return what a call is answered at this moment, and what the register is after it."""
        if verb == "lapse":  # its time is up, or its parent ends
            return "over", Register(self.generation, ended=True)
        if verb == "create":
            return ("not made", self) if self.generation or self.ended else ("made", Register(1))
        if verb == "revoke":
            return "already over" if self.ended else "ended", Register(self.generation, ended=True)
        if self.ended:
            return "over", self
        if verb == "refresh":
            return f"token {self.generation + 1}", Register(self.generation + 1)
        found = "accepted" if given == self.generation else "superseded"
        return found if given <= self.generation else "not made", self


class Call(NamedTuple):
    """Hold one call: who made it, with which generation, its answer, and the instants it lay between.

    One whose outcome is UNKNOWN has not returned: it may have happened at any instant since, or never. One
    that was `refused` was not told why, as a token whose key is gone by now.
    """

    process: int
    verb: Verb
    given: int
    answer: str
    called: int
    returned: int


def is_linearizable(history: Sequence[Call]) -> bool:
    """Tell whether the calls on one session can be put in an order that the register and the clock allow."""
    calls = sorted(history, key=lambda each: each.called)
    needed = sum(1 << place for place, call in enumerate(calls) if call.answer != UNKNOWN)
    seen: set[tuple[int, Register]] = set()
    stack = [(0, Register())]
    while stack:
        done, register = stack.pop()
        if done & needed == needed:
            return True
        if (done, register) in seen:
            continue
        seen.add((done, register))
        for place in _next(calls, done):
            call = calls[place]
            answer, after = register.answer(call.verb, call.given)
            if _fits(call.answer, answer):
                stack.append((done | 1 << place, after))
    return False


def _fits(told: str, answer: str) -> bool:
    return told in (answer, UNKNOWN) or (told == "refused" and answer in ("over", "superseded"))


def _next(calls: list[Call], done: int) -> Iterator[int]:
    """Yield the calls that may come first of those left: they began before any of these had returned."""
    left = [place for place in range(len(calls)) if not done >> place & 1]
    first_end = min(calls[place].returned for place in left)
    return (place for place in left if calls[place].called <= first_end)


def shown(history: Sequence[Call]) -> str:
    """Return a history to be read."""
    first = min(each.called for each in history)
    lines = [
        f"{(each.called - first) / 1e6:9.3f} to {(each.returned - first) / 1e6:9.3f} ms  "
        f"process {each.process}  {each.verb}({each.given or ''}): {each.answer}"
        for each in sorted(history, key=lambda each: each.called)
    ]
    return "\n".join(lines)


def lived(chance: random.Random, calls: int) -> list[tuple[Verb, int, str]]:
    """Return calls on a register, one after another, with the answers it gives."""
    register, life = Register(), []
    for number in range(calls):
        verb = chance.choice(VERBS) if number else "create"
        given = chance.randint(1, register.generation) if verb == "validate" else 0
        answer, register = register.answer(verb, given)
        life.append((verb, given, answer))
    return life


def some_history(chance: random.Random, calls: int) -> list[Call]:
    """Return a life whose calls overlap, each around an instant of its own."""
    history = []
    for instant, (verb, given, answer) in enumerate(lived(chance, calls)):
        before, after = (round(chance.expovariate(1 / 20)) for _ in range(2))
        called = instant * 10 - (before if instant else 0)
        history.append(Call(instant % 4, verb, given, answer, max(called, 0), instant * 10 + after))
    return history
