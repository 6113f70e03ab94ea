"""Copies of a database: whole while others write, and never put in a place that is in use."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from clawguard import ConfigError, InvalidArgument, SessionManager, StoreBusy, Verifier
from clawguard.store import copies
from clawguard.store.copies import bring, faults_of, put_in_place, take_copy


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "clawguard.db"


def opened(path: Path) -> SessionManager:
    return SessionManager.open(path, sweep_every=None)


def looked_at(copy: Path, folder: Path) -> Path:
    """Bring a copy into a private folder, to be opened there."""
    folder.mkdir(mode=0o700)
    bring(copy, folder / "clawguard.db")
    return folder / "clawguard.db"


def test_a_copy_of_a_database_in_use_is_whole(path: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    with opened(path) as manager:

        def write() -> None:
            while not stop.is_set():
                manager.revoke(manager.create("agent", scopes="a"))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            steps: list[tuple[int, int]] = []
            for number in range(5):
                size = take_copy(path, tmp_path / f"{number}.db", progress=lambda *step: steps.append(step))
                assert size == (tmp_path / f"{number}.db").stat().st_size
        finally:
            stop.set()
            writer.join()
    assert steps[-1][0] == steps[-1][1] > 0
    for number in range(5):
        copy = looked_at(tmp_path / f"{number}.db", tmp_path / f"look-{number}")
        assert faults_of(copy) == []
        with Verifier.open(copy) as verifier:
            assert verifier.events.verify()


def test_a_copy_is_of_one_moment_whatever_is_written_meanwhile(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_STEP", 1)
    with opened(path) as manager:
        before = manager.create("agent", scopes="a")

        def write(done: int, total: int) -> None:
            if done % 10 == 0:
                manager.create("later", scopes="a")

        take_copy(path, tmp_path / "copy.db", progress=write)
    with Verifier.open(looked_at(tmp_path / "copy.db", tmp_path / "look")) as verifier:
        assert [each.session_id for each in verifier.events.read()] == [before.id]


def test_a_copy_is_one_private_file(path: Path, tmp_path: Path) -> None:
    with opened(path):
        take_copy(path, tmp_path / "copy.db")
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600
    assert {each.name for each in tmp_path.iterdir()} == {"db", "copy.db"}


def test_a_copy_replaces_nothing(path: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("somebody's")
    with opened(path):
        with pytest.raises(InvalidArgument, match="exists already"):
            take_copy(path, taken)
        with pytest.raises(InvalidArgument, match="a folder that does not exist"):
            take_copy(path, tmp_path / "none" / "copy.db")
    assert taken.read_text() == "somebody's"
    with pytest.raises(ConfigError, match="there is no database"):
        take_copy(tmp_path / "none.db", tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_copy_in_place_is_no_older_copy(path: Path, tmp_path: Path) -> None:
    with opened(path) as manager:
        session = manager.create("agent", scopes="a")
        manager.revoke(manager.create("other", scopes="a"))
        take_copy(path, tmp_path / "copy.db")
        manager.revoke(session)
    bring(tmp_path / "copy.db", path.with_name("ready.db"))
    kept = put_in_place(path.with_name("ready.db"), path, replaced="-before")
    assert kept == path.with_name("clawguard.db-before")
    with opened(path) as manager:
        assert manager.get_session(session).cause is None
        assert manager.revoke(session)
    with Verifier.open(looked_at(kept, tmp_path / "kept")) as verifier:
        assert verifier.events.last()[0] == 4


def test_the_mark_of_a_copy_in_place_tells_an_older_one(path: Path, tmp_path: Path) -> None:
    with opened(path) as manager:
        take_copy(path, tmp_path / "empty.db")
        manager.revoke(manager.create("agent", scopes="a"))
        take_copy(path, tmp_path / "copy.db")
    bring(tmp_path / "copy.db", path.with_name("ready.db"))
    put_in_place(path.with_name("ready.db"), path, replaced="-before")
    path.unlink()
    bring(tmp_path / "empty.db", path)
    with pytest.raises(ConfigError, match="older copy"):
        opened(path)


def test_nothing_is_put_in_a_place_that_is_in_use(path: Path, tmp_path: Path) -> None:
    with opened(path) as manager:
        take_copy(path, tmp_path / "copy.db")
        session = manager.create("agent", scopes="a")
        bring(tmp_path / "copy.db", path.with_name("ready.db"))
        with pytest.raises(StoreBusy, match="has the database open"):
            put_in_place(path.with_name("ready.db"), path, replaced="-before")
        assert manager.validate(session.token).session_id == session.id
    with Verifier.open(path), pytest.raises(StoreBusy):
        put_in_place(path.with_name("ready.db"), path, replaced="-before")
    assert not path.with_name("clawguard.db-before").exists()


def test_a_copy_takes_the_place_of_what_cannot_be_read(path: Path, tmp_path: Path) -> None:
    with opened(path) as manager:
        session = manager.create("agent", scopes="a")
        take_copy(path, tmp_path / "copy.db")
    path.write_bytes(b"damaged" * 1_000)
    bring(tmp_path / "copy.db", path.with_name("ready.db"))
    kept = put_in_place(path.with_name("ready.db"), path, replaced="-before")
    assert kept is not None
    assert kept.read_bytes().startswith(b"damaged")
    with opened(path) as manager:
        assert manager.get_session(session).id == session.id


def test_a_copy_takes_an_empty_place(path: Path, tmp_path: Path) -> None:
    with opened(path):
        take_copy(path, tmp_path / "copy.db")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    bring(tmp_path / "copy.db", elsewhere / "ready.db")
    assert put_in_place(elsewhere / "ready.db", elsewhere / "clawguard.db", replaced="-before") is None
    with Verifier.open(elsewhere / "clawguard.db") as verifier:
        assert verifier.events.verify()


def test_a_damaged_page_is_found(path: Path) -> None:
    with opened(path) as manager:
        for _ in range(200):
            manager.create("agent", scopes="a")
    assert faults_of(path) == []
    data = bytearray(path.read_bytes())
    data[-2_000:] = bytes(2_000)
    path.write_bytes(data)
    assert faults_of(path)


def test_a_copy_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        bring(tmp_path / "none.db", tmp_path / "ready.db")
