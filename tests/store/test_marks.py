"""The mark beside a database: whose it is, when it is written, and that a damaged one stops nobody."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard import ConfigError, SessionManager, Verifier
from clawguard.store.connections import APPLICATION_ID
from clawguard.store.marks import _PLACE, _PLACES, _SIZE, _place
from clawguard.store.migrate import migrations_of
from tests.clocks import START
from tests.openers import open_manager, raw, rows

PAGE = 4_096
REFUSED = "older copy of the database"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


def lock_of(path: Path) -> Path:
    return path.with_name(path.name + "-lock")


def use(path: Path, **settings: Any) -> None:
    """Make a power-safe commit."""
    with open_manager(path, **settings) as manager:
        manager.revoke(manager.create("a", scopes="x"))


def outdate(path: Path, **settings: Any) -> None:
    """Use a database, and put back what it was before."""
    use(path, **settings)
    old = path.read_bytes()
    use(path)
    path.write_bytes(old)


def mark_of(path: Path) -> tuple[int, bytes]:
    """Return where the one mark of a lock file stands, and the mark."""
    content = lock_of(path).read_bytes()
    places = range(_PLACE, len(content), _PLACE)
    ((at, mark),) = [(at, found) for at in places if any(found := content[at : at + _SIZE])]
    return at, mark


def issuer_with_its_mark(path: Path, number: int, *, at: int, shared: bool) -> str:
    """Return an issuer whose database, founded at the start, has its mark in that place or in another one."""
    found = (f"urn:test:{each}" for each in range(number, number + 10_000))
    return next(each for each in found if (place_of(path, each) == at) is shared)


def place_of(path: Path, issuer: str) -> int:
    return _place(hashlib.sha256(f"{START} {issuer}".encode()).digest()[:8])


# whose it is


def test_a_database_founded_anew_in_the_old_ones_place_opens(path: Path) -> None:
    for _ in range(3):
        use(path)
        use(path)
        path.unlink()
        with open_manager(path) as manager:
            manager.create("a", scopes="x")  # and nothing yet that would move the mark
        open_manager(path).close()


@pytest.mark.parametrize("shared", [False, True])
def test_an_older_copy_put_back_after_the_database_was_founded_anew(path: Path, shared: bool) -> None:
    """The mark of the lost one is still there, unless both have the same place."""
    use(path, issuer="urn:test:first")
    old, (at, _) = path.read_bytes(), mark_of(path)
    use(path)
    path.unlink()
    use(path, issuer=issuer_with_its_mark(path, 0, at=at, shared=shared))
    path.write_bytes(old)
    if shared:
        open_manager(path).close()
    else:
        with pytest.raises(ConfigError, match=REFUSED):
            open_manager(path)


def test_another_database_put_in_the_place_opens(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "clawguard.db"
    use(other)
    for _ in range(3):
        use(path)
    shutil.copy(other, path)
    use(path)


@pytest.mark.parametrize("name", ["clawguard.db", "renamed.db"])
def test_a_database_that_is_copied_or_moved_alone_opens(path: Path, tmp_path: Path, name: str) -> None:
    outdate(path)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    shutil.copy(path, folder / name)
    use(folder / name)
    path.rename(path.with_name("renamed.db"))
    use(path.with_name("renamed.db"))


@pytest.mark.parametrize("opener", [open_manager, Verifier.open])
def test_nobody_opens_an_older_copy(path: Path, opener: Callable[..., object]) -> None:
    outdate(path)
    with pytest.raises(ConfigError, match=REFUSED) as refusal:
        opener(path)
    assert "clawguard.db-lock" in str(refusal.value.hint)
    assert "revoke_where(everything=True)" in str(refusal.value.hint)


def test_an_older_copy_of_an_earlier_schema_is_refused_before_it_is_migrated(path: Path) -> None:
    use(path, issuer="urn:test:first")
    path.unlink()
    with raw(path) as database:
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.executescript(migrations_of("sqlite")[0].text)
        database.execute(f"INSERT INTO meta VALUES (1, 1, 'urn:test:first', 'clawguard', 1, 0, {START})")
        database.execute("PRAGMA user_version = 1")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match=REFUSED):
        open_manager(path)
    assert rows(path, "PRAGMA user_version") == [(1,)]
    lock_of(path).unlink()
    with pytest.raises(ConfigError, match="ledger"):
        open_manager(path)


# when it is written


def test_only_a_power_safe_commit_moves_the_mark(path: Path) -> None:
    with open_manager(path) as manager:
        manager.events.register("note.taken")
        session = manager.create("a", scopes="x")
        assert not any(lock_of(path).read_bytes()[_PLACE:])
        steps: list[Callable[[], object]] = [
            lambda: manager.create("a", scopes="x"),
            lambda: manager.activity.set_name(session, "n"),
            lambda: manager.delegate(session, "b", scopes="x"),
            lambda: manager.refresh(session),
            lambda: manager.revoke(session),
            lambda: manager.publish("note.taken", {}),
            manager.keys.rotate,
            lambda: manager.events.read(after=0),
        ]
        manager.refresh(session)
        moved = []
        for step in steps:
            before = mark_of(path)
            step()
            moved.append(mark_of(path) != before)
    assert moved == [False, False, False, True, True, True, True, False]


def test_a_commit_that_failed_leaves_the_mark(path: Path) -> None:
    with open_manager(path) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        before = mark_of(path)

        def fail(*, durable: bool) -> None:
            with manager._parts.change(durable=durable) as change:
                change.writer.append("key.rotated")
                raise KeyError

        for durable in (True, False):
            with pytest.raises(KeyError):
                fail(durable=durable)
            assert mark_of(path) == before


def test_the_marks_lie_in_one_page_beside_the_counter(path: Path) -> None:
    assert _SIZE <= _PLACE
    assert {_place(bytes([first])) % _PLACE for first in range(256)} == {0}
    places = [_place(bytes([first])) for first in range(256)]
    assert min(places) == _PLACE
    assert max(places) == _PLACE * _PLACES == PAGE - _PLACE
    use(path)
    assert lock_of(path).stat().st_size <= PAGE


# what became of it


def damaged(mark: bytes, at: int) -> dict[str, bytes]:
    """Return lock files that lost, or never had, a whole mark in its place."""
    chance = random.Random(71)
    before = bytes(at)
    cut = {f"cut to {size}": before + mark[:size] for size in range(_SIZE)}
    torn = {f"torn at {size}": before + mark[:size] + bytes(_SIZE - size) for size in range(_SIZE)}
    turned = {f"bit {bit}": before + turn(mark, bit) for bit in range(_SIZE * 8)}
    noise = {f"noise {number}": chance.randbytes(PAGE) for number in range(20)}
    return cut | torn | turned | noise | {"empty": b"", "zeros": bytes(PAGE), "ones": b"\xff" * PAGE}


def turn(mark: bytes, bit: int) -> bytes:
    return (int.from_bytes(mark) ^ (1 << bit)).to_bytes(len(mark))


def test_a_lost_or_damaged_mark_stops_nobody(path: Path) -> None:
    outdate(path)
    old, (at, mark) = path.read_bytes(), mark_of(path)
    for name, content in damaged(mark, at).items():
        if content[at : at + _SIZE] == mark:
            continue  # cut where it ends in zeros
        lock_of(path).write_bytes(content)
        try:
            Verifier.open(path).close()
        except ConfigError as refusal:
            pytest.fail(f"{name}: {refusal}")
    lock_of(path).write_bytes(bytes(at) + mark)
    with pytest.raises(ConfigError, match=REFUSED):
        open_manager(path)
    lock_of(path).unlink()
    open_manager(path).close()
    assert path.read_bytes() == old


@pytest.mark.parametrize("content", [b"", b"\xff" * PAGE, b"x"])
def test_a_damaged_lock_file_is_mended_by_the_next_power_safe_commit(path: Path, content: bytes) -> None:
    use(path)
    lock_of(path).write_bytes(content)
    outdate(path)
    with pytest.raises(ConfigError, match=REFUSED):
        open_manager(path)


def test_a_counter_out_of_its_mind_is_set_right_by_a_checkpoint(path: Path) -> None:
    use(path)
    with open_manager(path) as manager:
        lock_of(path).write_bytes(b"\xff" * 8)
        manager.create("a", scopes="x")
        assert int.from_bytes(lock_of(path).read_bytes()[:8]) == 0


def test_a_private_database_takes_its_mark_along() -> None:
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        manager.revoke(manager.create("a", scopes="x"))
        assert manager.active_count() == 0
