"""A forger with the whole file in hand: whatever he does to the log, a checkpoint kept elsewhere tells."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.events.test_tampering import CHANGES, SIZE, Lab, relinked
from tests.faults.lab import report, sizes


def forged(lab: Lab, chance: random.Random) -> tuple[str, bool]:
    """Change the log in one to four ways at random, then perhaps compute its hashes anew; say how."""
    log, done = lab.log, []
    for _ in range(chance.randint(1, 4)):
        what = chance.choice([*CHANGES, "truncate"])
        place = chance.randrange(len(log))
        log = log[: max(2, place)] if what == "truncate" else CHANGES[what](log, place)
        done.append(f"{what} at {place}")
    if log == lab.log:  # what was swapped was swapped back
        return forged(lab, chance)
    is_careful = chance.random() < 0.5
    log = relinked(log, lab.start) if is_careful else log
    alone, _, end = lab.verify(log)
    assert not end, f"not found: {', '.join(done)}, hashes {'anew' if is_careful else 'as they were'}"
    return "told by the chain alone" if not alone else "told by the checkpoint only", is_careful


@pytest.mark.parametrize("forgeries", sizes(15, 400))
def test_every_forgery_is_found_against_a_checkpoint(tmp_path: Path, forgeries: int, seed: int) -> None:
    lab, chance = Lab(tmp_path / "data" / "clawguard.db"), random.Random(seed)
    found = [forged(lab, chance) for _ in range(forgeries)]
    by_the_chain = sum(how == "told by the chain alone" for how, _ in found)
    careful = sum(is_careful for _, is_careful in found)
    report(
        "tampering", entries=SIZE, forgeries=forgeries, found=len(found), by_the_chain_alone=by_the_chain,
        hashes_computed_anew=careful,
    )  # fmt: skip
    assert by_the_chain < len(found), "the chain alone tells all: this shows nothing of checkpoints"
