"""A disk that is full and a database that may no longer be opened: a typed error, and it goes on unaided."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from clawguard import AccessDenied, ClawguardError, IssuedSession, SessionManager
from clawguard.store.transaction import SQLiteTransaction
from tests.faults.disk_run import careless
from tests.faults.lab import assert_whole, crew, report, sizes, store_of
from tests.faults.namespaces import small_disk
from tests.servers import missing

ROOM = 3_000_000
A_ROUND = 400_000
NOBODY = 65_534

Trouble = Callable[[SessionManager, Path], Any]


@contextmanager
def full(manager: SessionManager, path: Path) -> Iterator[None]:
    """Leave no byte on the disk."""
    ballast = path.with_name("ballast")
    with ballast.open("wb", buffering=0) as file:
        for size in (65_536, 4_096):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    yield
    ballast.unlink()


@contextmanager
def modes(manager: SessionManager, files: list[Path], mode: int) -> Iterator[None]:
    """Take rights away, and have every connection opened anew, as in a process that was just forked."""
    before = [each.stat().st_mode for each in files]
    for each in files:
        each.chmod(mode)
    store = store_of(manager)
    store.before_fork()
    store.after_fork_in_parent()
    yield
    for each, old in zip(reversed(files), reversed(before), strict=True):
        each.chmod(old)


def read_only(manager: SessionManager, path: Path) -> Any:
    """Let nobody write the database and what stands beside it."""
    return modes(manager, [path, *(path.with_name(f"{path.name}-{each}") for each in ("wal", "shm"))], 0o400)


def closed_off(manager: SessionManager, path: Path) -> Any:
    """Let nobody into the folder."""
    return modes(manager, [path.parent], 0)


TROUBLES: dict[str, Trouble] = {"full": full, "read-only": read_only, "closed off": closed_off}


class Witness:
    """Make calls, and count how each went."""

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.made: list[IssuedSession] = []
        self.ended: list[IssuedSession] = []
        self.counts: Counter[str] = Counter()

    def change(self, times: int) -> None:
        """Create, refresh, end; what is refused has a type, and what is not refused stands."""
        for _ in range(times):
            self._try(self._create)
            self._try(self._refresh)
            if len(self.made) > 3:
                self._try(self._end)

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
            self.counts["acknowledged"] += 1
        except ClawguardError as error:
            self.counts[error.code] += 1

    def _create(self) -> None:
        self.made.append(self.manager.create("agent", scopes="a"))

    def _refresh(self) -> None:
        self.made[-1] = self.manager.refresh(self.made[-1])

    def _end(self) -> None:
        self.manager.revoke(self.made[0])
        self.ended.append(self.made.pop(0))

    def wrong(self) -> int:
        """Count what is not as it was acknowledged."""
        return sum(not self.accepts(each) for each in self.made) + sum(map(self.accepts, self.ended))

    def accepts(self, session: IssuedSession) -> bool:
        """Tell whether its newest token is taken; raise what is no verdict."""
        try:
            return bool(self.manager.validate(session.token))
        except AccessDenied:
            return False


def suffer(place: Path, trouble: str, rounds: int) -> dict[str, Any] | None:
    """Go through a trouble so many times, in a process of its own; None where it has no disk of its own."""
    if not small_disk(place, size=ROOM + rounds * A_ROUND):
        return None
    path = place / "db" / "clawguard.db"
    with SessionManager.open(":memory:") as manager:
        manager.validate(manager.create("agent", scopes="a").token)  # to have all that is imported late
    if os.geteuid() == 0:  # rights are nothing to root
        os.chown(place, NOBODY, NOBODY)
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    wrong, found = 0, Counter[str]()
    with SessionManager.open(path, sweep_every=None) as manager:
        witness = Witness(manager)
        witness.change(8)
        for _ in range(rounds):
            with TROUBLES[trouble](manager, path):
                refusals = Counter(witness.counts)
                while sum((witness.counts - refusals).values()) < 20:
                    witness.change(2)
                refusals = witness.counts - refusals
                found += Counter({code: count for code, count in refusals.items() if code != "acknowledged"})
                wrong += reads_wrong(witness, found)
            before = Counter(witness.counts)
            witness.change(5)
            for code, count in (witness.counts - before).items():
                found["went_on" if code == "acknowledged" else "refused_afterwards"] += count
            wrong += witness.wrong()
    assert_whole(path)
    return {"rounds": rounds, **dict(sorted(found.items())), "wrong": wrong}


def reads_wrong(witness: Witness, found: Counter[str]) -> int:
    """Look, during the trouble, at what was acknowledged; a refusal to look lets nobody in."""
    try:
        wrong = witness.wrong()
    except ClawguardError:
        found["reads_refused"] += 1
        return 0
    found["reads_went_on"] += 1
    return wrong


def suffered(place: Path, trouble: str, rounds: int) -> dict[str, Any]:
    with crew() as start:
        found = start(suffer, place, trouble, rounds).result(300)
    if found is None:
        missing("a namespace for mounts of its own")
    return dict(found)


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder that another user may reach; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="clawguard-disk-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("rounds", sizes(1, 40))
def test_in_trouble_each_error_is_typed_and_afterwards_all_goes_on(
    place: Path, trouble: str, rounds: int
) -> None:
    found = suffered(place, trouble, rounds)
    report(f"disk {trouble}", **found)
    assert found["wrong"] == 0
    assert found["store_unavailable"] > 0
    # Afterwards a connection that was opened read-only is found out by the first call, at most.
    assert found.get("refused_afterwards", 0) <= (rounds if trouble == "read-only" else 0)
    assert found["went_on"] >= rounds * 8
    if trouble == "full":
        assert found["reads_went_on"] == rounds


@pytest.mark.control
def test_a_store_that_passes_over_a_full_disk_is_caught(place: Path) -> None:
    with patch.object(SQLiteTransaction, "_commit", careless):
        found = suffered(place, "full", 1)
    report("disk full, control: a commit's error is passed over", wrong=found["wrong"])
    assert found["wrong"]
