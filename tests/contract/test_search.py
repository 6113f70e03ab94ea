"""Search: any text is a valid one, in any script; what was removed is found no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import InvalidArgument, Session, SessionManager, SessionNotFound, StoreUnavailable
from clawguard.history.messages import SessionQuery
from tests.clocks import FakeClock
from tests.contract.conftest import on_a_file
from tests.openers import open_manager, raw, rows
from tests.schemas import schema

SYNTAX = st.sampled_from(
    [
        '"',
        "'",
        "*",
        "(",
        ")",
        "^",
        ":",
        "-",
        "+",
        "{",
        "}",
        "\0",
        "OR",
        "AND",
        "NOT",
        "NEAR(",
        " ",
        "words",
        "\ud800",
    ]
)
SPOIL = {
    "sqlite": (
        "DELETE FROM entry_words WHERE rowid % 2",
        "INSERT INTO entry_words (rowid, words, tools) VALUES (99999, 'ghost', '')",
    ),
    "postgresql": (
        "DELETE FROM entry_words WHERE entry_id % 2 = 1",
        "INSERT INTO entry_words SELECT 99999, 0, 'ghost', '', to_tsvector('simple', 'ghost')",
    ),
}
ANY_TEXT = st.text() | st.lists(SYNTAX | st.text(max_size=3), max_size=12).map("".join)


@pytest.fixture
def session(manager: SessionManager) -> Session:
    return manager.create("planner", scopes="x", channel_id="telegram")


@pytest.fixture(scope="module", params=[":memory:", "postgres"])
def shared(request: pytest.FixtureRequest) -> Iterator[SessionManager]:
    with ExitStack() as stack:
        url = stack.enter_context(schema()) if request.param == "postgres" else request.param
        yield stack.enter_context(open_manager(url))


def say(manager: SessionManager, session: Any, *texts: str) -> None:
    for text in texts:
        manager.history.append(session, {"role": "user", "content": text})


def found(manager: SessionManager, keyword: str, **narrowed: Any) -> list[int]:
    return sorted(hit.seq for hit in manager.history.search(keyword, **narrowed))


@given(keyword=ANY_TEXT, said=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_a_valid_search_of_any_text(shared: SessionManager, keyword: str, said: str) -> None:
    session = shared.create("agent", scopes="x")
    say(shared, session, said, "the needle")
    assert isinstance(shared.history.search(keyword), tuple)
    assert 2 in found(shared, f"{keyword} needle", session=session)
    shared.history.delete(session)


@given(st.text(st.characters(categories=["L", "Nd"], max_codepoint=0x2FF), min_size=1, max_size=12))
def test_every_word_that_was_said_is_found_and_so_is_its_beginning(shared: SessionManager, word: str) -> None:
    session = shared.create("agent", scopes="x")
    say(shared, session, f"before {word} after")
    assert [hit.snippet for hit in shared.history.search(word, session=session)] == [f"before [{word}] after"]
    assert found(shared, f"{word[: len(word) // 2 + 1]}*", session=session) == [1]
    shared.history.delete(session)


@pytest.mark.parametrize(
    ("said", "keyword"),
    [
        ("東京都に住んでいます", "京都"),
        ("我们在北京开会讨论内存问题", "内存"),
        ("กรุงเทพมหานครเป็นเมืองหลวง", "เมือง"),
        ("서울에서 회의가 있습니다", "회의*"),
        ("Größe und Façade", "größe"),
        ("Größe und Façade", "FACADE"),
        ("Большой театр", "большой"),
        ("see docs:read of user@example.com", "docs:read"),
        ("see docs:read of user@example.com", "user@example.com"),
        ("the memory is full", "mem*"),
        ("東京tower", "京tow*"),
    ],
)
def test_words_are_found_in_any_script(
    manager: SessionManager, session: Session, said: str, keyword: str
) -> None:
    say(manager, session, "something else", said)
    assert found(manager, keyword) == [2]
    snippet = manager.history.search(keyword)[0].snippet
    assert "[" in snippet
    assert snippet.replace("[", "").replace("]", "") == said


def test_any_of_the_words_will_do_and_more_of_them_come_first(
    manager: SessionManager, session: Session
) -> None:
    say(manager, session, "apples and oranges", "pears alone", "apples and pears and apples", "nothing")
    hits = manager.history.search("apples pears")
    assert hits[0].seq == 3
    assert {hit.seq for hit in hits} == {1, 2, 3}
    assert [hit.rank for hit in hits] == sorted(hit.rank for hit in hits)
    assert len(manager.history.search("apples pears", limit=2)) == 2


def test_attack_what_others_say_does_not_move_what_is_found(
    manager: SessionManager, clock: FakeClock
) -> None:
    """Else a tenant learns, word by word, what another one's conversations hold: by order and by rank."""
    mine, theirs = (manager.create("planner", scopes="x", workspace_id=name) for name in ("mine", "theirs"))
    for text in (
        "alpha",
        "beta " * 9 + "a long one",
        "alpha gamma " * 3,
        "beta gamma",
        "alpha beta",
        "delta",
    ):
        clock.advance(1)
        say(manager, mine, text)

    def found_here() -> list[tuple[str, int, float]]:
        return [
            (words, hit.seq, hit.rank)
            for words in ("alpha beta", "alpha gamma", "beta delta", "alpha", "a* b* g*")
            for hit in manager.history.search(words, workspace_id="mine")
        ]

    before = found_here()
    for word in ("alpha", "beta", "gamma", "alpha beta", "delta " * 50):
        say(manager, theirs, *[f"{word} {number}" for number in range(12)])
        assert found_here() == before, word


