"""The search's index: checked against the entries, and in itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clawguard import Session, SessionManager, StoreBusy, StoreUnavailable
from tests.openers import open_manager, raw


@pytest.fixture
def session(manager: SessionManager) -> Session:
    return manager.create("planner", scopes="x", channel_id="telegram")


def say(manager: SessionManager, session: Any, *texts: str) -> None:
    for text in texts:
        manager.history.append(session, {"role": "user", "content": text})


def test_an_index_that_fits_is_fine(manager: SessionManager, session: Session) -> None:
    say(manager, session, "alpha", "", "beta")
    manager.history.append(session, {"role": "tool", "content": "gamma"})
    manager.history.append(session, {"role": "tool", "content": " "}, index_tools=True)
    manager.history.append(session, {"role": "tool", "content": "", "extra": 1}, index_tools=True)
    manager.history.update_last(session, {"role": "user", "content": "delta"})
    check = manager.history.check_index()
    assert (check.is_whole, check.missing, check.stray, check.is_fine) == (True, 0, 0, True)
    manager.history.clear(session)
    assert manager.history.check_index().is_fine


def test_what_an_index_lacks_and_what_it_has_too_much_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "data" / "clawguard.db"
    with open_manager(path) as manager:
        say(manager, manager.create("a", scopes="x"), *(f"word{number}" for number in range(10)))
        assert manager.history.check_index().is_fine
        with raw(path) as database:
            database.execute("DELETE FROM entry_words WHERE rowid > 7")
            database.execute("INSERT INTO entry_words (rowid, words, tools) VALUES (99, 'ghost', '')")
        check = manager.history.check_index()
        assert (check.is_whole, check.missing, check.stray, check.is_fine) == (True, 3, 1, False)
        manager.history.compact()
        assert manager.history.check_index().is_fine


def test_an_index_that_is_not_what_its_content_says_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "data" / "clawguard.db"
    with open_manager(path) as manager:
        say(manager, manager.create("a", scopes="x"), "needle", "hay")
        assert manager.history.check_index().is_fine
        with raw(path) as database:
            database.execute("UPDATE entry_words_content SET c0 = 'thread' WHERE id = 1")
        check = manager.history.check_index()
        assert (check.is_whole, check.missing, check.stray, check.is_fine) == (False, 0, 0, False)
        manager.history.compact()
        assert manager.history.search("needle")


def test_a_check_that_cannot_be_made_is_an_error_and_no_verdict(tmp_path: Path) -> None:
    path = tmp_path / "data" / "clawguard.db"
    with open_manager(path, lock_timeout=0.05) as manager:
        with open_manager(path) as other, other._parts.change(durable=False), pytest.raises(StoreBusy):
            manager.history.check_index()
        with raw(path) as database:
            database.execute("DROP TABLE entry_words")
        with pytest.raises(StoreUnavailable):
            manager.history.check_index()
