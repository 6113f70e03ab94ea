"""One run for the power cuts: it writes, is heard, is signed for, and says each time what it was told."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from unittest.mock import patch

from clawguard import SessionManager
from tests.faults.lab import Acks


def main(path: Path, acks_path: Path, steps: int, every: int) -> None:
    """Do some steps of each kind on a database that is there, with a checkpoint every so many commits."""
    with (
        patch("clawguard.store.transaction.CHECKPOINT_EVERY", every),
        patch("clawguard.store.sqlite.CHECKPOINT_EVERY", every),
    ):
        pile(path, 4 * every)
        work(path, acks_path, steps)


def pile(path: Path, count: int) -> None:
    """Do what need not survive power loss, so that only a checkpoint syncs it."""
    with SessionManager.open(path, sweep_every=None) as manager:
        for _ in range(count):
            manager.create("agent", scopes="a")


def work(path: Path, acks_path: Path, steps: int) -> None:
    """Do the steps."""
    acks, chance = Acks(acks_path), random.Random(steps)
    with SessionManager.open(path, sweep_every=0.02) as manager:
        manager.events.register("note.taken")
        manager.on(
            "*", lambda event: acks.add("heard", event.seq, event.id, event.hash), durable="siem", after=0
        )
        manager.events.checkpoints(lambda made: acks.add("checkpoint", made.size, str(made)), every=7)
        live = [manager.create("agent", scopes="a") for _ in range(3)]
        for turn in range(steps):
            what = chance.choice(("create", "create", "delegate", "revoke", "refresh", "publish"))
            if what == "create":
                live.append(manager.create("agent", scopes="a"))
            elif what == "delegate":
                manager.delegate(chance.choice(live), "helper", scopes="a")
            elif what == "revoke" and len(live) > 3:
                ended = live.pop(chance.randrange(len(live)))
                manager.revoke(ended)
                acks.add("ended", ended.id)
            elif what == "refresh":
                place = chance.randrange(len(live))
                live[place] = manager.refresh(live[place])
                acks.add("refreshed", live[place].id, live[place].generation)
            elif what == "publish":
                event = manager.publish("note.taken", {"turn": turn})
                acks.add("published", event.seq, event.id, event.hash)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
