"""The corpora: for each target a file of the inputs worth keeping, one a line, as Python writes bytes."""

from __future__ import annotations

import ast
import random
from collections.abc import Collection
from pathlib import Path

from tests.fuzz.targets import TARGETS

__all__ = ["inputs_of", "keep", "mutations"]

_FOLDER = Path(__file__).with_name("corpus")


def inputs_of(name: str) -> list[bytes]:
    """Return a target's seeds and what was kept of its runs."""
    file = _FOLDER / f"{name}.txt"
    lines = file.read_text(encoding="ascii").splitlines() if file.exists() else []
    return TARGETS[name].seeds() + [ast.literal_eval(line) for line in lines]


def keep(name: str, inputs: Collection[bytes]) -> int:
    """Write a target's file anew, with these inputs in a settled order, and return how many those are."""
    kept = sorted(set(inputs), key=lambda each: (len(each), each))
    (_FOLDER / f"{name}.txt").write_text("".join(f"{each!r}\n" for each in kept), encoding="ascii")
    return len(kept)


def mutations(inputs: list[bytes], count: int, *, seed: int) -> list[bytes]:
    """Return inputs changed a little, the same ones for the same seed."""
    chance = random.Random(seed)
    return [_mutation(chance.choice(inputs), chance.choice(inputs), chance) for _ in range(count)]


def _mutation(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return data with one to four places changed, dropped, doubled, or set to a part of another input."""
    for _ in range(chance.randint(1, 4)):
        start = chance.randint(0, len(data))
        end = min(len(data), start + chance.choice((0, 1, 1, 4, 16)))
        cut = chance.randint(0, len(other))
        new = chance.choice(
            (
                b"",
                chance.randbytes(1),
                data[start:end] * 2,
                other[cut : cut + 8],
                _flipped(data[start:end], chance),
            )
        )
        data = data[:start] + new + data[end:]
    return data


def _flipped(data: bytes, chance: random.Random) -> bytes:
    return bytes(each ^ (1 << chance.randrange(8)) for each in data)
