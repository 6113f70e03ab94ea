"""What the demo stands on: its processes, its lines of output, and the check that a step went as promised."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any, TextIO

__all__ = ["Narrator", "Process", "Stage", "StepFailed", "expect"]

_PATIENCE = 15.0
_WHO, _WHAT, _OUTCOME = 12, 29, 25  # with the time, a terminal's 80


class StepFailed(Exception):
    """Say in one sentence what did not go as promised."""


def expect(held: bool, promise: str) -> None:
    """Go on if what was promised came true; else raise StepFailed."""
    if not held:
        raise StepFailed(promise)


class Narrator:
    """Write aligned lines: who, what, what came of it, and the time it took."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._steps = 0

    def title(self, text: str) -> None:
        """Write the first line."""
        self._write(text)

    def step(self, text: str) -> None:
        """Begin a numbered step."""
        self._steps += 1
        self._write(f"\n{self._steps:>2}  {text}")

    def line(self, who: str, what: str, outcome: str, *, ms: float | None = None) -> None:
        """Write what one process did and what came of it."""
        took = "" if ms is None else f"{ms:7.1f} ms"
        self._write(f"    {who:<{_WHO}}{what:<{_WHAT}}{outcome:<{_OUTCOME}}{took}")

    def text(self, text: str) -> None:
        """Write a line as it is, indented."""
        self._write(f"    {text}")

    def _write(self, text: str) -> None:
        print("\n".join(each.rstrip() for each in text.split("\n")), file=self._out, flush=True)


class Process:
    """Run a module as a process that takes one JSON line at a time and answers each with one."""

    def __init__(self, name: str, module: str, environ: Mapping[str, str]) -> None:
        self.name = name
        own = {key: value for key, value in os.environ.items() if not key.startswith("CLAWGUARD_")}
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [sys.executable, "-m", module],
            env=own | dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches the host, which ends what it started
        )
        if process.stdin is None or process.stdout is None:
            raise StepFailed("the pipes to a process could not be made")
        self._process, self._orders, self._answers = process, process.stdin, process.stdout

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def order(self, name: str, *arguments: str) -> dict[str, Any]:
        """Send an order and return the answer."""
        try:
            self._orders.write(json.dumps([name, arguments]) + "\n")
            self._orders.flush()
        except BrokenPipeError:
            raise StepFailed(f"the {self.name} process is gone") from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Return the next line of the process; StepFailed when it ends or takes too long."""
        ready, _, _ = select.select([self._answers], [], [], _PATIENCE)
        expect(bool(ready), f"the {self.name} process did not answer within {_PATIENCE:.0f} s")
        line = self._answers.readline()
        expect(line != "", f"the {self.name} process ended before it answered")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        """End the process: it leaves when its input is closed, else it is killed."""
        with self._process:
            try:
                self._orders.close()
                self._process.wait(_PATIENCE)
            except (BrokenPipeError, subprocess.TimeoutExpired):
                self._process.kill()


class Stage:
    """Hold the processes of one run, and end them all at the end."""

    def __init__(self) -> None:
        self._running = ExitStack()

    def start(self, name: str, module: str, **environ: str) -> Process:
        """Start a module of this package as a process of the demo."""
        process = Process(name, f"clawguard.cli.{module}", environ)
        self._running.callback(process.stop)
        return process

    def clear(self) -> None:
        """End every process that was started here."""
        self._running.close()

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()
