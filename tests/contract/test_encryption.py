"""Encryption at rest: an encrypted store says what a plain one says, and its files say nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import AsyncSessionManager, ConfigError, InvalidArgument, Session, SessionManager
from clawguard.errors import SearchUnavailable
from tests.clocks import FakeClock
from tests.history.test_messages import MESSAGES
from tests.openers import KEK, open_manager, raw, rows

SECRET = "zirconiumsaidinconfidence"  # one word, which the index would hold as it is
SAID: list[dict[str, Any]] = [
    {"role": "user", "content": SECRET},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "find", "arguments": SECRET}]},
    {"role": "tool", "content": SECRET, "tool_call_id": "c1", "note": {"of": [SECRET]}},
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


@pytest.fixture
def encrypted(url: str, clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(url, clock=clock, encrypt_history=True) as opened:
        yield opened


@pytest.fixture
def session(encrypted: SessionManager) -> Session:
    return encrypted.create("planner", scopes="x")


def told(manager: SessionManager, session: Any) -> list[dict[str, Any]]:
    return [each.to_dict() for each in manager.history.load_with_timestamps(session)]


def holding(path: Path, text: str = SECRET) -> list[str]:
    """Return which of the database's files hold a text, in any case of letters."""
    found = [each for each in path.parent.iterdir() if text.lower().encode() in each.read_bytes().lower()]
    return sorted(each.name for each in found)


def say(manager: SessionManager, session: Any, count: int = 1) -> None:
    for _ in range(count):
        for message in SAID:
            manager.history.append(session, message, index_tools=True)


STEPS = st.one_of(
    st.tuples(st.just("append"), MESSAGES),
    st.tuples(st.just("update_last"), MESSAGES),
    st.tuples(st.just("extend"), st.lists(MESSAGES, min_size=1, max_size=4)),
    st.tuples(st.sampled_from(["remove_last", "clear", "wrap_up"])),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, max_size=8), begins=st.integers(0, 8), rotates=st.integers(0, 8))
def test_whatever_is_done_an_encrypted_store_says_what_a_plain_one_says(
    tmp_path: Path, steps: list[Any], begins: int, rotates: int
) -> None:
    with open_manager(kek=KEK) as plain, open_manager() as sealed:
        both = [(each.history, each.create("a", scopes="x"), each) for each in (plain, sealed)]
        for turn, (verb, *given_) in enumerate(steps):
            if turn == begins:
                sealed.history.encryption.enable()
            if turn == begins + rotates:
                sealed.history.encryption.rotate()
            one, other = (getattr(history, verb)(session, *given_) for history, session, _ in both)
            assert one == other or verb == "wrap_up"
            assert told(plain, both[0][1]) == told(sealed, both[1][1])
        files = []
        for number, (history, session, manager) in enumerate(both):
            fork, again = (manager.create(each, scopes="x") for each in ("fork", "again"))
            history.fork(session, fork)
            history.export_jsonl(fork, tmp_path / f"{number}.jsonl")
            history.import_jsonl(again, tmp_path / f"{number}.jsonl")
            files.append((told(manager, fork), told(manager, again), history.count(fork)))
        assert files[0] == files[1]


def test_nothing_that_is_said_stands_in_the_files(path: Path, tmp_path: Path) -> None:
    talk = tmp_path / "talk.jsonl"
    with open_manager(path, encrypt_history=True) as manager:
        session, fork, carried = (manager.create(each, scopes="x") for each in ("a", "b", "c"))
        say(manager, session)
        manager.history.update_last(session, SAID[0], index_tools=True)
        manager.history.extend(session, SAID, index_tools=True)
        manager.history.fork(session, fork)
        manager.history.export_jsonl(session, talk)
        manager.history.import_jsonl(carried, talk, index_tools=True)
        manager.history.compact()
        assert [len(manager.history.load(each)) for each in (session, fork, carried)] == [6, 6, 6]
        assert holding(path) == []  # neither in the file nor in its log
    assert holding(path) == []
    assert rows(path, "SELECT count(*) FROM entry_words") == [(0,)]
    with open_manager(plain := path.with_name("plain.db")) as manager:
        say(manager, manager.create("a", scopes="x"))
        assert holding(plain) != []  # so this is how it would be found


