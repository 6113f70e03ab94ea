"""Archives: what is old moves into a file that proves itself, and the log says where it was cut."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterator
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
from tests.contract.test_proof import fill, without_mark
from tests.events import notes
from tests.openers import open_manager, raw, rows

OLD, NEW = 20, 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def manager(path: Path, clock: FakeClock) -> Iterator[SessionManager]:
    """Give a log with twenty old entries and five new ones."""
    with open_manager(path, clock=clock) as opened:
        fill(opened, OLD)
        clock.advance(100)
        fill(opened, NEW)
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "log-1.ndjson"


def archive(manager: SessionManager, clock: FakeClock, file: Path, **given: Any) -> Archive:
    return manager.events.archive(clock.datetime - timedelta(seconds=50), file, **given)


# what it does


def test_what_is_old_moves_into_the_file_and_an_event_says_so(
    manager: SessionManager, clock: FakeClock, file: Path, path: Path
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
    assert rows(path, "SELECT min(seq), count(*) FROM events") == [(OLD + 1, NEW + 1)]
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


def test_the_log_goes_on_over_archives_and_restarts(path: Path, clock: FakeClock, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.ndjson" for number in range(3)]
    heads, key = [], ""
    for file in files:
        with open_manager(path, clock=clock) as manager:
            fill(manager, 3)
            clock.advance(100)
            made = archive(manager, clock, file)
            assert made.last == made.first + made.count - 1
            assert manager.events.verify()
            heads.append((json.loads(file.read_text().splitlines()[0])["head"], made))
            key = manager.events.key
    with Verifier.open(path, clock=clock) as verifier:
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


def test_an_entry_without_the_one_before_it_is_not_read(manager: SessionManager, path: Path) -> None:
    with raw(path) as database:
        database.execute("DELETE FROM events WHERE seq = 3")
    with pytest.raises(StoreUnavailable, match="entry 4"):
        manager.events.read(after=2)


# what it refuses


def test_a_checkpoint_before_the_cut_is_held_against_the_archive(
    path: Path, clock: FakeClock, file: Path
) -> None:
    with open_manager(path, clock=clock) as manager:
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
    manager: SessionManager, clock: FakeClock, file: Path, path: Path, tamper: str
) -> None:
    with raw(path) as database:
        database.execute(tamper)
    count = rows(path, "SELECT count(*) FROM events")
    with pytest.raises(InvalidArgument, match="does not hold"):
        archive(manager, clock, file)
    assert rows(path, "SELECT count(*) FROM events") == count
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


# what a forger can do


def forge(database: Any, cut: int, event: dict[str, Any]) -> None:
    """Cut off the beginning of a log and append an event that says it was archived."""
    from clawguard.events.chain import canonical, link

    seq, head = database.execute("SELECT max(seq), hash FROM events").fetchone()
    body = canonical(event)
    values = (seq + 1, link(head, body.encode()), event["at"], body)
    database.execute("DELETE FROM events WHERE seq <= ?", (cut,))
    database.execute("INSERT INTO events VALUES (?, ?, 'log.archived', ?, NULL, NULL, ?)", values)


@pytest.mark.parametrize("note", ["none", "a checkpoint", "one's own"])
def test_a_beginning_cut_off_by_a_forger_is_found(
    manager: SessionManager, clock: FakeClock, path: Path, note: str
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    checkpoint = str(manager.events.checkpoint())
    text = checkpoint.partition("\n\n")[0] + f"\narchive after 0 AAAA\nfile sha256 {'0' * 64}\n"
    texts = {
        "none": "",
        "a checkpoint": checkpoint,
        "one's own": notes.sign(manager.issuer, text, Ed25519PrivateKey.generate()),
    }
    cut = OLD + NEW if note == "a checkpoint" else OLD
    head = rows(path, f"SELECT hash FROM events WHERE seq = {cut}")[0][0]
    data = {"seq": cut, "hash": head.hex(), "sha256": "0" * 64, "note": texts[note]}
    with raw(path) as database:
        body = {"type": "log.archived", "at": clock.now(), "id": "x", "data": data}
        forge(database, OLD if note != "a checkpoint" else cut - 1, body)
    count = rows(path, "SELECT count(*) FROM events")
    for checked in (None, checkpoint):
        found = manager.events.verify(checked)
        assert found.fault is not None
        assert found.fault.kind == "cut"
    manager.prune_expired()
    assert rows(path, "SELECT count(*) FROM events") == count, "nothing is removed for a forged event"


def test_a_forged_event_removes_nothing(manager: SessionManager, clock: FakeClock, path: Path) -> None:
    data = {"seq": OLD, "hash": "0" * 64, "sha256": "0" * 64, "note": ""}
    with raw(path) as database:
        forge(database, 0, {"type": "log.archived", "at": clock.now(), "id": "x", "data": data})
    manager.prune_expired()
    assert rows(path, "SELECT count(*) FROM events") == [(OLD + NEW + 1,)]


@pytest.mark.parametrize("seq", range(OLD + 1, OLD + NEW + 2))
def test_an_archived_logs_entries_are_guarded_as_before(
    manager: SessionManager, clock: FakeClock, file: Path, path: Path, seq: int
) -> None:
    archive(manager, clock, file)
    with raw(path) as database:
        database.execute(f"UPDATE events SET body = replace(body, 'at\":1', 'at\":2') WHERE seq = {seq}")
    found = manager.events.verify()
    assert found.fault is not None
    assert found.fault[:] == (seq, "link")


@pytest.mark.parametrize("body", ["not json", "{}", '{"data":5}', '{"data":{"seq":"1"}}'])
def test_an_event_that_tells_of_no_cut_is_a_fault(
    manager: SessionManager, clock: FakeClock, file: Path, path: Path, body: str
) -> None:
    archive(manager, clock, file)
    with raw(path) as database:
        database.execute("UPDATE events SET body = ? WHERE type = 'log.archived'", (body,))
    found = manager.events.verify()
    assert found.fault is not None
    assert found.fault[:] == (OLD + NEW + 1, "cut")
    with pytest.raises(StoreUnavailable, match=f"entry {OLD + NEW + 1}"):
        manager.events.read(after=OLD)
    with pytest.raises(InvalidArgument, match="does not hold"):
        archive(manager, clock, file.with_name("other"))
    manager.prune_expired()


# an archive by itself


def fault_of(file: Path, key: str, **given: Any) -> tuple[int, str] | None:
    found = verify_archive(file, key=key, **given)
    return None if found.fault is None else (found.fault.seq, found.fault.kind)


def test_tampering_with_any_line_of_an_archive_is_found(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    key = manager.events.key
    header, *lines = file.read_bytes().splitlines(keepends=True)
    assert fault_of(file, key) is None

    def write(*content: bytes) -> tuple[int, str] | None:
        file.write_bytes(b"".join(content))
        return fault_of(file, key)

    for place in range(OLD):
        before, entry, rest = lines[:place], lines[place], lines[place + 1 :]
        broken = (place + 1, "genesis" if place == 0 else "link")
        assert write(header, *before, entry.replace(b'"subject":"a', b'"subject":"b'), *rest) == broken
        assert write(header, *before, b"{}\n", *rest) == broken
        assert write(header, *before, entry[:-2] + b"\n", *rest) == broken
        missing = (place + 2, "gap") if rest else (OLD, "tail")
        assert write(header, *before, *rest) == missing
        assert write(header, *before, entry, entry, *rest) == (place + 1, "gap")
        assert write(header, *before) == (place + 1, "tail")
    assert write(header, *lines, lines[-1]) == (OLD, "gap")


def relink(lines: list[bytes], head: bytes) -> list[bytes]:
    from clawguard.events.chain import link

    made = []
    for line in lines:
        number, _, text = line.split(b",", 2)
        text = text.removeprefix(b'"event":').removesuffix(b"}\n")
        head = link(head, text)
        made.append(b'%s,"hash":"%s","event":%s}\n' % (number, head.hex().encode(), text))
    return made


def test_an_archive_whose_hashes_were_all_made_anew_is_found(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    header, *lines = file.read_bytes().splitlines(keepends=True)
    head = bytes.fromhex(json.loads(header)["head"])
    assert relink(lines, head) == lines
    for place in range(OLD):
        entry = lines[place].replace(b'"scopes":"x"', b'"scopes":"y"')
        changed = [*lines[:place], entry, *lines[place + 1 :]]
        file.write_bytes(header + b"".join(relink(changed, head)))
        assert fault_of(file, manager.events.key) == (OLD, "rewritten")
    more = lines[0].replace(b'"seq":1,', b'"seq":%d,' % (OLD + 1))
    file.write_bytes(header + b"".join(relink([*lines, more], head)))
    assert fault_of(file, manager.events.key) == (OLD + 1, "unsigned")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("after", 1),
        ("head", "0" * 64),
        ("count", OLD - 1),
        ("issuer", "urn:other"),
        ("issuer", 5),
        ("checkpoint", "none"),
        ("checkpoint", None),
        ("format", "clawguard archive 2"),
    ],
)
def test_a_header_that_was_changed_is_refused(
    manager: SessionManager, clock: FakeClock, file: Path, name: str, value: Any
) -> None:
    archive(manager, clock, file)
    header, _, lines = file.read_text().partition("\n")
    file.write_text(json.dumps(json.loads(header) | {name: value}) + "\n" + lines)
    with pytest.raises(InvalidArgument, match="path"):
        verify_archive(file, key=manager.events.key)


def test_the_front_of_an_archive_cannot_be_cut_off(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    header, *lines = file.read_text().splitlines(keepends=True)
    said = json.loads(header) | {"after": 1, "head": json.loads(lines[0])["hash"], "count": OLD - 1}
    file.write_text(json.dumps(said) + "\n" + "".join(lines[1:]))
    with pytest.raises(InvalidArgument, match="header that was changed"):
        verify_archive(file, key=manager.events.key)


def test_a_checkpoint_in_the_place_of_a_header_is_refused(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    header, _, lines = file.read_text().partition("\n")
    said = json.loads(header) | {"checkpoint": str(manager.events.checkpoint()), "count": OLD + NEW + 1}
    file.write_text(json.dumps(said) + "\n" + lines)
    with pytest.raises(InvalidArgument, match="header that was changed"):
        verify_archive(file, key=manager.events.key)


def test_an_archive_of_another_log_is_refused(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    archive(manager, clock, file)
    with open_manager() as other, pytest.raises(InvalidArgument, match="of another log"):
        verify_archive(file, key=other.events.key)


def test_no_file_and_no_archive_are_refused(manager: SessionManager, tmp_path: Path) -> None:
    key = manager.events.key
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            verify_archive(path, key=key)
    for content in (b"", b"\xff", b"[]", b"[" * 100_000, b"x" * 2_000_000):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(InvalidArgument, match="is no archive"):
            verify_archive(tmp_path / "file", key=key)
    with pytest.raises(InvalidArgument, match="key"):
        verify_archive(tmp_path / "file", key="x")


def test_progress_of_a_verification_is_told(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    archive(manager, clock, file)
    told: list[int] = []
    verify_archive(file, key=manager.events.key, progress=told.append)
    assert told == [OLD]


# the mark in the lock file


def test_the_marked_entry_is_never_removed(path: Path, clock: FakeClock, file: Path) -> None:
    """Creates are not power-safe and move no mark: it may stand far back."""
    with open_manager(path, clock=clock) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        fill(manager, 30)
        clock.advance(100)
        assert archive(manager, clock, file).last == 31
    open_manager(path, clock=clock).close()


def test_a_removal_that_would_take_the_marked_entry_does_not_commit(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_manager(path, clock=clock) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        fill(manager, 30)
        store = manager._parts.store
        with pytest.raises(StoreUnavailable, match="lock file"), store.transaction(durable=False) as tx:
            assert len(tx.run("event.remove", until=31, limit=100)) == 31
        assert rows(path, "SELECT count(*) FROM events") == [(32,)]
        manager.create("a", scopes="x")
    open_manager(path, clock=clock).close()


def test_a_process_that_died_before_it_moved_the_mark_stops_no_removal(
    path: Path, clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.store.marks import Marker

    with open_manager(path, clock=clock) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        fill(manager, 30)
        clock.advance(100)
        monkeypatch.setattr(Marker, "note", lambda self, seq, digest: None)
        monkeypatch.setattr(type(manager.events), "_remove", lambda self, until: None)
        archive(manager, clock, file)
        monkeypatch.undo()
    with open_manager(path, clock=clock) as again:
        again.prune_expired()
        assert rows(path, "SELECT min(seq) FROM events") == [(32,)]
    open_manager(path, clock=clock).close()


def test_the_mark_is_on_the_disk_before_an_entry_goes(
    manager: SessionManager, clock: FakeClock, file: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.store.writer_queue import WriterQueue

    there = []
    plain = WriterQueue.sync_notes

    def sync_notes(self: WriterQueue) -> None:
        there.append(rows(path, "SELECT min(seq) FROM events")[0][0])
        plain(self)

    monkeypatch.setattr(WriterQueue, "sync_notes", sync_notes)
    archive(manager, clock, file)
    assert there == [1]


def test_the_last_entry_of_all_is_never_removed(path: Path, clock: FakeClock) -> None:
    with open_manager(path, clock=clock) as manager:
        fill(manager)
        with manager._parts.store.transaction(durable=False) as tx:
            tx.run("event.remove", until=100, limit=100)
        assert rows(path, "SELECT seq FROM events") == [(3,)]


def test_an_older_copy_is_still_told_after_an_archive(
    manager: SessionManager, clock: FakeClock, file: Path, path: Path
) -> None:
    manager.close()
    old = path.read_bytes()
    with open_manager(path, clock=clock) as again:
        archive(again, clock, file)
    path.write_bytes(old)
    with pytest.raises(ConfigError, match="older copy"):
        open_manager(path, clock=clock)
    without_mark(path)
    with open_manager(path, clock=clock) as again:
        assert again.events.verify().count == OLD + NEW


def test_a_removal_cut_short_is_finished_by_the_next_sweep(
    manager: SessionManager, clock: FakeClock, file: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(manager.events), "_remove", lambda self, until: None)
    archive(manager, clock, file)
    with raw(path) as database:
        database.execute("DELETE FROM events WHERE seq < 9")
    assert manager.events.verify().after == OLD
    with pytest.raises(EventsArchived):
        manager.events.read(after=10)
    monkeypatch.undo()
    manager.close()
    with open_manager(path, clock=clock) as again:
        assert again.events.verify().after == OLD
        again.prune_expired()
        assert rows(path, "SELECT min(seq) FROM events") == [(OLD + 1,)]
        assert again.events.verify()


def test_a_log_archived_while_it_is_verified_holds(
    manager: SessionManager, clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.events import proven

    monkeypatch.setattr(proven, "_STRETCH", 4)

    def meanwhile(seq: int) -> None:
        if not file.exists():
            archive(manager, clock, file)

    found = manager.events.verify(progress=meanwhile)
    assert (bool(found), found.after) == (True, OLD)


def test_many_entries_are_removed_in_batches(
    manager: SessionManager, clock: FakeClock, file: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.events import audit

    monkeypatch.setattr(audit, "_BATCH", 5)
    archive(manager, clock, file)
    assert rows(path, "SELECT min(seq) FROM events") == [(OLD + 1,)]