def test_a_search_for_more_words_than_are_weighed_finds_all_of_them(
    manager: SessionManager, session: Session
) -> None:
    words = [f"word{number}x" for number in range(60)]
    say(manager, session, *words, " ".join(words[:3]))
    hits = manager.history.search(" ".join(words), limit=1_000)
    assert {hit.seq for hit in hits} == set(range(1, 62))
    assert hits[0].seq == 61


def test_a_hit_says_where_it_is(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("planner", scopes="x", agent_alias="P", channel_id="telegram")
    say(manager, made, "the needle in the hay")
    [hit] = manager.history.search("needle")
    told = hit.to_dict()
    assert told.pop("rank") < 0
    assert told == {
        "session_id": made.id,
        "seq": 1,
        "at": clock.datetime.isoformat(),
        "kind": "message",
        "role": "user",
        "agent_id": "planner",
        "agent_alias": "P",
        "channel_id": "telegram",
        "snippet": "the [needle] in the hay",
    }
    assert "hay" not in repr(hit)


def test_a_search_is_narrowed(manager: SessionManager, clock: FakeClock, session: Session) -> None:
    other = manager.create("scout", scopes="x", channel_id="matrix")
    foreign = manager.create("planner", scopes="x", workspace_id="other")
    for each in (session, other, foreign):
        say(manager, each, "needle")
        clock.advance(10)
    first = clock.datetime - timedelta(seconds=30)
    at = [first + timedelta(seconds=each) for each in (0, 10)]

    def whose(**narrowed: Any) -> set[str]:
        return {hit.session_id for hit in manager.history.search("needle", **narrowed)}

    assert whose() == {session.id, other.id}
    assert whose(agent_id="planner") == whose(channel_id="telegram") == whose(session=session) == {session.id}
    assert whose(since=at[0], until=at[1]) == {session.id}
    assert whose(since=at[1]) == {other.id}
    assert whose(workspace_id="other") == {foreign.id}
    assert whose(session=foreign) == whose(session=foreign.id, workspace_id="other") == {foreign.id}
    for narrowed in ({"session": session, "workspace_id": "other"}, {"session": "no such session"}):
        with pytest.raises(SessionNotFound):
            whose(**narrowed)
    query = SessionQuery(keyword="needle", agent_id="scout", since=at[1])
    assert [hit.session_id for hit in manager.history.search(query)] == [other.id]


def test_tools_are_kept_out_of_it_unless_asked_for(manager: SessionManager, session: Session) -> None:
    call = {
        "role": "assistant",
        "content": "looking",
        "tool_calls": [{"name": "find", "arguments": "s3cret"}],
    }
    result = {"role": "tool", "content": "s3cret found"}
    parts = {"role": "user", "content": [{"type": "tool_result", "content": "s3cret"}]}
    for message in (call, result, parts):
        manager.history.append(session, message)
    assert found(manager, "looking") == [1]
    assert found(manager, "s3cret find found arguments") == []
    for message in (call, result, parts):
        manager.history.append(session, message, index_tools=True)
    manager.history.compact()
    assert found(manager, "s3cret") == [4, 5, 6]


def test_what_is_no_longer_there_is_not_found(manager: SessionManager, session: Session) -> None:
    say(manager, session, "alpha", "beta")
    manager.history.update_last(session, {"role": "user", "content": "gamma"})
    assert (found(manager, "beta"), found(manager, "gamma")) == ([], [2])
    manager.history.remove_last(session)
    assert found(manager, "gamma") == []
    say(manager, session, "delta")
    assert found(manager, "delta") == [2]
    manager.history.clear(session)
    assert found(manager, "alpha delta") == []


@pytest.mark.parametrize("verb", ["clear", "delete"])
def test_what_is_removed_leaves_no_row_behind(database: str, verb: str) -> None:
    with open_manager(database) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, "alpha", "beta")
        getattr(manager.history, verb)(session)
    for table in ("entries", "entry_words", "import_receipts"):
        assert rows(database, f"SELECT count(*) FROM {table}") == [(0,)]


def test_the_index_is_made_anew_from_the_entries(database: str, clock: FakeClock) -> None:
    with open_manager(database, clock=clock) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, *(f"common word{number}" for number in range(1_100)))
        with raw(database) as inside:
            for statement in SPOIL["postgresql" if "://" in database else "sqlite"]:
                inside.execute(statement)
        heard: list[int] = []
        assert manager.history.compact(progress=heard.append) == 1_100
        assert heard == sorted(heard)
        assert heard[-1] == 1_100
        assert found(manager, "word7") == [8]
        assert len(manager.history.search("common", limit=1_000)) == 1_000
        assert manager.history.search("ghost") == ()
    assert rows(database, "SELECT count(*) FROM entry_words") == [(1_100,)]
    if "://" not in database:
        with raw(database) as inside:
            inside.execute("INSERT INTO entry_words (entry_words) VALUES ('integrity-check')")


