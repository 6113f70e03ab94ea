"""An older copy of the database, put back in its place, is refused: what had ended in it would live again."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from clawguard import ConfigError, IssuedSession, SessionEnded, SessionManager, Verifier
from tests.faults.lab import CONTEXT, PATIENCE, assert_whole, crew, rows, store_of

TABLES = ("meta", "sessions", "events", "signing_keys", "migrations")
REFUSED = "older copy of the database"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "clawguard.db"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copy"
    folder.mkdir()
    return folder


def opened(path: Path) -> SessionManager:
    return SessionManager.open(path, sweep_every=None)


def take(path: Path, folder: Path) -> None:
    """Copy a database with its write-ahead log, if there is one."""
    for each in path.parent.glob("clawguard.db*"):
        if each.name in ("clawguard.db", "clawguard.db-wal"):
            shutil.copy2(each, folder)


def put_back(folder: Path, path: Path) -> None:
    """Put a copy in the database's place, and leave nothing of what was there but lock and key."""
    for name in ("clawguard.db", "clawguard.db-wal", "clawguard.db-shm"):
        path.with_name(name).unlink(missing_ok=True)
    for each in folder.iterdir():
        shutil.copy2(each, path.parent)


def content(path: Path) -> list[object]:
    return [rows(path, f"SELECT * FROM {table}") for table in TABLES]


def copied_when_closed(path: Path, folder: Path) -> IssuedSession:
    with opened(path) as manager:
        session = manager.create("agent", scopes="a")
        manager.revoke(manager.create("other", scopes="a"))
    take(path, folder)
    with opened(path) as manager:
        assert manager.revoke(session)
    return session


def copied_in_use(path: Path, folder: Path) -> IssuedSession:
    with opened(path) as manager:
        session = manager.create("agent", scopes="a")
        manager.revoke(manager.create("other", scopes="a"))
        take(path, folder)
        assert (folder / "clawguard.db-wal").stat().st_size > 0
        assert manager.revoke(session)
    return session


def ended_by_one_that_is_killed(path: Path, folder: Path) -> IssuedSession:
    with opened(path) as manager:
        session = manager.create("agent", scopes="a")
    take(path, folder)

    def revoke() -> None:
        assert opened(path).revoke(session)
        os.kill(os.getpid(), signal.SIGKILL)

    with crew() as start:
        worker = start(revoke)
        worker.process.join(PATIENCE)
        assert worker.process.exitcode == -signal.SIGKILL
    return session


WAYS = (copied_when_closed, copied_in_use, ended_by_one_that_is_killed)
Way = Callable[[Path, Path], IssuedSession]


@pytest.mark.parametrize("way", WAYS)
def test_attack_71_an_older_copy_put_back_is_refused_and_left_as_it_was(
    path: Path, copy: Path, way: Way
) -> None:
    session = way(path, copy)
    put_back(copy, path)
    before, lock = content(path), path.with_name("clawguard.db-lock").read_bytes()
    for opener in (opened, Verifier.open):
        with pytest.raises(ConfigError, match=REFUSED):
            opener(path)
    assert content(path) == before
    assert path.with_name("clawguard.db-lock").read_bytes() == lock
    assert rows(path, "SELECT cause FROM sessions WHERE id = ?", session.id) == [(None,)]


@pytest.mark.parametrize("way", WAYS)
def test_attack_71_the_newest_file_opens_again(path: Path, copy: Path, tmp_path: Path, way: Way) -> None:
    session = way(path, copy)
    newest = tmp_path / "newest"
    newest.mkdir()
    take(path, newest)
    put_back(copy, path)
    with pytest.raises(ConfigError, match=REFUSED):
        opened(path)
    put_back(newest, path)
    with opened(path) as manager, pytest.raises(SessionEnded):
        manager.validate(session.token)
    assert_whole(path)


@pytest.mark.parametrize("way", WAYS)
def test_attack_71_what_an_operator_accepts_can_be_ended(path: Path, copy: Path, way: Way) -> None:
    session = way(path, copy)
    put_back(copy, path)
    with pytest.raises(ConfigError, match=r"remove clawguard\.db-lock and end every session"):
        opened(path)
    path.with_name("clawguard.db-lock").unlink()
    with opened(path) as manager:
        manager.validate(session.token)  # so it would be without the refusal
        assert manager.revoke_where(everything=True).count == 1
        with pytest.raises(SessionEnded):
            manager.validate(session.token)
    with opened(path) as manager, pytest.raises(SessionEnded):
        manager.validate(session.token)
    assert_whole(path)


def test_attack_71_a_copy_that_went_on_elsewhere_is_refused_however_far_it_came(
    path: Path, copy: Path
) -> None:
    copied_when_closed(path, copy)
    shutil.copy2(path.with_name("clawguard.db-kek"), copy)
    with opened(copy / "clawguard.db") as manager:
        for _ in range(20):
            manager.revoke(manager.create("agent", scopes="a"))
    for name in ("clawguard.db-lock", "clawguard.db-kek"):
        (copy / name).unlink()
    put_back(copy, path)
    with pytest.raises(ConfigError, match=REFUSED):
        opened(path)


def test_attack_71_a_process_that_opens_the_file_anew_finds_it_exchanged(path: Path, copy: Path) -> None:
    copied_when_closed(path, copy)
    with opened(path) as manager:
        put_back(copy, path)
        store_of(manager)._discard_writer()  # as a fork does, or a failure of the disk
        with pytest.raises(ConfigError, match=REFUSED):
            manager.create("agent", scopes="a")
    with pytest.raises(ConfigError, match=REFUSED):
        opened(path)


def test_what_a_power_cut_takes_back_is_no_older_copy(path: Path, copy: Path) -> None:
    """Only what was power-safe is sure to be there after it; the lock file may be of any later moment."""
    with opened(path) as manager:
        first = manager.create("agent", scopes="a")
        manager.create("agent", scopes="a")
        assert manager.revoke(first)
        take(path, copy)
        for _ in range(20):
            last = manager.create("agent", scopes="a")
            manager.activity.set_name(last, "name")
    put_back(copy, path)
    with opened(path) as manager:
        assert manager.active_count() == 1
        assert manager.revoke_where(everything=True).count == 1
    assert assert_whole(path) == 4


def test_a_power_cut_within_a_power_safe_commit_leaves_no_older_copy(path: Path, copy: Path) -> None:
    """Even where the lock file was written out at that very moment, and the database was not."""
    with opened(path) as manager:
        manager.revoke(manager.create("agent", scopes="a"))
        with manager._parts.change(durable=True) as change:
            change.writer.append("key.rotated")
            take(path, copy)
            for name in ("clawguard.db-lock", "clawguard.db-kek"):
                shutil.copy2(path.with_name(name), copy)
    with opened(copy / "clawguard.db") as manager:
        assert manager.events.verify().count == 2


def test_a_commit_that_is_not_acknowledged_leaves_no_mark(path: Path, copy: Path) -> None:
    """A writer is killed at random; whatever the file is then, it opens."""
    opened(path).close()
    begun = CONTEXT.Event()

    def work() -> None:
        with opened(path) as manager:
            while True:
                manager.revoke(manager.create("agent", scopes="a"))
                begun.set()

    for turn in range(6):
        begun.clear()
        with crew() as start:
            worker = start(work)
            assert begun.wait(PATIENCE)
            worker.process.join(0.003 * turn)
            worker.kill()
        opened(path).close()
    assert_whole(path)
