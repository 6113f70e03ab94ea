"""The whole log as lines that a SIEM reads, none lost over a restart, and the proof of it beside them.

python siem_export.py [ocsf|cef] [FILE]: OCSF, one JSON object a line, or CEF; to the file, else to stdout.
"""

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from clawguard import Event, SessionManager


@contextmanager
def opened(path: str | None) -> Iterator[BinaryIO]:
    """Open a file behind its last whole line: where a crash left half of one, that event comes again."""
    if path is None:
        yield sys.stdout.buffer
        return
    with Path(path).open("a+b") as file:
        try:  # what another exporter is writing looks like half a line, too
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another exporter writes {path}")
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        yield file


class Lines:
    """Write each event as a line, and return when the disk has it; the last may come twice, known by id."""

    def __init__(self, file: BinaryIO, form: Callable[[Event], str]) -> None:
        self._file = file
        self._form = form

    def __call__(self, event: Event) -> None:
        self._file.write(self._form(event).encode() + b"\n")
        self._file.flush()
        if self._file is not sys.stdout.buffer:
            os.fsync(self._file.fileno())


def form_of(name: str, source: str) -> Callable[[Event], str]:
    """Return what writes an event; `source` is which log it is of."""
    forms: dict[str, Callable[[Event], str]] = {
        "ocsf": lambda event: json.dumps(event.to_ocsf(source=source), separators=(",", ":")),
        "cef": Event.to_cef,
    }
    return forms[name]


def work(manager: SessionManager) -> None:
    """Be the host for a moment; in earnest this goes on in other processes."""
    planner = manager.create("planner", scopes="docs:*", subject="user:ana")
    manager.delegate(planner, "reader", scopes="docs:read")
    manager.revoke(planner, reason="leaked")


def main(form: str = "ocsf", path: str | None = None) -> None:
    url = os.environ.get("CLAWGUARD_URL", ".clawguard/clawguard.db")
    with opened(path) as file, SessionManager.open(url) as manager:
        # Who can change the database must not be able to change this: a mount, a mail, a ticket elsewhere.
        manager.events.checkpoints(f"{path or 'log'}.checkpoint")
        name = f"siem-{form}"
        manager.on("*", Lines(file, form_of(form, manager.issuer)), durable=name, after=0)
        work(manager)
        last, _ = manager.events.last()
        while {each.name: each.position for each in manager.subscribers.list()}[name] < last:
            time.sleep(0.01)  # an exporter that stays would wait for a signal here
    print(f"{last} events, and a checkpoint that covers them", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
