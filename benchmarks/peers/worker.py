"""One side of a comparison, in its own environment: each line read is a round, answered with a line of JSON.

`echo | python -m benchmarks.peers.worker pyjwt` measures all works of a module once. Only the standard
library is imported here, since nothing else stands in every environment.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sqlite3
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TextIO

from .measures import Works

__all__ = ["main", "rounds"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Set a module's works up and answer rounds until the input ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("module")
    parser.add_argument("works", nargs="*", help="those to measure; none named, all")
    parser.add_argument("--seconds", type=float, default=0.05, help="about how long a loop takes")
    parser.add_argument("--version-of", action="append", default=[], metavar="DISTRIBUTION")
    options = parser.parse_args(arguments)
    answers = _standard_output_alone()
    module = importlib.import_module(f"{__package__}.{options.module}")
    with tempfile.TemporaryDirectory(prefix="clawguard-peer-") as folder, module.works(Path(folder)) as works:
        for seconds in rounds(sys.stdin, works, options.works or list(works), options.seconds):
            about = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}
            versions = {name: version(name) for name in options.version_of}
            line = {"module": options.module, **about, "versions": versions, "seconds": seconds}
            print(json.dumps(line), file=answers, flush=True)


def rounds(
    asked: Iterable[str], works: Works, chosen: Sequence[str], seconds: float
) -> Iterable[dict[str, float]]:
    """Do all chosen works once for each line, every second time backwards."""
    turns = list(chosen)
    for _ in asked:
        found = {name: works[name](seconds) for name in turns}
        turns.reverse()
        yield found


def _standard_output_alone() -> TextIO:
    """Return the standard output; what others print from now on goes to the standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


if __name__ == "__main__":
    main()