def test_a_store_that_holds_plaintext_is_encrypted_and_nothing_of_it_is_left(path: Path) -> None:
    heard: list[int] = []
    with open_manager(path) as manager:
        session, gone = manager.create("a", scopes="x"), manager.create("b", scopes="x")
        say(manager, session, 400)
        say(manager, gone, 10)
        assert manager.history.search(SECRET)
        manager.history.delete(gone)  # what is left of it in the index goes as well
        before = told(manager, session)
        assert manager.history.encryption.status().key is None
        assert len(holding(path)) > 0
        assert manager.history.encryption.enable(progress=heard.append, actor="user:ana") == 1_200
        assert holding(path) == []
        assert told(manager, session) == before
        assert manager.history.encryption.enable() == 0
        status = manager.history.encryption.status()
        assert (status.key, status.remaining, status.is_finished) == (1, 0, True)
        first, last = manager.events.read(types="history.*")[-2:]
        assert (first.type, first.actor, first.data) == (
            "history.key_rotated",
            "user:ana",
            {"key": 1, "previous": 0},
        )
        assert (last.type, last.data) == ("history.encrypted", {"key": 1})
        manager.history.compact()
        assert manager.history.check_index().is_fine
    assert heard == [500, 1_000, 1_200]
    assert rows(path, "SELECT count(*) FROM entries WHERE content_key = 0") == [(0,)]


def test_the_option_takes_a_store_without_entries_and_refuses_one_with_plaintext(path: Path) -> None:
    with open_manager(path) as manager:
        session = manager.create("a", scopes="x")
    with open_manager(path, encrypt_history=True) as manager:
        assert manager.history.encryption.status().key == 1
    with open_manager(path) as manager:  # as the database says, without the option
        say(manager, session.id)
        assert holding(path) == []
    with open_manager(plain := path.with_name("plain.db")) as manager:
        say(manager, manager.create("a", scopes="x"))
    with pytest.raises(ConfigError, match=r"not encrypted.*encryption\.enable"):
        open_manager(plain, encrypt_history=True)
    assert rows(plain, "SELECT * FROM content_keys") == []
    with pytest.raises(InvalidArgument, match="encrypt_history"):
        open_manager(path, encrypt_history="yes")


def test_whoever_has_it_open_stores_no_plaintext_any_more(path: Path) -> None:
    with open_manager(path) as first, open_manager(path) as second:
        session = first.create("a", scopes="x")
        say(second, session)
        first.history.encryption.enable()
        say(second, session)
        second.history.extend(session, SAID)
        assert told(first, session) == told(second, session)
        assert holding(path) == []
        second.history.encryption.rotate()
        say(first, session)
        assert len(told(first, session)) == 12


def test_a_search_of_what_is_encrypted_is_refused(encrypted: SessionManager, session: Session) -> None:
    say(encrypted, session)
    for keyword in ("confidence", "", "!!!"):
        with pytest.raises(SearchUnavailable, match=r"encrypted.*load\(\)"):
            encrypted.history.search(keyword)
    with pytest.raises(InvalidArgument):
        encrypted.history.search("x", limit=0)


def test_a_rotation_puts_all_under_the_new_key_and_destroys_the_old_one(path: Path) -> None:
    with open_manager(path, encrypt_history=True) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, 200)
        before = told(manager, session)
        old = rows(path, "SELECT sealed FROM content_keys")[0][0]
        heard: list[int] = []
        assert manager.history.encryption.rotate(progress=heard.append) == 600
        assert heard == [500, 600]
        assert told(manager, session) == before
        assert old not in b"".join(each.read_bytes() for each in path.parent.iterdir())
    assert rows(path, "SELECT number FROM content_keys") == [(2,)]
    assert rows(path, "SELECT DISTINCT content_key FROM entries") == [(2,)]


