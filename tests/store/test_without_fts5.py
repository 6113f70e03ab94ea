"""Where SQLite was built without FTS5 everything works but the search, which says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from clawguard import SessionManager
from clawguard.errors import SearchUnavailable
from tests.openers import open_manager, raw, rows
from tests.store.without_fts5 import without_fts5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


def say(manager: SessionManager, session: Any, *texts: str) -> None:
    for text in texts:
        manager.history.append(session, {"role": "user", "content": text})


def texts(manager: SessionManager, session: Any) -> list[str]:
    return [each.text for each in manager.history.load_with_timestamps(session)]


def use_all_of_it(manager: SessionManager, folder: Path) -> None:
    """Do everything that a conversation can be done to, and see that the search alone is refused."""
    history = manager.history
    session, fork, carried = (manager.create(each, scopes="x") for each in ("a", "b", "c"))
    say(manager, session, "one", "two", "three")
    history.update_last(session, {"role": "user", "content": "four"})
    history.extend(session, [{"role": "user", "content": "five"}], index_tools=True)
    history.remove_last(session)
    assert history.fork(session, fork) == 3
    history.export_jsonl(session, folder / "talk.jsonl")
    assert history.import_jsonl(carried, folder / "talk.jsonl").count == 3
    assert texts(manager, session) == texts(manager, carried) == ["one", "two", "four"]
    assert [each.text for each in history.tail(fork, 1)] == ["four"]
    assert history.wrap_up(fork).count == 3
    history.clear(fork)
    history.delete(carried)
    manager.prune_expired()
    manager.revoke(session)
    manager.sessions.purge(0)
    for call in (lambda: history.search("one"), history.compact, history.check_index):
        with pytest.raises(SearchUnavailable, match="without FTS5"):
            call()


def test_a_database_made_there_does_all_but_search(path: Path) -> None:
    with without_fts5(), open_manager(path) as manager:
        use_all_of_it(manager, path.parent)
    assert rows(path, "SELECT name FROM sqlite_schema WHERE name LIKE 'entry_words%'") == []


def test_a_database_from_elsewhere_does_too(path: Path) -> None:
    with open_manager(path) as manager:
        say(manager, manager.create("old", scopes="x"), "indexed before")
        assert len(manager.history.search("indexed")) == 1
    with without_fts5(), open_manager(path) as manager:
        use_all_of_it(manager, path.parent)


def test_what_was_said_there_is_found_where_there_is_an_index_again(path: Path) -> None:
    with without_fts5(), open_manager(path) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, "needle", "hay")
    with open_manager(path) as manager:
        assert [hit.seq for hit in manager.history.search("needle")] == [1]
        assert manager.history.check_index().is_fine
    with without_fts5(), open_manager(path) as manager:
        say(manager, session, "thread")
        manager.history.update_last(session, {"role": "user", "content": "yarn"})
    with open_manager(path) as manager:
        assert [hit.seq for hit in manager.history.search("yarn thread")] == [3]


def test_words_that_could_not_be_removed_there_are_told_of_and_removed_by_compact(path: Path) -> None:
    with open_manager(path) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, "needle", "hay")
        manager.history.search("needle")
    with without_fts5(), open_manager(path) as manager:
        manager.history.remove_last(session)
    with open_manager(path) as manager:
        check = manager.history.check_index()
        assert (check.is_whole, check.missing, check.stray, check.is_fine) == (True, 0, 1, False)
        assert manager.history.search("hay") == ()
        manager.history.compact()
        assert manager.history.check_index().is_fine


def test_encryption_works_there_unless_an_index_would_be_left(path: Path) -> None:
    with without_fts5(), open_manager(path) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, "said in confidence")
        manager.history.encryption.enable()
        manager.history.encryption.rotate()
        assert texts(manager, session) == ["said in confidence"]
    with open_manager(other := path.with_name("other.db")) as manager:
        say(manager, manager.create("a", scopes="x"), "said in confidence")
        manager.history.search("confidence")
    with without_fts5(), open_manager(other) as manager:
        with pytest.raises(SearchUnavailable, match="cannot empty the index"):
            manager.history.encryption.enable()
        assert manager.history.encryption.status().key is None


def test_an_index_that_was_lost_is_made_anew_when_the_database_is_opened_again(path: Path) -> None:
    with open_manager(path) as manager:
        say(manager, manager.create("a", scopes="x"), "needle")
        assert manager.history.check_index().is_fine
    with raw(path) as database:
        database.execute("DROP TABLE entry_words")
    with open_manager(path) as manager:
        assert [hit.seq for hit in manager.history.search("needle")] == [1]
        assert manager.history.check_index().is_fine