def test_what_others_append_is_found_at_once(database: str) -> None:
    with open_manager(database) as here, open_manager(database) as elsewhere:
        session = elsewhere.create("a", scopes="x")
        say(elsewhere, session, *(f"common word{number}" for number in range(1_100)))
        assert found(here, "word1099") == [1_100]
        assert rows(database, "SELECT until, (SELECT count(*) FROM entry_words) FROM entry_index") == [
            (1_100, 1_100)
        ]
        elsewhere.history.remove_last(session)
        say(elsewhere, session, "in its place")
        assert (found(here, "word1099"), found(here, "place")) == ([], [1_100])
        elsewhere.history.clear(session)
        assert found(here, "common") == []


def test_a_search_does_not_wait_for_what_is_removed_meanwhile(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_manager(database) as here, open_manager(database) as elsewhere:
        session = elsewhere.create("a", scopes="x")
        say(elsewhere, session, "kept", "removed")
        store = here.history._store
        read = store.read

        def read_and_remove(name: str, *args: Any, **params: Any) -> Any:
            seen = read(name, *args, **params)
            if name == "words.behind":
                elsewhere.history.remove_last(session)
            return seen

        monkeypatch.setattr(store, "read", read_and_remove)
        assert found(here, "kept removed") == [1]


def test_sweeping_brings_the_index_up_to_the_entries(database: str) -> None:
    with open_manager(database) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, "needle")
        manager.history.update_last(session, {"role": "user", "content": "streamed"})
        assert rows(database, "SELECT words FROM entry_words") == []
        manager.prune_expired()
        assert rows(database, "SELECT words FROM entry_words") == [("streamed",)]
        manager.prune_expired()
        assert rows(database, "SELECT count(*) FROM entry_words") == [(1,)]


def test_long_entries_are_found_by_their_beginning_and_are_few_at_a_time(
    manager: SessionManager, session: Session
) -> None:
    """Else one message would keep all other writers waiting for seconds."""
    filler = "x " * 100_000
    say(manager, session, *(f"first{number} {filler} second {filler} third" for number in range(3)))
    manager.history.append(session, {"role": "tool", "content": f"result {filler * 2}"}, index_tools=True)
    for _ in range(2):
        assert found(manager, "second") == [1, 2, 3]
        assert found(manager, "third") == []
        assert found(manager, "result") == [4]
        assert found(manager, "x") == [1, 2, 3, 4]
        heard: list[int] = []
        assert manager.history.compact(progress=heard.append) == 4
        assert heard == [1, 2, 3, 4]


@on_a_file
def test_compacting_leaves_no_trace_of_what_was_removed(database: str) -> None:
    path = Path(database)
    with open_manager(path) as manager:
        session, kept = manager.create("a", scopes="x"), manager.create("b", scopes="x")
        say(manager, session, *(f"confidential{number}" for number in range(200)))
        say(manager, kept, "harmless")
        manager.history.delete(session)
        manager.history.compact()
        assert found(manager, "harmless") == [1]
    held = [path, *path.parent.glob(f"{path.name}-wal")]
    assert not [each for each in held if b"confidential" in each.read_bytes()]


def test_an_index_that_cannot_be_read_is_an_error_and_no_empty_answer(database: str) -> None:
    with open_manager(database) as manager:
        say(manager, manager.create("a", scopes="x"), "needle")
        with raw(database) as inside:
            inside.execute("DROP TABLE entry_words")
        with pytest.raises(StoreUnavailable):
            manager.history.search("needle")


def test_words_without_a_letter_find_nothing(manager: SessionManager, session: Session) -> None:
    say(manager, session, "!!! ???")
    for keyword in ("", " ", "*", "!!!", '""', "\0"):
        assert manager.history.search(keyword) == ()


@pytest.mark.parametrize(
    ("argument", "given_"),
    [
        ("limit", {"limit": 0}),
        ("keyword", {"keyword": None}),
        ("keyword", {"keyword": "x" * 5_000}),
        ("agent_id", {"agent_id": "a\nb"}),
        ("since", {"since": "today"}),
        ("colour", {"colour": "red"}),
        ("workspace_id", {"workspace_id": ""}),
        ("workspace_id", {"workspace_id": None}),
        ("session", {"session": None}),
        ("channel_id", {"channel_id": None}),
        ("until", {"keyword": SessionQuery(keyword="needle", until=None)}),
    ],
)
def test_a_search_that_will_not_do_says_why(
    manager: SessionManager, argument: str, given_: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        manager.history.search(**{"keyword": "needle", **given_})
    assert caught.value.argument == argument


def test_a_search_says_what_it_can_be_narrowed_by(manager: SessionManager) -> None:
    wrong: Any = {"agent": "planner"}
    with pytest.raises(InvalidArgument, match=r"agent: is not a filter; the filters are session, .*agent_id"):
        manager.history.search("needle", **wrong)
