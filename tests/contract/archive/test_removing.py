"""Entries are removed only when the mark in the lock file stands on one that stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawguard import ConfigError, SessionManager, StoreUnavailable
from clawguard.errors import EventsArchived
from tests.clocks import FakeClock
from tests.contract.archive.scene import NEW, OLD, archive
from tests.contract.conftest import on_a_file
from tests.contract.test_proof import fill, without_mark
from tests.openers import open_manager, raw, rows


def test_the_marked_entry_is_never_removed(database: str, clock: FakeClock, file: Path) -> None:
    """Creates are not power-safe and move no mark: it may stand far back."""
    with open_manager(database, clock=clock) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        fill(manager, 30)
        clock.advance(100)
        assert archive(manager, clock, file).last == 31
    open_manager(database, clock=clock).close()


@on_a_file
def test_a_removal_that_would_take_the_marked_entry_does_not_commit(
    database: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_manager(database, clock=clock) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        fill(manager, 30)
        store = manager._parts.store
        with pytest.raises(StoreUnavailable, match="lock file"), store.transaction(durable=False) as tx:
            assert len(tx.run("event.remove", until=31, limit=100)) == 31
        assert rows(database, "SELECT count(*) FROM events") == [(32,)]
        manager.create("a", scopes="x")
    open_manager(database, clock=clock).close()


def test_a_process_that_died_before_it_moved_the_mark_stops_no_removal(
    database: str, clock: FakeClock, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.store.marks import Marker

    with open_manager(database, clock=clock) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        fill(manager, 30)
        clock.advance(100)
        monkeypatch.setattr(Marker, "note", lambda self, seq, digest: None)
        monkeypatch.setattr(type(manager.events), "_remove", lambda self, until: None)
        archive(manager, clock, file)
        monkeypatch.undo()
    with open_manager(database, clock=clock) as again:
        again.prune_expired()
        assert rows(database, "SELECT min(seq) FROM events") == [(32,)]
    open_manager(database, clock=clock).close()


@on_a_file
def test_the_mark_is_on_the_disk_before_an_entry_goes(
    manager: SessionManager, clock: FakeClock, file: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.store.writer_queue import WriterQueue

    there = []
    plain = WriterQueue.sync_notes

    def sync_notes(self: WriterQueue) -> None:
        there.append(rows(database, "SELECT min(seq) FROM events")[0][0])
        plain(self)

    monkeypatch.setattr(WriterQueue, "sync_notes", sync_notes)
    archive(manager, clock, file)
    assert there == [1]


def test_the_last_entry_of_all_is_never_removed(database: str, clock: FakeClock) -> None:
    with open_manager(database, clock=clock) as manager:
        fill(manager)
        with manager._parts.store.transaction(durable=False) as tx:
            tx.run("event.remove", until=100, limit=100)
        assert rows(database, "SELECT seq FROM events") == [(3,)]


@on_a_file
def test_an_older_copy_is_still_told_after_an_archive(
    manager: SessionManager, clock: FakeClock, file: Path, database: str
) -> None:
    path = Path(database)
    manager.close()
    old = path.read_bytes()
    with open_manager(path, clock=clock) as again:
        archive(again, clock, file)
    path.write_bytes(old)
    with pytest.raises(ConfigError, match="older copy"):
        open_manager(path, clock=clock)
    without_mark(database)
    with open_manager(path, clock=clock) as again:
        assert again.events.verify().count == OLD + NEW


def test_a_removal_cut_short_is_finished_by_the_next_sweep(
    manager: SessionManager, clock: FakeClock, file: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(manager.events), "_remove", lambda self, until: None)
    archive(manager, clock, file)
    with raw(database) as inside:
        inside.execute("DELETE FROM events WHERE seq < 9")
    assert manager.events.verify().after == OLD
    with pytest.raises(EventsArchived):
        manager.events.read(after=10)
    monkeypatch.undo()
    manager.close()
    with open_manager(database, clock=clock) as again:
        assert again.events.verify().after == OLD
        again.prune_expired()
        assert rows(database, "SELECT min(seq) FROM events") == [(OLD + 1,)]
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
    manager: SessionManager, clock: FakeClock, file: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard.events import audit

    monkeypatch.setattr(audit, "_BATCH", 5)
    archive(manager, clock, file)
    assert rows(database, "SELECT min(seq) FROM events") == [(OLD + 1,)]
