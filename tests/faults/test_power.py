"""After a power cut nothing is gone that anybody outside was told: no end, no event, no signed head."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clawguard import ClawguardError, SessionManager
from tests.faults.lab import assert_whole, founded, is_full, report, rows, sizes
from tests.faults.power import Disk, Step, choices, copy_rest, in_order, nothing, play, record
from tests.servers import missing

DATABASE = "clawguard.db"
WRITTEN = [DATABASE, f"{DATABASE}-wal", f"{DATABASE}-lock"]
ASIDE = [f"{DATABASE}-shm"]
Said = list[list[Any]]


class Run(NamedTuple):
    """Hold what a run did to its folder, how that was before, and what it said."""

    steps: list[Step]
    folder: Path
    before: Path
    acks: Path


def check(path: Path, said: Said) -> None:
    """Hold a database that came back after a power cut against what had been said before."""
    assert_whole(path)
    log = {
        seq: (id, hash) for seq, id, hash in rows(path, "SELECT seq, body ->> '$.id', hex(hash) FROM events")
    }
    ended = {id for (id,) in rows(path, "SELECT id FROM sessions WHERE cause IS NOT NULL")}
    generations = dict(rows(path, "SELECT id, generation FROM sessions"))
    for what, first, *others in said:
        if what in ("heard", "published"):
            id, hash = others
            assert log.get(first) == (id, hash.upper()), f"event {first} was {what}, and is not there"
        elif what == "ended":
            assert first in ended, "an acknowledged end is gone"
        elif what == "refreshed":
            assert generations.get(first, 0) >= others[0], "an acknowledged refresh is gone"
    heard = max((first for what, first, *_ in said if what == "heard"), default=0)
    assert rows(path, "SELECT coalesce(max(position), 0) FROM event_cursors")[0][0] <= heard
    signed = [others[0] for what, _, *others in said if what == "checkpoint"]
    with SessionManager.open(path, sweep_every=None) as manager:
        for note in signed[-2:]:
            found = manager.events.verify(note)
            assert found.fault is None, f"a signed head cries tampering: {found}"
        manager.revoke(manager.create("agent", scopes="a"))  # and life goes on


@pytest.fixture(scope="module", params=sizes(240, 2_560))
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Record a run; the full one has a checkpoint as often as any database, the slice ten times as often."""
    if shutil.which("strace") is None:
        missing("strace, which records what a run wrote and when it synced")
    place = tmp_path_factory.mktemp("power")
    path, acks = founded(place / "db" / "clawguard.db"), place / "acks"
    shutil.copytree(path.parent, place / "before")
    given = [path, acks, request.param, request.param // 10]
    steps = record(["-m", "tests.faults.power_run", *map(str, given)], place / "trace", acks)
    run = Run(steps, path.parent, place / "before", acks)
    assert len(list(syncs(run.steps, path))) > 5, "too few checkpoints to see their order"
    return run


def syncs(steps: list[Step], path: Path) -> Iterator[int]:
    """Yield where a file was synced."""
    return (place for place, step in enumerate(steps) if (step.what, step.path) == ("sync", str(path)))


def some(run: Run, chance: random.Random, count: int) -> set[int]:
    """Draw steps to cut after."""
    return set(chance.sample(range(len(run.steps)), count))


def near(run: Run, chance: random.Random, count: int) -> set[int]:
    """Draw steps around writes of the database file: there an order that is wrong shows."""
    written = [place for place, step in enumerate(run.steps) if step.path == str(run.folder / DATABASE)]
    around = {each for place in written for each in range(place - 3, place + 13)} & set(range(len(run.steps)))
    return set(chance.sample(sorted(around), min(count, len(around))))


def cut(run: Run, target: Path, *, after: set[int], chance: random.Random) -> Iterator[tuple[Path, Said]]:
    """Give databases as power cuts after these steps may have left them, with what had been said by then."""
    disk = Disk(run.before, run.folder, WRITTEN, aside=ASIDE)
    for number, said in play(run.steps, disk, run.acks, after=after):
        image = target / str(number)
        copy_rest(run.before, image, but=[*WRITTEN, *ASIDE])
        disk.lay(image, chance.choice(choices), chance)
        yield image / DATABASE, [json.loads(line) for line in said.splitlines()]
        shutil.rmtree(image)


def test_a_power_cut_takes_nothing_back_that_was_told(
    run: Run, tmp_path: Path, request: pytest.FixtureRequest, seed: int
) -> None:
    images, told, count, chance = 0, 0, 500 if is_full(request) else 25, random.Random(seed)
    moments = some(run, chance, count) | near(run, chance, count)
    for path, said in cut(run, tmp_path, after=moments, chance=chance):
        check(path, said)
        images, told = images + 1, told + len(said)
    checkpoints = len(list(syncs(run.steps, run.folder / DATABASE)))
    figures = {"told_before": told, "steps": len(run.steps), "checkpoints": checkpoints}
    report("power loss", images=images, **figures, taken_back=0)


def lying(run: Run) -> list[Step]:
    """Sync nothing."""
    return [step for step in run.steps if step.what != "sync"]


def late(run: Run) -> list[Step]:
    """Sync the database file after a checkpoint not at once, but before anything is said."""
    steps: list[Step] = []
    held: list[Step] = []
    moved = set(syncs(run.steps, run.folder / DATABASE))
    for place, step in enumerate(run.steps):
        if place in moved:
            held.append(step)
            continue
        if step.path == str(run.acks):
            steps.extend(held)
            held.clear()
        steps.append(step)
    return steps


def hasty(run: Run) -> list[Step]:
    """Copy into the database file what the log beside it may not hold yet."""
    database, log = run.folder / DATABASE, run.folder / f"{DATABASE}-wal"
    dropped = {
        place
        for place in syncs(run.steps, log)
        if next((step.path for step in run.steps[place + 1 :] if step.path != str(run.acks)), "")
        == str(database)
    }
    return [step for place, step in enumerate(run.steps) if place not in dropped]


@pytest.mark.control
@pytest.mark.parametrize("disorder", [lying, late, hasty])
def test_the_experiment_sees_a_sync_that_is_missing_or_late(
    disorder: Callable[[Run], list[Step]], run: Run, tmp_path: Path
) -> None:
    chance, astray = random.Random(2), run._replace(steps=disorder(run))
    images = cut(astray, tmp_path, after=near(astray, chance, 300), chance=chance)
    first = next((number for number, (path, said) in enumerate(images, 1) if not holds(path, said)), None)
    assert first is not None
    report(f"power loss, control: syncs {disorder.__name__}", seen_at_image=first)


def holds(path: Path, said: Said) -> bool:
    """Tell whether a database came back as it should."""
    try:
        check(path, said)
    except (AssertionError, ClawguardError, sqlite3.DatabaseError):
        return False
    return True


TRACE = r"""
1 openat(AT_FDCWD</>, "/d/log", O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC, 0600) = 3</d/log>
1 openat(AT_FDCWD</>, "/d/none", O_RDWR|O_CREAT, 0600) = -1 EACCES (Permission denied)
1 pwrite64(3</d/log>, "\x61\x62\x63", 3, 7) = 1
1 fdatasync(3</d/log> <unfinished ...>
2 pwrite64(3</d/log>, "\x64", 1, 0 <unfinished ...>
3 write(4</acks>, "\x68\x0a", 2 <unfinished ...>
1 <... fdatasync resumed>) = 0
3 <... write resumed>) = 2
2 <... pwrite64 resumed>) = 1
"""


def test_a_trace_is_read_as_what_was_done_and_when() -> None:
    """An acknowledgement owes nothing to a sync that ended after it began; a short write wrote so much."""
    steps = [(step.what, step.path, step.offset, step.data) for step in in_order(TRACE.splitlines(), "/acks")]
    assert steps == [
        ("create", "/d/log", 0, b""),
        ("truncate", "/d/log", 0, b""),
        ("pwrite64", "/d/log", 7, b"a"),
        ("write", "/acks", 0, b"h\n"),
        ("sync", "/d/log", 0, b""),
        ("pwrite64", "/d/log", 0, b"d"),
    ]


def test_a_name_stands_for_the_old_file_or_the_new_one_and_never_for_some_of_both(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"old")
    disk = Disk(tmp_path, Path("/d"), ["log"], aside=[])
    lines = [
        r'1 pwrite64(3</d/log>, "\x21", 1, 3) = 1',
        '1 unlink("/d/log") = 0',
        '1 openat(AT_FDCWD</>, "/d/log", O_RDWR|O_CREAT, 0600) = 3</d/log>',
        r'1 pwrite64(3</d/log>, "\x6e\x65\x77", 3, 0) = 3',
        "1 fsync(3</d/log>) = 0",
        "1 fsync(3</d>) = 0",
    ]
    found = []
    for step in in_order(lines, "/acks"):
        disk.take(step)
        found.append(images(disk, tmp_path))
    assert found == [
        {b"old", b"old!"},
        {b"old", b"old!", None},
        {b"old", b"old!", None, b""},
        {b"old", b"old!", None, b"", b"new"},
        {b"old", b"old!", None, b"new"},
        {b"new"},
    ]


def images(disk: Disk, folder: Path) -> set[bytes | None]:
    """Return what may be left of the log."""
    chance, found, log = random.Random(0), set(), folder / "image" / "log"
    log.parent.mkdir(exist_ok=True)
    for choose in choices * 40:
        log.unlink(missing_ok=True)
        disk.lay(log.parent, choose, chance)
        found.add(log.read_bytes() if log.exists() else None)
    return found


def test_a_sync_covers_only_what_had_ended_before_it_began(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir()
    (tmp_path / "before" / "log").write_bytes(b"0123")
    lines = [
        '1 pwrite64(3</d/log>, "\\x61", 1, 0) = 1',
        '2 pwrite64(3</d/log>, "\\x62", 1, 1 <unfinished ...>',
        "1 fsync(3</d/log> <unfinished ...>",
        "2 <... pwrite64 resumed>) = 1",
        "1 <... fsync resumed>) = 0",
    ]
    disk = Disk(tmp_path / "before", Path("/d"), ["log"], aside=[])
    for step in in_order(lines, "/acks"):
        disk.take(step)
    disk.lay(tmp_path, nothing, random.Random(0))
    assert (tmp_path / "log").read_bytes() == b"a123"


@pytest.mark.parametrize(
    "line",
    [
        '1 rename("/elsewhere", "/d/log") = 0',
        r'1 rename("\x2f\x65", "\x2f\x64\x2f\x6c\x6f\x67") = 0',
        '1 renameat2(5</d>, "log", 5</d>, "other", 0) = 0',
        "1 fallocate(3</d/log>, 0, 0, 4096) = 0",
        r'1 write(3</d/log>, "\x61", 1) = 1',
        r'1 pwrite64(3</d/other>, "\x61", 1, 0) = 1',
        '1 unlink("/d/other") = 0',
        "1 fsync(3</d/other>) = 0",
    ],
)
def test_what_is_not_modelled_is_not_passed_over(line: str, tmp_path: Path) -> None:
    disk = Disk(tmp_path, Path("/d"), ["log"], aside=["shared"])
    steps = in_order([line], "/acks")
    with pytest.raises(AssertionError, match=r"not (modelled|held)"):
        any(map(disk.take, steps))
    for step in in_order([line.replace("/d", "/e").replace(r"\x64", r"\x65")], "/acks"):
        disk.take(step)
