"""A database moves while others write beside each other, give the copy up, or upgrade what is copied."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clawguard.errors import ConfigError, StoreMoved, StoreUpgraded
from clawguard.sessions.moving import _Copy, abandon_copy
from clawguard.sessions.updating import set_in
from clawguard.store import Reach
from clawguard.store.postgres.connections import read_url
from clawguard.store.shut import MoveState
from tests.clocks import FakeClock
from tests.moves import Places, making_places, move
from tests.openers import open_manager, raw, rows


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    with making_places(tmp_path) as places:
        yield places


def test_a_change_that_is_under_way_while_later_ones_stand_comes_along(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = places("postgres"), places("file")
    copy, is_leaving = _Copy._copy, threading.Event()
    with open_manager(source, lock_timeout=60) as slow, open_manager(source) as quick:
        made = slow.create("slow", scopes="x")

        def linger(begun: threading.Event) -> None:
            with slow._parts.change(durable=True, reach=Reach(made.id)) as change:
                set_in(change, "session.set_name", made.id, name="late")
                begun.set()
                while not is_leaving.is_set() and not is_waited_for(source):
                    is_leaving.wait(0.01)

        def copy_beside(copying: _Copy, partial: MoveState) -> None:
            begun = threading.Event()
            thread = threading.Thread(target=linger, args=(begun,))
            thread.start()
            assert begun.wait(30)
            quick.create("quick", scopes="x")  # what is noted for it has the greater numbers
            try:
                copy(copying, partial)
            finally:
                is_leaving.set()
                thread.join()

        monkeypatch.setattr(_Copy, "_copy", copy_beside)
        move(source, target)
    with open_manager(target) as manager:
        assert manager.sessions.get(made.id).name == "late"


def is_waited_for(url: str) -> bool:
    """Tell whether somebody waits for the write lock."""
    asked = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    of_ours = (
        f"(CAST(classid AS bigint) << 32 | CAST(objid AS bigint)) = {read_url(url, lock_timeout=0).lock}"
    )
    return rows(url, f"{asked} AND {of_ours}") != []


engines = pytest.mark.parametrize("engine", ["file", "postgres"])


@pytest.fixture
def before_leaving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Return what has something happen once everything is copied, before the old database is marked."""
    leave = _Copy._leave

    def have(happen: Callable[[], object]) -> None:
        def leave_late(copying: _Copy, partial: MoveState) -> None:
            monkeypatch.setattr(_Copy, "_leave", leave)
            happen()
            leave(copying, partial)

        monkeypatch.setattr(_Copy, "_leave", leave_late)

    return have


@engines
def test_a_copy_that_was_given_up_under_its_hands_does_not_move(
    places: Places, before_leaving: Callable[[Callable[[], object]], None], engine: str
) -> None:
    source, first, second = places(engine), places("file"), places("file")
    with open_manager(source) as manager:
        manager.create("a", scopes="x")

        def give_up_and_begin_another() -> None:
            assert abandon_copy(source, clock=FakeClock())
            manager.history.milestones.set("noted", "by nobody")
            before_leaving(break_off)
            with pytest.raises(Cut):
                move(source, second)

        before_leaving(give_up_and_begin_another)
        with pytest.raises(ConfigError, match="given up"):
            move(source, first)
        manager.create("still", scopes="x")
    assert move(source, second).moved


@engines
def test_a_copy_of_what_another_has_moved_meanwhile_says_where_it_is(
    places: Places, before_leaving: Callable[[Callable[[], object]], None], engine: str
) -> None:
    for target, other in ((places("file"), places("file")), (same := places("file"), same)):
        source = places(engine)
        open_manager(source).close()
        before_leaving(lambda source=source, other=other: move(source, other))  # type: ignore[misc]
        with pytest.raises(StoreMoved, match=Path(other).parent.name):
            move(source, target)
        open_manager(other).close()


@engines
def test_what_a_newer_version_migrates_meanwhile_is_not_moved_by_this_one(
    places: Places, before_leaving: Callable[[Callable[[], object]], None], engine: str
) -> None:
    source = places(engine)
    open_manager(source).close()

    def migrate() -> None:
        with raw(source) as connection:
            connection.execute("UPDATE meta SET schema_version = schema_version + 1")

    before_leaving(migrate)
    with pytest.raises(StoreUpgraded) as refused:
        move(source, places("file"))
    assert str(refused.value) == "a newer clawguard migrated the store; copy it anew with that version"
    assert rows(source, "SELECT count(*) FROM sessions") == [(0,)], "it is not marked"


class Cut(BaseException):
    """Ends a copy somewhere."""


def break_off() -> None:
    raise Cut
