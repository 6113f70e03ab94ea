"""A database moves to another: nothing is lost, nothing taken twice, and the old one says where it is."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import ConfigError, InvalidArgument, SessionManager, Verifier
from clawguard.clock import SystemClock
from clawguard.errors import ClawguardError, StoreMoved, StoreUnavailable
from clawguard.sessions.moving import abandon_copy, copy_database
from clawguard.store import open_store, place_of
from clawguard.store.tables import TABLES
from tests.clocks import START, FakeClock
from tests.moves import POLICY, Places, contents, fill, making_places, move
from tests.openers import KEK, open_manager, raw, rows

EARLIER = Path(__file__).parents[1] / "store" / "filled" / "schema_0005.sql"

both_ways = pytest.mark.parametrize(("old", "new"), [("file", "postgres"), ("postgres", "file")])


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    with making_places(tmp_path) as places:
        yield places


def without_keys(manager: SessionManager) -> list[dict[str, Any]]:
    return [each.to_dict() for each in manager.sessions.iter(live=None)]


@both_ways
def test_every_table_is_the_same_afterwards(places: Places, tmp_path: Path, old: str, new: str) -> None:
    source, target = places(old), places(new)
    with open_manager(source, policy=POLICY) as manager:
        fill(manager, source, tmp_path)
        manager.history.encryption.enable()
    before = contents(source)
    lacking = {name for name, found in before.items() if not found}
    assert lacking <= {"turns"}, "each table is to have a row"
    plan = move(source, target, dry_run=True)
    assert (plan.moved, plan.refusals) == (False, ())
    assert contents(source) == before, "a dry run changes nothing"
    done = move(source, target)
    assert contents(target) == before
    assert {each.name: each.rows for each in done.tables} == {
        name: len(found) for name, found in before.items()
    }
    assert done.moved
    assert "moves" not in str(before)


@both_ways
def test_what_was_readable_before_is_readable_afterwards(
    places: Places, tmp_path: Path, old: str, new: str
) -> None:
    source, target = places(old), places(new)
    with open_manager(source, policy=POLICY) as manager:
        planner = fill(manager, source, tmp_path)
        issuer, sessions, talk = manager.issuer, without_keys(manager), manager.history.load(planner.id)
        count = manager.events.verify().count
    move(source, target)
    with open_manager(target) as manager:
        assert manager.issuer == issuer
        assert without_keys(manager) == sessions
        assert manager.history.load(planner.id) == talk
        assert [hit.seq for hit in manager.history.search("hauser") if hit.session_id == planner.id] == [2]
        assert manager.events.verify().count == count
        assert manager.validate(planner.token).session_id == planner.id
        assert manager.redeem(planner.refresh_token or "").generation == 2
        with manager.activity.turn(planner.id):
            manager.history.append(planner.id, {"role": "user", "content": "goes on"})
        assert manager.events.verify()
    ids = [number for (number,) in rows(target, "SELECT id FROM entries")]
    assert max(ids) > 5, "an id that was given never comes again"


@both_ways
def test_the_old_one_says_where_it_is_on_every_verb(
    places: Places, tmp_path: Path, old: str, new: str
) -> None:
    source, target = places(old), places(new)
    with open_manager(source, policy=POLICY) as manager, Verifier.open(source, clock=FakeClock()) as verifier:
        planner = fill(manager, source, tmp_path)
        verifier.validate(planner.token)
        move(source, target)
        verbs: list[Callable[[], object]] = [
            lambda: manager.validate(planner.token),
            lambda: verifier.validate(planner.token),
            lambda: manager.create("late", scopes="docs:read"),
            lambda: manager.delegate(planner, "late", scopes="docs:read"),
            lambda: manager.refresh(planner.id),
            lambda: manager.redeem(planner.refresh_token or ""),
            lambda: manager.revoke(planner.id),
            lambda: manager.revoke_where(everything=True),
            manager.active_count,
            manager.prune_expired,
            lambda: manager.sessions.get(planner.id),
            manager.sessions.page,
            lambda: manager.activity.set_name(planner.id, "x"),
            manager.agents.disabled,
            manager.keys.rotate,
            manager.events.read,
            manager.events.verify,
            lambda: manager.history.load(planner.id),
            lambda: manager.history.append(planner.id, {"role": "user", "content": "late"}),
            lambda: manager.history.search("hauser"),
            lambda: manager.history.milestones.get("welcome"),
            manager.subscribers.list,
            lambda: open_manager(source),
            lambda: Verifier.open(source),
            lambda: abandon_copy(source),
        ]
        for verb in verbs:
            with pytest.raises(StoreMoved) as refusal:
                verb()
            assert target.partition("?")[0].rpartition("@")[2] in str(refusal.value)
            assert "postgres@" not in str(refusal.value)


def test_every_table_and_column_is_copied(places: Places) -> None:
    server = places("postgres")
    for place in (places("file"), server):
        open_manager(place).close()
        with raw(place) as connection:
            for table in TABLES:
                found = connection.execute(f"SELECT * FROM {table.name}").description
                names = {column[0] for column in found}
                assert names - {"due_at", "due_cause"} == set(table.columns), table.name
    mine = {table.name for table in TABLES} | {"migrations", "entry_words", "entry_index", "unlinked_events"}
    query = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    assert {name for (name,) in rows(server, query)} == mine


def write(manager: SessionManager, made: list[Any], stop: threading.Event) -> None:
    """Write whatever there is to write until the database moves."""
    try:
        while not stop.is_set():
            session = manager.create("writer", scopes="a", key=f"key-{len(made) % 3}-{id(made)}")
            manager.history.append(session.id, {"role": "user", "content": f"message {len(made)}"})
            manager.history.update_last(session.id, {"role": "user", "content": f"again {len(made)}"})
            manager.history.append(session.id, {"role": "user", "content": "taken back"})
            manager.history.remove_last(session.id)
            manager.revoke(session.id)
            made.append(session.id)
    except StoreMoved:
        made.append(StoreMoved)


@both_ways
def test_what_is_written_meanwhile_lands_in_both_or_is_told(places: Places, old: str, new: str) -> None:
    source, target = places(old), places(new)
    stop = threading.Event()
    made: list[list[Any]] = [[] for _ in range(3)]
    with SessionManager.open(source, kek=KEK, sweep_every=None) as manager:
        for number in range(300):
            manager.create(f"agent-{number}", scopes="a")
        crew = [threading.Thread(target=write, args=(manager, each, stop)) for each in made]
        for thread in crew:
            thread.start()
        try:
            copy_database(source, target, kek=KEK)
        finally:
            stop.set()
            for thread in crew:
                thread.join()
    assert [each[-1] for each in made] == [StoreMoved] * len(made), "each writer was told"
    with SessionManager.open(target, kek=KEK, sweep_every=None) as manager:
        assert manager.events.verify()
        for each in made:
            for session_id in each[:-1]:
                assert manager.sessions.get(session_id).cause == "revoked"
                assert manager.history.count(session_id) == 1
    with open_old(source) as store:
        for table in TABLES:
            [(there,)] = store.read(f"move.there.{table.name}")
            assert there == len(rows(target, f"SELECT 1 FROM {table.name}")), table.name


class open_old:  # noqa: N801  # reads as a function
    def __init__(self, url: str) -> None:
        self._store = open_store(url, clock=SystemClock(), create=False, moves=True)

    def __enter__(self) -> Any:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()


class Cut(BaseException):
    """Ends a copy somewhere."""


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, 60), max_size=3), between=st.integers(0, 3))
def test_a_copy_that_breaks_off_goes_on_where_it_stood(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, cuts: list[int], between: int
) -> None:
    from clawguard.store.transaction import SQLiteTransaction

    folder, commit = tmp_path_factory.mktemp("cut"), SQLiteTransaction._commit
    source, target = str(folder / "a" / "old.db"), str(folder / "b" / "new.db")
    with open_manager(source, policy=POLICY) as manager:
        planner = fill(manager, source, folder)
        for cut in cuts:
            left = [cut]

            def counted(tx: Any, left: list[int] = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    raise Cut
                commit(tx)

            with monkeypatch.context() as patch:
                patch.setattr(SQLiteTransaction, "_commit", counted)
                with suppress(Cut):
                    move(source, target)
            for _ in range(between):
                try:
                    manager.history.append(planner.id, {"role": "user", "content": "meanwhile"})
                    manager.create("between", scopes="docs:read")
                    manager.history.remove_last(planner.id)
                except StoreMoved:
                    break
        try:
            before = contents(source)
        except Exception:
            before = {}
        move(source, target)
        assert not before or contents(target) == before
        with pytest.raises(StoreMoved):
            manager.sessions.page()
    with open_manager(target) as manager:
        assert manager.events.verify()
        assert manager.validate(planner.token)


@both_ways
def test_what_changes_after_it_was_copied_comes_along(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    source, target = places(old), places(new)
    with open_manager(source, policy=POLICY) as manager:
        planner = fill(manager, source, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr("clawguard.sessions.moving._Copy._leave", cut_off)
            with pytest.raises(Cut):
                move(source, target)
        assert manager.agents.enable("rogue")
        assert manager.history.clear(planner.id) == 2
        manager.redeem(planner.refresh_token or "")
        manager.keys.rotate()
        manager.revoke(planner.id)
        manager.create("other", scopes="docs:read", key="telegram")
    before = contents(source)
    move(source, target)
    assert contents(target) == before


def test_what_will_not_do_is_refused_and_changes_nothing(places: Places, tmp_path: Path) -> None:
    source, used = places("file"), places("postgres")
    with open_manager(source) as manager:
        token = manager.create("planner", scopes="docs:read").token
    open_manager(used).close()
    refused: list[tuple[type[ClawguardError], str, Callable[[], object]]] = [
        (ConfigError, "in use", lambda: move(source, used)),
        (ConfigError, "key-encryption", lambda: move(source, places("file"), kek=b"x" * 32)),
        (InvalidArgument, "itself", lambda: move(source, source)),
        (InvalidArgument, "source", lambda: move(":memory:", source)),
        (InvalidArgument, "target", lambda: move(source, ":memory:")),
        (InvalidArgument, "url", lambda: move(source, "mysql://host/db")),
        (ConfigError, "no database", lambda: move(places("file"), places("file"))),
        (StoreUnavailable, "reached", lambda: move(source, "postgresql://127.0.0.1:1/none")),
    ]
    for kind, said, call in refused:
        with pytest.raises(kind, match=said):
            call()
    plan = move(source, used, dry_run=True, kek=b"x" * 32)
    assert [type(each) for each in plan.refusals] == [ConfigError, ConfigError]
    with open_manager(source) as manager:
        assert manager.validate(token)


def test_a_part_of_a_copy_opens_for_nobody_and_for_no_other_copy(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, other, target = places("file"), places("file"), places("postgres")
    for each in (source, other):
        with open_manager(each) as manager:
            manager.create("planner", scopes="docs:read")
    with monkeypatch.context() as patch:
        patch.setattr("clawguard.sessions.moving._Copy._leave", cut_off)
        with pytest.raises(Cut):
            move(source, target)
    for opening in (lambda: open_manager(target), lambda: Verifier.open(target)):
        with pytest.raises(ConfigError, match="not whole"):
            opening()
    with pytest.raises(ConfigError, match="another copy"):
        move(other, target)
    with pytest.raises(ConfigError, match="not whole"):
        move(target, places("file"))
    with open_manager(source) as manager:
        manager.create("still", scopes="docs:read")
    assert abandon_copy(source, clock=FakeClock())
    assert not abandon_copy(source, clock=FakeClock())
    with pytest.raises(ConfigError, match="another copy"):
        move(source, target)
    with open_manager(source) as manager:
        manager.create("still", scopes="docs:read")


def cut_off(*_: object) -> None:
    raise Cut


def test_another_schema_is_refused(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = places("file"), places("file")
    open_manager(source).close()
    with monkeypatch.context() as patch:
        patch.setattr("clawguard.sessions.moving._Copy._leave", cut_off)
        with pytest.raises(Cut):
            move(source, target)
    with raw(target) as connection:
        connection.execute("PRAGMA user_version = 8")
    with pytest.raises(ConfigError, match="schema 8"):
        move(source, target)
    with raw(source) as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(StoreUnavailable, match="schema 999"):
        move(source, target)


def test_a_log_that_was_tampered_with_is_not_moved(places: Places) -> None:
    source, target = places("file"), places("postgres")
    with open_manager(source) as manager:
        for _ in range(3):
            manager.create("planner", scopes="docs:read")
    with raw(source) as connection:
        connection.execute("UPDATE events SET body = replace(body, 'planner', 'plunder') WHERE seq = 2")
    with pytest.raises(ConfigError, match="does not hold"):
        move(source, target)
    with open_manager(source) as manager:
        manager.create("planner", scopes="docs:read")  # it was not marked


def test_only_the_first_of_two_copies_moves_the_database(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, first, second = places("file"), places("file"), places("file")
    with open_manager(source) as manager:
        manager.create("planner", scopes="docs:read")
    with monkeypatch.context() as patch:
        patch.setattr("clawguard.sessions.moving._Copy._leave", cut_off)
        with pytest.raises(Cut):
            move(source, first)
    move(source, second)
    with pytest.raises(StoreMoved):
        move(source, first)
    assert move(source, second).moved, "to repeat what is done does nothing"
    shutil.rmtree(Path(second).parent)
    with pytest.raises(StoreMoved):
        move(source, second)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:secret@h:1,h2:2/d?sslmode=require&schema=x", "postgresql://h:1,h2:2/d?schema=x"),
        ("postgres:///d?host=/run/a&password=secret&user=u", "postgresql:///d?host=/run/a"),
        ("postgresql:///d?schema=x&port=6&host=/run/b", "postgresql:///d?host=/run/b&port=6&schema=x"),
        ("postgresql://?service=prod&passfile=secret", "postgresql://?service=prod"),
    ],
)
def test_where_a_database_is_is_told_whole_and_without_its_secrets(url: str, place: str) -> None:
    assert place_of(url) == place


def earlier(folder: str) -> str:
    """Return a database of an earlier schema."""
    path = Path(folder)
    path.parent.mkdir(mode=0o700, parents=True)
    path.touch(mode=0o600)
    with raw(path) as connection:
        connection.executescript(EARLIER.read_text(encoding="utf-8"))
    return folder


def test_an_earlier_version_is_migrated_by_no_dry_run_and_never_where_it_is_the_new_one(
    places: Places,
) -> None:
    source, used, mine = earlier(places("file")), earlier(places("file")), places("file")
    open_manager(mine).close()
    with pytest.raises(ConfigError, match="earlier"):
        move(source, places("postgres"), dry_run=True)
    with pytest.raises(ConfigError, match="earlier"):
        move(mine, used)
    assert [type(each) for each in move(mine, used, dry_run=True).refusals] == [ConfigError]
    for place in (source, used):
        assert rows(place, "PRAGMA user_version") == [(5,)]
    assert move(source, places("postgres"), clock=FakeClock(START + 60_000_000)).moved
