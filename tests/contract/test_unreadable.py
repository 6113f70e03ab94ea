"""Entries that are not as they were stored: found by every read, named, and never repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard import ConfigError, SessionManager
from clawguard.errors import EntryUnreadable
from tests.openers import open_manager, raw, rows

SECRET = "said in confidence"
OTHERS = "UPDATE entries SET sealed = (SELECT sealed FROM entries WHERE id = {}) WHERE id = 2"
PLANTED = "UPDATE entries SET content = 'planted', content_key = 0, sealed = NULL WHERE id = 2"

# What somebody does to the second entry of a conversation of three; entries 4 to 6 are another session's.
FORGERIES = {
    "of another place": OTHERS.format(1),
    "of another session": OTHERS.format(5),
    "two exchanged": "UPDATE entries SET seq = CASE seq WHEN 2 THEN 99 ELSE seq END WHERE session_id = "
    "(SELECT session_id FROM entries WHERE id = 1); UPDATE entries SET seq = 2 WHERE id = 3; "
    "UPDATE entries SET seq = 3 WHERE id = 2",
    "given to another session": "UPDATE entries SET seq = 99 WHERE id = 5; UPDATE entries SET session_id = "
    "(SELECT session_id FROM entries WHERE id = 1) WHERE id = 5; DELETE FROM entries WHERE id = 2; "
    "UPDATE entries SET seq = 2 WHERE id = 5",
    "another time": "UPDATE entries SET at = at + 1 WHERE id = 2",
    "another kind": "UPDATE entries SET kind = 'prompt' WHERE id = 2",
    "another role": "UPDATE entries SET role = 'system' WHERE id = 2",
    "left out of exports": "UPDATE entries SET auto_injected = 1 WHERE id = 2",
    "a byte more": "UPDATE entries SET sealed = CAST(sealed || x'00' AS BLOB) WHERE id = 2",
    "cut short": "UPDATE entries SET sealed = substr(sealed, 1, 20) WHERE id = 2",
    "emptied": "UPDATE entries SET sealed = x'' WHERE id = 2",
    "under a key that is not there": "UPDATE entries SET content_key = 7 WHERE id = 2",
    "plaintext": PLANTED,
}
READS: dict[str, Callable[[SessionManager, Any, Path], Any]] = {
    "load": lambda m, s, _: m.history.load(s),
    "load_with_timestamps": lambda m, s, _: m.history.load_with_timestamps(s),
    "tail": lambda m, s, _: m.history.tail(s, 2),
    "wrap_up": lambda m, s, _: m.history.wrap_up(s),
    "export": lambda m, s, path: m.history.export_jsonl(s, path),
    "fork": lambda m, s, _: m.history.fork(s, m.create("fork", scopes="x")),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


def talking(path: Path, **settings: Any) -> tuple[str, str]:
    """Make two conversations of three entries, and return whose they are."""
    with open_manager(path, **settings) as manager:
        made = [manager.create("a", scopes="x").id for _ in range(2)]
        for each in made:
            manager.history.extend(each, [{"role": "user", "content": f"{SECRET} {n}"} for n in range(3)])
        return made[0], made[1]


def forge(path: Path, script: str) -> None:
    with raw(path) as database:
        database.executescript(script)


@pytest.mark.parametrize("forgery", FORGERIES)
def test_attack_every_read_finds_an_entry_that_was_forged_and_names_it(path: Path, forgery: str) -> None:
    session, _ = talking(path, encrypt_history=True)
    forge(path, FORGERIES[forgery])
    file = path.parent / "talk.jsonl"
    with open_manager(path) as manager:
        for name, read in READS.items():
            with pytest.raises(EntryUnreadable) as caught:
                read(manager, session, file)
            assert (name, caught.value.session_id) == (name, session)
            assert caught.value.seq == 2 or (forgery == "two exchanged" and caught.value.seq == 3)
            assert SECRET not in f"{caught.value} {caught.value.__dict__}"
            assert "planted" not in str(caught.value)
        assert not file.exists()
        assert manager.history.count(session) == 3
        assert manager.history.delete(session)  # which mends it


def test_attack_ciphertext_in_a_store_that_encrypts_nothing_is_no_message(path: Path) -> None:
    session, _ = talking(path, encrypt_history=True)
    forge(path, "DELETE FROM content_keys")
    with open_manager(path) as manager:
        for read in READS.values():
            with pytest.raises(EntryUnreadable, match=r"entry [123] .*encrypted, and nothing is here"):
                read(manager, session, path.parent / "talk.jsonl")


def test_attack_plaintext_planted_while_somebody_reads_is_found_by_the_next_read(path: Path) -> None:
    session, _ = talking(path, encrypt_history=True)
    with open_manager(path) as manager:
        assert len(manager.history.load(session)) == 3
        forge(path, PLANTED)
        with pytest.raises(EntryUnreadable, match=r"entry 2 .*not encrypted"):
            manager.history.load(session)
        assert [each.seq for each in manager.history.tail(session, 1)] == [3]


@pytest.mark.parametrize("number", [0, 1])
def test_attack_a_store_is_not_talked_into_taking_plaintext_or_an_old_key_again(
    path: Path, number: int
) -> None:
    session, _ = talking(path, encrypt_history=True)
    [old] = rows(path, "SELECT sealed FROM content_keys")
    with open_manager(path) as manager:
        manager.history.encryption.rotate()
    with raw(path) as database:
        database.execute("INSERT INTO content_keys VALUES (?, ?, 0)", (number, old[0] if number else None))
        database.execute("UPDATE meta SET revision = revision + 1")
    forge(path, PLANTED)
    with open_manager(path) as manager:
        for act in (
            manager.history.load,
            manager.history.tail,
            lambda each: manager.history.append(each, {"role": "user", "content": SECRET}),
        ):
            with pytest.raises(ConfigError, match="does not open the sealed keys"):
                act(session)


def test_an_entry_that_cannot_be_read_holds_up_the_sealing_of_no_other(path: Path) -> None:
    session, other = talking(path, encrypt_history=True)
    forge(path, FORGERIES["cut short"])
    with open_manager(path) as manager:
        for _ in range(2):
            with pytest.raises(EntryUnreadable, match="entry 2 "):
                manager.history.encryption.rotate()
            status = manager.history.encryption.status()
            assert (status.key, status.remaining, status.is_finished) == (2, 1, False)
            assert len(manager.history.load(other)) == 3
        assert rows(path, "SELECT count(*) FROM content_keys") == [(2,)]
        manager.history.delete(session)
        manager.history.encryption.rotate()
        assert manager.history.encryption.status().is_finished
    assert rows(path, "SELECT number FROM content_keys") == [(2,)]


def test_the_table_refuses_a_row_that_is_half_of_each(path: Path) -> None:
    talking(path, encrypt_history=True)
    with raw(path) as database:
        for change in (
            "content_key = 0",
            "sealed = NULL",
            "content = 'planted'",
            "data = '{}'",
            "content_key = NULL",
        ):
            with pytest.raises(Exception, match="constraint failed"):
                database.execute(f"UPDATE entries SET {change} WHERE id = 2")
