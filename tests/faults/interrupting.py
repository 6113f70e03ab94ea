"""Work under time limits that strike at any instruction; run as a program, away from all that watches tests.

What measures or times a test takes locks of its own in Python, which such a signal would leave locked.
"""

from __future__ import annotations

import random
import signal
import sys

from clawguard import SessionManager


class Late(BaseException):
    """What a time limit raises."""


def raise_late(*_: object) -> None:
    raise Late


def strike(manager: SessionManager, chance: random.Random) -> bool:
    """Work under a time limit that strikes at some moment, then write once in peace."""
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0002, 0.003))
        try:
            for _ in range(100):
                manager.validate(manager.create("a", scopes="x").token)
            struck = False
        except Late:
            struck = True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Late:
        struck = True
    manager.create("peace", scopes="x")
    return struck


def main(path: str, limits: int, seed: int) -> None:
    chance = random.Random(seed)
    signal.signal(signal.SIGALRM, raise_late)
    with SessionManager.open(path, sweep_every=None, lock_timeout=1) as manager:
        print(sum(strike(manager, chance) for _ in range(limits)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