def test_no_key_is_destroyed_while_an_entry_is_under_it(path: Path) -> None:
    with open_manager(path, encrypt_history=True) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, 200)
        before = told(manager, session)
        [old] = rows(path, "SELECT content_key, sealed FROM entries WHERE id = 1")

        def put_back(count: int) -> None:
            if count == 600:
                with raw(path) as database:
                    database.execute("UPDATE entries SET content_key = ?, sealed = ? WHERE id = 1", old)

        assert manager.history.encryption.rotate(progress=put_back) == 601
        assert told(manager, session) == before


def test_who_is_overtaken_by_others_that_rotate_seals_nothing_under_a_key_that_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_manager(path, encrypt_history=True) as here, open_manager(path) as elsewhere:
        session = here.create("a", scopes="x")
        say(here, session)
        before, store, seen = told(here, session), here.history._store, list[str]()
        read = store.read

        def read_and_be_overtaken(name: str, *args: Any, **params: Any) -> Any:
            found = read(name, *args, **params)
            if name == "entry.sealable" and not seen:
                seen.append(name)
                elsewhere.history.encryption.rotate()  # finishes what is under way here
                elsewhere.history.encryption.rotate()
            return found

        monkeypatch.setattr(store, "read", read_and_be_overtaken)
        here.history.encryption.rotate()
        assert told(here, session) == told(elsewhere, session) == before
        assert here.history.encryption.status().key == 3


def test_nothing_can_be_rotated_where_nothing_is_encrypted(manager: SessionManager) -> None:
    with pytest.raises(ConfigError, match="not encrypted"):
        manager.history.encryption.rotate()
    for verb in ("enable", "rotate"):
        with pytest.raises(InvalidArgument, match="progress"):
            getattr(manager.history.encryption, verb)(progress="loud")
    assert manager.events.read(types="history.*") == []


@pytest.mark.parametrize("verb", ["enable", "rotate"])
def test_what_was_cut_short_is_taken_up_again(path: Path, verb: str) -> None:
    class Stop(Exception):
        pass

    def stop(_: int) -> None:
        raise Stop

    with open_manager(path, encrypt_history=verb == "rotate") as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, 400)
        before, key = told(manager, session), 1 if verb == "enable" else 2
        assert manager.history.check_index().is_fine
        act = getattr(manager.history.encryption, verb)
        with pytest.raises(Stop):
            act(progress=stop)
        assert rows(path, "SELECT count(*) FROM entry_words WHERE rowid <= 500") == [(0,)]
    with open_manager(path) as manager:
        status = manager.history.encryption.status()
        assert (status.key, status.remaining, status.is_finished) == (key, 700, False)
        assert told(manager, session) == before
        say(manager, session)
        with pytest.raises(SearchUnavailable):
            manager.history.search("confidence")
        manager.prune_expired()
        manager.history.compact()  # which indexes nothing of what is plaintext still
        assert rows(path, "SELECT count(*) FROM entry_words") == [(0,)]
        assert getattr(manager.history.encryption, verb)() == 700
        assert told(manager, session)[:-3] == before
        assert manager.history.encryption.status().key == key  # and not a key more
        assert holding(path) == []


def test_a_file_that_was_imported_stays_known_and_its_digest_is_nobodys_to_try(path: Path) -> None:
    talk = path.parent.parent / "talk.jsonl"
    talk.write_text('{"role":"user","content":"hello"}\n', encoding="utf-8")
    with open_manager(path) as manager:
        session = manager.create("a", scopes="x")
        manager.history.import_jsonl(session, talk)
        [(plain,)] = rows(path, "SELECT digest FROM import_receipts")
        manager.history.encryption.enable()
        assert manager.history.import_jsonl(session, talk).repeated
        manager.history.encryption.rotate()
        assert manager.history.import_jsonl(session, talk).repeated
        assert rows(path, "SELECT digest FROM import_receipts") != [(plain,)]
        assert plain not in b"".join(each.read_bytes() for each in path.parent.iterdir())


