"""Rounds of a peer and of clawguard in turn, so that whatever else the machine does meets both."""

from __future__ import annotations

import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from .catalogue import Peer, works_of
from .environments import ROOT, NotInstalled, environment, reason
from .figures import BadLine, Figures, Line, read_line

__all__ = ["Broken", "Size", "Worker", "measured", "started"]

_PATIENCE = 180  # seconds for one round, the first of which sets everything up
_FAREWELL = 30  # seconds until a worker that does not end by itself is ended


class Size(NamedTuple):
    """Say how many rounds there are, and about how many seconds a loop takes."""

    rounds: int
    seconds: float


class Broken(RuntimeError):
    """A worker gave no round."""


class Worker:
    """Hold the process that measures one side."""

    def __init__(
        self, module: str, works: Sequence[str], process: subprocess.Popen[str], said: IO[str]
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._module = module
        self._works = works
        self._process = process
        self._asked, self._answers = process.stdin, process.stdout
        self._said = said

    def round(self) -> Line:
        """Have all works done once. Raises Broken with what the process said last."""
        with suppress(BrokenPipeError):  # it has ended, and its last words say more
            self._asked.write("\n")
            self._asked.flush()
        if not select.select([self._answers], [], [], _PATIENCE)[0]:
            raise Broken(f"{self._module} gave no round within {_PATIENCE} s")
        text = self._answers.readline()
        if not text:
            self._process.wait()
            self._said.seek(0)
            raise Broken(f"{self._module} ended: {reason(self._said.read())}")
        try:
            return read_line(text, self._works)
        except BadLine as problem:
            raise Broken(f"{self._module} gave {problem}") from None

    def end(self) -> None:
        """Have it end, so that it removes what it wrote."""
        with suppress(BrokenPipeError):
            self._asked.close()
        try:
            self._process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            self._process.kill()


@contextmanager
def started(python: Path | str, module: str, works: Sequence[str], *options: str) -> Iterator[Worker]:
    """Start a worker in an environment, and end it."""
    command = [str(python), "-m", "benchmarks.peers.worker", module, *works, *options]
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as said,
        subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True
        ) as process,
    ):
        worker = Worker(module, works, process, said)
        try:
            yield worker
        finally:
            worker.end()


def measured(peer: Peer, size: Size) -> Figures:
    """Measure a peer and clawguard beside it; where that fails the figures say why, and no more."""
    works, our_works = works_of(peer)
    figures = Figures()
    loops = ("--seconds", str(size.seconds))
    try:
        python = environment(peer)
        with (
            started(python, peer.module, works, *loops, "--version-of", peer.name) as theirs,
            started(sys.executable, "ours", our_works, *loops) as ours,
        ):
            _round([theirs, ours])  # sets both up, and finds how long their loops are
            for number in range(size.rounds):
                found = _round([theirs, ours] if number % 2 else [ours, theirs])
                if found[theirs].on != found[ours].on:
                    raise Broken(f"{peer.module} ran on {found[theirs].on}, clawguard on {found[ours].on}")
                figures.add(found[theirs], found[ours])
                figures.version = found[theirs].versions[peer.name]
    except (NotInstalled, Broken) as problem:
        return Figures(absent=str(problem))
    return figures


def _round(order: Sequence[Worker]) -> dict[Worker, Line]:
    return {worker: worker.round() for worker in order}
