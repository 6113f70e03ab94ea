"""Work on a disk that fails: forked once for each fault, under a strace that fails one call of each process.

strace counts the calls of each process for itself. So whoever makes some idle calls first chooses which of
its own will be the one that fails, and one strace does for any number of faults.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clawguard import ClawguardError, SessionManager
from clawguard.store.transaction import SQLiteTransaction
from tests.faults.lab import Acks

FAILING = 400  # the call of each process that fails
OFTEN = 3  # commits between two checkpoints
IDLE: dict[str, Callable[[int], object]] = {
    "fdatasync": os.fdatasync,
    "pwrite64": lambda fd: os.pwrite(fd, b"x", 0),
}


def idle(call: str, times: int, scratch: Path) -> None:
    """Make so many calls on a file that is nobody's."""
    fd = os.open(scratch, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(times):
        IDLE[call](fd)
    os.close(fd)


class Work:
    """Change things, say what was acknowledged, and how each error was typed."""

    def __init__(self, manager: SessionManager, acks: Acks) -> None:
        self._manager = manager
        self._acks = acks
        self._made: list[Any] = []

    def do(self, steps: int) -> None:
        """Create, refresh and end in turn; each session has a name that no other has."""
        for step in range(steps):
            self._try("created", f"agent-{step}", self._create, f"agent-{step}")
            if step % 3 == 1 and self._made:
                self._try("refreshed", self._made[-1].id, self._refresh, len(self._made) - 1)
            if step % 3 == 2 and len(self._made) > 1:
                self._try("ended", self._made[0].id, self._end)

    def _create(self, agent: str) -> object:
        self._made.append(self._manager.create(agent, scopes="a"))
        return self._made[-1].id

    def _refresh(self, place: int) -> object:
        self._made[place] = self._manager.refresh(self._made[place])
        return self._made[place].generation

    def _end(self) -> object:
        self._manager.revoke(self._made[0])
        return self._made.pop(0).token

    def _try(self, what: str, about: str, work: Callable[..., object], *args: object) -> None:
        try:
            self._acks.add(what, about, work(*args))
        except ClawguardError as error:
            self._acks.add("refused", about, what, error.code)
        except Exception as error:
            self._acks.add("untyped", about, what, repr(error))


def careless(self: SQLiteTransaction) -> None:
    """Commit, and take no error for an answer."""
    with suppress(Exception):
        self._connection.execute("COMMIT")
    if self._connection.in_transaction:
        self._connection.execute("ROLLBACK")


def one(call: str, kth: int, folder: Path, *, steps: int) -> None:
    """Do the work of one process."""
    acks = Acks(folder / "acks")
    idle(call, FAILING - kth, folder / "scratch")
    try:
        with SessionManager.open(
            folder / "db" / "clawguard.db", sweep_every=None, dispatch="inline"
        ) as manager:
            Work(manager, acks).do(steps)
        acks.add("closed", "")
    except ClawguardError as error:
        acks.add("refused", "", "open", error.code)
    except BaseException as error:
        acks.add("untyped", "", "open or close", repr(error))


def main(before: str, target: str, call: str, how: str, steps: str, *kths: str) -> None:
    """Fork for each fault; its folder is a copy of the one before."""
    broken = how == "careless"
    with (
        patch("clawguard.store.transaction.CHECKPOINT_EVERY", OFTEN),
        patch.object(SQLiteTransaction, "_commit", careless if broken else SQLiteTransaction._commit),
    ):
        for kth in kths:
            folder = Path(target) / kth
            shutil.copytree(before, folder / "db")
            pid = os.fork()
            if pid == 0:
                partial(one, call, int(kth), folder, steps=int(steps))()
                os._exit(0)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