@pytest.mark.parametrize("verb", ["enable", "rotate"])
@pytest.mark.parametrize("read", ["load_with_timestamps", "tail", "wrap_up"])
def test_a_read_that_another_key_overtakes_reads_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, verb: str, read: str
) -> None:
    with open_manager(path, encrypt_history=verb == "rotate") as here, open_manager(path) as elsewhere:
        session = here.create("a", scopes="x")
        say(here, session)
        before = getattr(here.history, read)(session)
        say(here, session)  # of these a tail remembers nothing
        store, overtaken = here.history._store, list[str]()
        read_rows = store.read

        def read_late(name: str, *args: Any, **params: Any) -> Any:
            if name in ("entry.all", "entry.page", "entry.since") and not overtaken:
                overtaken.append(name)
                getattr(elsewhere.history.encryption, verb)()
            return read_rows(name, *args, **params)

        monkeypatch.setattr(store, "read", read_late)
        found = getattr(here.history, read)(session)
        assert overtaken
        assert (found.count, before.count) == (6, 3) if read == "wrap_up" else found[:3] == before


@pytest.mark.parametrize("meanwhile", ["append", "remove_last", "rotate", "nothing"])
@pytest.mark.parametrize("verb", ["extend", "import"])
def test_what_was_made_ready_before_the_lock_is_made_anew_where_others_came_first(
    encrypted: SessionManager,
    session: Session,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    meanwhile: str,
) -> None:
    history, more = encrypted.history, {"role": "user", "content": "more"}
    others: dict[str, Callable[[], object]] = {
        "append": lambda: history.append(session, SAID[0]),
        "remove_last": lambda: history.remove_last(session),
        "rotate": history.encryption.rotate,
        "nothing": lambda: None,
    }
    history.extend(session, SAID)
    prepared = history._prepared

    def prepared_and_overtaken(*args: Any) -> Any:
        batch = prepared(*args)
        others[meanwhile]()
        return batch

    monkeypatch.setattr(history, "_prepared", prepared_and_overtaken)
    if verb == "extend":
        history.extend(session, [more] * 3)
    else:
        talk = tmp_path / "talk.jsonl"
        talk.write_text('{"role":"user","content":"more"}\n' * 3, encoding="utf-8")
        history.import_jsonl(session, talk)
    before = {"append": 4, "remove_last": 2}.get(meanwhile, 3)
    assert [each["seq"] for each in told(encrypted, session)] == list(range(1, before + 4))
    assert [each.text for each in history.load_with_timestamps(session)[before:]] == ["more"] * 3


def test_awaited_it_is_the_same(url: str) -> None:
    async def talk() -> list[str]:
        with open_manager(url, encrypt_history=True) as manager:
            history = AsyncSessionManager(manager).history
            session = manager.create("a", scopes="x")
            await history.extend(session, SAID)
            await history.encryption.rotate()
            assert (await history.encryption.status()).key == 2
            return [each.text for each in await history.tail(session, 9)]

    assert asyncio.run(talk()) == [SECRET, "", SECRET]


def test_a_content_key_that_the_key_encryption_key_does_not_open_is_an_error_and_writes_nothing(
    path: Path,
) -> None:
    with open_manager(path, encrypt_history=True) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session)
    with open_manager(path.with_name("other.db"), encrypt_history=True, kek=bytes(32)):
        pass
    [(foreign,)] = rows(path.with_name("other.db"), "SELECT sealed FROM content_keys")
    with raw(path) as database:
        database.execute("UPDATE content_keys SET sealed = ?", (foreign,))
    with open_manager(path) as manager:
        for call in (
            lambda: manager.history.load(session),
            lambda: manager.history.append(session, SAID[0]),
            lambda: manager.history.extend(session, SAID),
            manager.history.encryption.rotate,
            manager.history.encryption.status,
        ):
            with pytest.raises(ConfigError, match="key-encryption key"):
                call()
    assert rows(path, "SELECT count(*) FROM entries") == [(3,)]
    with pytest.raises(ConfigError, match="key-encryption key"):
        open_manager(path, kek=bytes(32))
