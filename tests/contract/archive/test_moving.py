"""What is old moves into a file; the log says where it was cut, and what is refused."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clawguard import (
    ConfigError,
    Event,
    InvalidArgument,
    OutcomeUnknown,
    SessionManager,
    StoreUnavailable,
    Verifier,
)
from clawguard.errors import EventsArchived
from clawguard.events.archives import Archive, verify_archive
from tests.clocks import FakeClock
from tests.contract.archive.scene import NEW, OLD, archive
from tests.contract.test_proof import fill
from tests.events import notes
from tests.openers import open_manager, raw, rows

# what it does


def test_what_is_old_moves_into_the_file_and_an_event_says_so(
    manager: SessionManager, clock: FakeClock, file: Path, database: str
) -> None:
    before, checkpoint = manager.events.read(limit=1_000), manager.events.checkpoint()
    told: list[int] = []
    made = archive(manager, clock, file, progress=told.append)
    assert made == Archive(1, OLD, OLD, sha256(file.read_bytes()).hexdigest())
    assert told == [OLD]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir() if each.is_file()] == [file.name]
    header, *lines = map(json.loads, file.read_text().splitlines())
    assert [header[name] for name in ("after", "head", "count")] == [0, before[0].prev_hash, OLD]
    assert [(each["seq"], each["hash"]) for each in lines] == [(each.seq, each.hash) for each in before[:OLD]]
    assert lines[3]["event"]["id"] == before[3].id
    assert rows(database, "SELECT min(seq), count(*) FROM events") == [(OLD + 1, NEW + 1)]
    *kept, event = manager.events.read(after=OLD)
    assert kept == before[OLD:], "the first that stays keeps the hash before it"
    assert event.type == "log.archived"
    assert event.workspace_id is None
    data = dict(event.data)
    note = notes.read_note(data.pop("note"), manager.events.key)
    assert (note.size, note.root.hex()) == (OLD, before[OLD - 1].hash)
    assert note.extensions[-1] == f"file sha256 {made.sha256}"
    cut = {"seq": OLD, "hash": before[OLD - 1].hash, "sha256": made.sha256, "file": file.name}
    assert data == cut
    assert manager.events.archived == OLD
    for found in (manager.events.verify(), manager.events.verify(checkpoint)):
        assert (bool(found), found.count, found.after) == (True, OLD + NEW + 1, OLD)


def test_live_receivers_hear_of_it(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    heard: list[Event] = []
    manager.on("log.archived", heard.append)
    archive(manager, clock, file)
    assert [each.data["seq"] for each in heard] == [OLD]


def test_the_log_goes_on_over_archives_and_restarts(database: str, clock: FakeClock, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.ndjson" for number in range(3)]
    heads, key = [], ""
    for file in files:
        with open_manager(database, clock=clock) as manager:
            fill(manager, 3)
            clock.advance(100)
            made = archive(manager, clock, file)
            assert made.last == made.first + made.count - 1
            assert manager.events.verify()
            heads.append((json.loads(file.read_text().splitlines()[0])["head"], made))
            key = manager.events.key
    with Verifier.open(database, clock=clock) as verifier:
        assert verifier.events.verify(key=key).after == heads[-1][1].last
    for (_, one), (_, other) in pairwise(heads):
        assert other.first == one.last + 1
    for file, (_, made) in zip(files, heads, strict=True):
        found = verify_archive(file, key=key)
        assert (bool(found), found.after, found.count) == (True, made.first - 1, made.last)


def test_everything_but_the_last_entry_may_go(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    made = manager.events.archive(clock.datetime + timedelta(days=1), file)
    assert (made.last, manager.events.last()[0]) == (OLD + NEW - 1, OLD + NEW + 1)
    assert manager.events.verify()


def test_a_dry_run_does_nothing(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    assert archive(manager, clock, file, dry_run=True) == Archive(1, OLD, OLD, None)
    assert not file.exists()
    assert len(manager.events.read()) == OLD + NEW


@pytest.mark.parametrize("count", [0, 1])
def test_where_there_is_nothing_to_archive_nothing_happens(file: Path, clock: FakeClock, count: int) -> None:
    with open_manager(clock=clock) as manager:
        fill(manager, count)
        made = manager.events.archive(clock.datetime + timedelta(days=1), file)
        assert (made.count, made.sha256) == (0, None)
        assert not file.exists()
        assert len(manager.events.read()) == count


# reading what is left


def test_reading_from_before_the_cut_says_so_and_skips_nothing(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    follower = manager.events.follow(after=OLD - 1, timeout=0)
    archive(manager, clock, file)
    session = manager.events.read(after=OLD)[0].session_id
    calls: list[Callable[[], object]] = [
        manager.events.read,
        lambda: manager.events.read(after=OLD - 1),
        lambda: manager.events.read(session_id=session),
        lambda: next(follower),
        lambda: next(manager.events.follow(after=0)),
    ]
    for call in calls:
        with pytest.raises(EventsArchived) as refusal:
            call()
        assert refusal.value.until == OLD
        assert f"after={OLD}" in str(refusal.value.hint)
    assert [each.seq for each in manager.events.follow(after=OLD, timeout=0)] == list(
        range(OLD + 1, OLD + NEW + 2)
    )


def test_an_entry_without_the_one_before_it_is_not_read(manager: SessionManager, database: str) -> None:
    with raw(database) as inside:
        inside.execute("DELETE FROM events WHERE seq = 3")
    with pytest.raises(StoreUnavailable, match="entry 4"):
        manager.events.read(after=2)


# what it refuses


def test_a_checkpoint_before_the_cut_is_held_against_the_archive(
    database: str, clock: FakeClock, file: Path
) -> None:
    with open_manager(database, clock=clock) as manager:
        fill(manager, 10)
        early = manager.events.checkpoint()
        fill(manager, 10)
        clock.advance(100)
        fill(manager, 1)
        late = manager.events.checkpoint()
        archive(manager, clock, file)
        key = manager.events.key
        with pytest.raises(InvalidArgument, match="at 10, and the events up to 20 were archived"):
            manager.events.verify(early)
        assert verify_archive(file, key=key, checkpoint=early)
        with pytest.raises(InvalidArgument, match="goes from 1 to 20"):
            verify_archive(file, key=key, checkpoint=late)


def behind(manager: SessionManager, *cursors: tuple[str, int]) -> None:
    """Let subscribers stand where they are said to."""
    for name, seq in cursors:
        manager.subscribers.remove(name)
        manager.subscribers.cursor(name, after=seq)


def test_no_archive_passes_the_slowest_subscriber(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    behind(manager, ("fast", OLD + 2), ("siem", OLD - 1))
    for dry_run in (True, False):
        with pytest.raises(InvalidArgument, match=f"'siem' has dealt with {OLD - 1} only"):
            archive(manager, clock, file, dry_run=dry_run)
    assert not file.exists()
    assert len(manager.events.read()) == OLD + NEW
    behind(manager, ("fast", OLD + 2), ("siem", OLD))
    assert archive(manager, clock, file).last == OLD


def test_a_subscriber_that_turns_up_meanwhile_stops_it(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    def turn_up(seq: int) -> None:
        behind(manager, ("siem", 0))

    with pytest.raises(InvalidArgument, match="siem"):
        archive(manager, clock, file, progress=turn_up)
    assert list(file.parent.glob("*log-1*")) == []
    assert len(manager.events.read()) == OLD + NEW


def test_of_two_archives_at_once_one_is_made(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    other = file.with_name("other.ndjson")

    def meanwhile(seq: int) -> None:
        if not other.exists():
            archive(manager, clock, other)

    with pytest.raises((StoreUnavailable, InvalidArgument)):
        archive(manager, clock, file, progress=meanwhile)
    assert not file.exists()
    assert verify_archive(other, key=manager.events.key).count == OLD
    assert manager.events.verify().after == OLD


@pytest.mark.parametrize(
    "tamper",
    [
        "UPDATE events SET body = body || ' ' WHERE seq = 7",
        "UPDATE events SET type = 'x' WHERE seq = 7",
        "DELETE FROM events WHERE seq = 7",
    ],
)
def test_a_log_that_does_not_hold_is_not_archived(
    manager: SessionManager, clock: FakeClock, file: Path, database: str, tamper: str
) -> None:
    with raw(database) as inside:
        inside.execute(tamper)
    count = rows(database, "SELECT count(*) FROM events")
    with pytest.raises(InvalidArgument, match="does not hold"):
        archive(manager, clock, file)
    assert rows(database, "SELECT count(*) FROM events") == count
    assert list(file.parent.glob("*log-1*")) == []


def test_a_write_that_fails_leaves_neither_file_nor_event(
    manager: SessionManager, clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "link"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fail)
            with pytest.raises(ConfigError, match="No space left"):
                archive(manager, clock, file)
        assert list(file.parent.glob("*log-1*")) == []
    assert len(manager.events.read()) == OLD + NEW


def test_a_file_that_does_not_hold_what_was_written_is_not_trusted(
    manager: SessionManager, clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.events import archives, audit

    def lose_a_line(*args: Any, **given: Any) -> Path:
        aside = archives.write_aside(*args, **given)
        aside.write_bytes(b"".join(aside.read_bytes().splitlines(keepends=True)[:-1]))
        return aside

    monkeypatch.setattr(audit, "write_aside", lose_a_line)
    with pytest.raises(ConfigError, match="does not hold what was written"):
        archive(manager, clock, file)
    assert list(file.parent.glob("*log-1*")) == []
    assert len(manager.events.read()) == OLD + NEW


def test_where_the_outcome_is_unknown_the_file_stays(
    manager: SessionManager, clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.events import audit

    def unknown(*args: object, **given: object) -> None:
        raise OutcomeUnknown("the commit failed midway")

    monkeypatch.setattr(audit, "_check_unmoved", unknown)
    with pytest.raises(OutcomeUnknown):
        archive(manager, clock, file)
    assert verify_archive(file, key=manager.events.key)


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("before", {"before": 5}),
        ("before", {"before": FakeClock().datetime.replace(tzinfo=None)}),
        ("dry_run", {"dry_run": 1}),
        ("progress", {"progress": 5}),
        ("to", {"to": 5}),
        ("to", {"to": ""}),
        ("to", {"to": "a\0b"}),
        ("to", {"to": "missing/folder/file"}),
        ("to", {"to": "."}),
    ],
)
def test_bad_arguments_are_named(manager: SessionManager, argument: str, given: dict[str, Any]) -> None:
    wanted: dict[str, Any] = {"before": FakeClock().datetime, "to": "archive.ndjson"} | given
    with pytest.raises(InvalidArgument) as refusal:
        manager.events.archive(**wanted)
    assert refusal.value.argument == argument


def test_nothing_is_written_over(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    file.touch()
    with pytest.raises(InvalidArgument, match="exists already"):
        archive(manager, clock, file)
    file.unlink()

    def take_the_name(seq: int) -> None:
        file.write_text("mine")

    with pytest.raises(InvalidArgument, match="exists already"):
        archive(manager, clock, file, progress=take_the_name)
    assert file.read_text() == "mine"
    assert len(manager.events.read()) == OLD + NEW
