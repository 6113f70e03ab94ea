"""A database moves while others write beside each other, give the copy up, or upgrade what is copied."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clawguard.sessions.moving import _Copy
from clawguard.sessions.updating import set_in
from clawguard.store import Reach
from clawguard.store.postgres.connections import read_url
from clawguard.store.shut import MoveState
from tests.moves import Places, making_places, move
from tests.openers import open_manager, rows


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
