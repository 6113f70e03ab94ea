"""Conversations: each belongs to a session, grows while that lives, and is read as long as it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawguard import InvalidArgument, Session, SessionEnded, SessionManager, SessionNotFound
from clawguard.history.messages import Message
from clawguard.sessions.pages import cursor_of, digest_of
from tests.clocks import FakeClock
from tests.openers import rows

UNKNOWN = "0190d2a0-1111-7000-8000-000000000001"
HELLO = {"role": "user", "content": "hello"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"function": {"name": "find", "arguments": "{}"}}],
}

Verb = Callable[[SessionManager, Any], Any]

# What a session must be live for.
CHANGES: dict[str, Verb] = {
    "append": lambda m, s: m.history.append(s, HELLO),
    "extend": lambda m, s: m.history.extend(s, [HELLO]),
    "update_last": lambda m, s: m.history.update_last(s, HELLO),
    "remove_last": lambda m, s: m.history.remove_last(s),
    "clear": lambda m, s: m.history.clear(s),
    "fork into": lambda m, s: m.history.fork(m.create("source", scopes="x"), s),
}
READS: dict[str, Verb] = {
    "load": lambda m, s: [each.to_dict() for each in m.history.load(s)],
    "load_with_timestamps": lambda m, s: [each.seq for each in m.history.load_with_timestamps(s)],
    "tail": lambda m, s: [each.text for each in m.history.tail(s, 1)],
    "count": lambda m, s: m.history.count(s),
    "metadata": lambda m, s: m.history.metadata(s).message_count,
    "wrap_up": lambda m, s: m.history.wrap_up(s).kinds,
}


@pytest.fixture
def session(manager: SessionManager) -> Session:
    return manager.create("planner", scopes="x", key="telegram_user123", channel_id="telegram.main")


def say(manager: SessionManager, session: Any, *texts: str) -> None:
    for text in texts:
        manager.history.append(session, {"role": "user", "content": text})


def texts(manager: SessionManager, session: Any) -> list[str]:
    return [each.text for each in manager.history.load_with_timestamps(session)]


def test_what_is_appended_is_loaded_in_order_with_its_time(
    manager: SessionManager, clock: FakeClock, session: Session
) -> None:
    given: list[dict[str, Any]] = [HELLO, CALL, {"role": "tool", "content": "42", "tool_call_id": "c1"}]
    for number, message in enumerate(given, 1):
        clock.advance(1)
        assert manager.history.append(session, message) == number
    assert [each.to_dict() for each in manager.history.load(session)] == [
        {name: value for name, value in message.items() if value is not None} for message in given
    ]
    entries = manager.history.load_with_timestamps(session)
    assert [each.seq for each in entries] == [1, 2, 3]
    assert entries[-1].at == clock.datetime
    assert (entries[0].kind, entries[0].role, entries[0].text) == ("message", "user", "hello")


def test_a_note_that_nobody_said_has_a_kind_and_no_role(manager: SessionManager, session: Session) -> None:
    manager.history.append(session, Message(kind="warn", content="the disk is nearly full"))
    manager.history.append(session, Message(kind="mode_change", content="night", auto_injected=True))
    first, second = manager.history.tail(session)
    assert (first.kind, first.role, second.auto_injected) == ("warn", None, True)


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 99])
def test_a_tail_is_the_newest_with_the_oldest_of_them_first(
    manager: SessionManager, session: Session, limit: int
) -> None:
    say(manager, session, "a", "b", "c")
    found = manager.history.tail(session, limit)
    assert [each.text for each in found] == ["a", "b", "c"][max(0, 3 - limit) :]
    assert found == manager.history.load_with_timestamps(session)[max(0, 3 - limit) :]


def test_an_append_is_activity_of_the_session_and_of_those_above_it(
    manager: SessionManager, clock: FakeClock
) -> None:
    lead = manager.create("lead", scopes="x", idle_timeout=60)
    child = manager.delegate(lead, "child", scopes="x")
    for _ in range(4):
        clock.advance(45)
        say(manager, child, "still here")
    manager.prune_expired()
    for each in (lead, child):
        assert manager.get_session(each).last_activity == clock.datetime
        assert manager.get_session(each).ended_at is None


def test_an_append_is_no_event(manager: SessionManager, session: Session) -> None:
    before = manager.events.last()
    say(manager, session, "a", "b")
    manager.history.update_last(session, HELLO)
    manager.history.remove_last(session)
    assert manager.events.last() == before
    assert manager.get_session(session).version == session.version


def test_the_last_message_is_put_in_place_as_it_streams_in(
    manager: SessionManager, clock: FakeClock, session: Session
) -> None:
    assert manager.history.update_last(session, HELLO) is False
    say(manager, session, "a", "b")
    clock.advance(1)
    assert manager.history.update_last(session, {"role": "assistant", "content": "so far"}) is True
    assert texts(manager, session) == ["a", "so far"]
    assert [each.seq for each in manager.history.tail(session)] == [1, 2]


def test_removing_the_last_leaves_no_gap(manager: SessionManager, session: Session) -> None:
    assert manager.history.remove_last(session) is False
    say(manager, session, "a", "b")
    assert manager.history.remove_last(session) is True
    assert manager.history.append(session, HELLO) == 2
    assert texts(manager, session) == ["a", "hello"]


def test_only_the_expected_entry_is_removed(manager: SessionManager, session: Session) -> None:
    say(manager, session, "a", "b")
    first, second = manager.history.tail(session)
    assert manager.history.remove_last(session, expected=first) is False
    manager.history.update_last(session, HELLO)
    assert manager.history.remove_last(session, expected=second) is False
    (last,) = manager.history.tail(session, 1)
    assert manager.history.remove_last(session, expected=last) is True
    assert manager.history.remove_last(session, expected=last) is False
    assert texts(manager, session) == ["a"]


def test_clearing_empties_the_conversation_and_leaves_the_session_alive(
    manager: SessionManager, session: Session
) -> None:
    assert manager.history.clear(session) == 0
    say(manager, session, "a", "b", "c")
    assert manager.history.clear(session, actor="user:ana") == 3
    assert manager.history.load(session) == ()
    assert manager.history.exists(session)
    assert manager.history.append(session, HELLO) == 1
    [event] = manager.events.read(types="history.cleared")
    assert (event.session_id, event.actor, event.data) == (session.id, "user:ana", {"count": 3})


def test_deleting_ends_the_session_with_its_one_end_event(manager: SessionManager, session: Session) -> None:
    child = manager.delegate(session, "helper", scopes="x")
    say(manager, session, "a", "b")
    assert manager.history.delete(session, actor="user:ana") is True
    assert manager.history.delete(session) is False
    assert manager.history.load(session) == ()
    assert not manager.history.exists(session)
    assert manager.get_session(session).cause == "invalidated"
    assert manager.get_session(child).cause == "parent"
    with pytest.raises(SessionEnded, match="invalidated"):
        say(manager, session, "back again")
    [event] = manager.events.read(types="history.deleted")
    told = manager.events.read(cause_id=event.cause_id)
    assert [each.type for each in told] == ["session.expired", "session.expired", "history.deleted"]
    assert (event.actor, event.data) == ("user:ana", {"count": 2})


def test_deleting_what_ended_before_removes_what_was_said_and_ends_nothing_twice(
    manager: SessionManager, clock: FakeClock, session: Session
) -> None:
    due = manager.create("due", scopes="x", ttl=10)
    for each in (session, due):
        say(manager, each, "a")
    manager.revoke(session, reason="leaked")
    clock.advance(10)
    assert manager.history.delete(session) is True
    assert manager.history.delete(due) is True
    assert [manager.get_session(each).cause for each in (session, due)] == ["revoked", "ttl"]
    assert len(manager.events.read(types="session.expired")) == 2
    assert len(manager.events.read(types="history.deleted")) == 2


def test_deleting_a_live_session_without_entries_ends_it(manager: SessionManager, session: Session) -> None:
    assert manager.history.delete(session) is True
    assert manager.get_session(session).cause == "invalidated"
    assert manager.events.read(types="history.deleted") == []


@pytest.mark.parametrize("verb", CHANGES.values(), ids=CHANGES)
def test_nothing_is_appended_to_what_is_ended_or_due_or_unknown(
    manager: SessionManager, clock: FakeClock, verb: Verb
) -> None:
    ended, due = manager.create("a", scopes="x"), manager.create("a", scopes="x", ttl=10)
    for each in (ended, due):
        say(manager, each, "kept")
    manager.revoke(ended)
    clock.advance(10)
    for each, cause in ((ended, "revoked"), (due, "ttl")):
        with pytest.raises(SessionEnded, match=cause):
            verb(manager, each)
        assert texts(manager, each) == ["kept"]
    assert manager.get_session(due).cause == "ttl"
    before = manager.active_count()
    with pytest.raises(SessionNotFound):
        verb(manager, UNKNOWN)
    assert manager.sessions.find(key=UNKNOWN) is None
    assert manager.active_count() <= before + 1  # the source of a fork


@pytest.mark.parametrize("verb", READS.values(), ids=READS)
def test_what_was_said_stays_readable_after_the_end_and_an_unknown_session_is_no_empty_one(
    manager: SessionManager, session: Session, verb: Verb
) -> None:
    say(manager, session, "a", "b")
    before = verb(manager, session)
    manager.end(session)
    assert verb(manager, session) == verb(manager, session.id) == before
    with pytest.raises(SessionNotFound):
        verb(manager, UNKNOWN)


def test_a_key_in_place_of_an_id_is_told_how_it_finds_its_session(manager: SessionManager) -> None:
    with pytest.raises(SessionNotFound, match=r"no session telegram_user123; .*sessions\.find\(key="):
        say(manager, "telegram_user123", "hello")


def test_there_is_a_conversation_while_it_has_entries_or_may_have_some(
    manager: SessionManager, clock: FakeClock, session: Session
) -> None:
    assert not manager.history.exists(UNKNOWN)
    assert manager.history.exists(session)
    assert not manager.history.exists(session, workspace_id="other")
    due = manager.create("due", scopes="x", ttl=10)
    clock.advance(10)
    assert not manager.history.exists(due)
    say(manager, session, "a")
    manager.end(session)
    assert manager.history.exists(session)


def test_metadata_says_whose_conversation_it_is(
    manager: SessionManager, clock: FakeClock, session: Session
) -> None:
    manager.activity.set_name(session, "Plan")
    manager.activity.set_state(session, "running", turn_id="t")
    clock.advance(5)
    say(manager, session, "a")
    found = manager.history.metadata(session)
    assert found.to_dict() == {
        **dict.fromkeys(("agent_alias", "room_id", "sender_id", "ended_at")),
        "session_id": session.id,
        "key": "telegram_user123",
        "name": "Plan",
        "agent_id": "planner",
        "workspace_id": "default",
        "subject": "agent:planner",
        "channel_id": "telegram.main",
        "state": "running",
        "turn_id": "t",
        "turn_started_at": session.created_at.isoformat(),
        "created_at": session.created_at.isoformat(),
        "last_activity": clock.datetime.isoformat(),
        "message_count": 1,
    }


# pages


def test_pages_list_conversations_by_their_last_activity(manager: SessionManager, clock: FakeClock) -> None:
    made = [manager.create(f"agent-{number}", scopes="x") for number in range(7)]
    for each in (3, 1, 5, 0, 6, 3):
        clock.advance(1)
        say(manager, made[each], "a")
    walked, cursor = [], None
    while True:
        page = manager.history.page(limit=2, cursor=cursor)
        walked += [each.agent_id for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert walked == ["agent-3", "agent-6", "agent-0", "agent-5", "agent-1"]


def test_a_page_goes_on_although_the_row_it_ended_on_is_gone(manager: SessionManager) -> None:
    made = [manager.create(f"agent-{number}", scopes="x") for number in range(4)]
    for each in made:
        say(manager, each, "a")  # all at one moment
    page = manager.history.page(limit=2)
    manager.history.delete(page.items[-1].session_id)
    rest = manager.history.page(limit=2, cursor=page.next_cursor)
    walked = [each.session_id for each in (*page.items, *rest.items)]
    assert walked == sorted((each.id for each in made), reverse=True)


def test_a_page_is_narrowed_and_its_cursor_is_of_that_listing_alone(manager: SessionManager) -> None:
    for number in range(4):
        say(manager, manager.create("planner", scopes="x", channel_id=f"c{number % 2}"), "a")
    page = manager.history.page(channel_id="c1", limit=1)
    assert [each.channel_id for each in page.items] == ["c1"]
    others: list[dict[str, Any]] = [{}, {"channel_id": "c0"}, {"workspace_id": "other"}]
    for filters in others:
        with pytest.raises(InvalidArgument, match="cursor"):
            manager.history.page(cursor=page.next_cursor, **filters)
    listing = manager.sessions.page(limit=1)
    with pytest.raises(InvalidArgument, match="cursor"):
        manager.history.page(cursor=listing.next_cursor)
    with pytest.raises(InvalidArgument, match="is not a filter"):
        manager.history.page(colour="red")
    with pytest.raises(InvalidArgument, match="state: must be one of"):
        manager.history.page(state="flying")
    assert manager.history.page(workspace_id="other").items == ()


@pytest.mark.parametrize("limit", [0, 1_001, True, "5", None])
def test_a_limit_of_a_page_is_a_number_of_rows(manager: SessionManager, limit: Any) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        manager.history.page(limit=limit)


# forks


def test_a_fork_copies_what_was_said_and_gives_no_authority(
    manager: SessionManager, clock: FakeClock, session: Session
) -> None:
    say(manager, session, "a", "b", "c")
    clock.advance(1)
    fork = manager.create("other", scopes="y")
    assert manager.history.fork(session, fork, up_to=2) == 2
    entries = manager.history.load_with_timestamps(session)
    assert manager.history.load_with_timestamps(fork) == entries[:2]
    assert [each.session_id for each in manager.history.search("a b c", session=fork)] == [fork.id] * 2
    now = manager.get_session(fork)
    assert (now.forked_from, now.parent_id, str(now.scopes), now.version) == (session.id, None, "y", 2)
    assert manager.events.read(types="session.updated")[-1].data == {"fields": ["forked_from"]}
    say(manager, fork, "d")
    assert texts(manager, session) == ["a", "b", "c"]
    assert texts(manager, fork) == ["a", "b", "d"]


def test_a_conversation_that_ended_is_taken_up_again_by_a_fork(
    manager: SessionManager, session: Session
) -> None:
    say(manager, session, "a")
    manager.end(session)
    again = manager.create("planner", scopes="x", key="telegram_user123")
    assert manager.history.fork(session, again) == 1
    assert texts(manager, again) == ["a"]


def test_a_fork_goes_into_an_empty_session_of_the_same_workspace_only(
    manager: SessionManager, session: Session
) -> None:
    say(manager, session, "a")
    full, foreign = manager.create("b", scopes="x"), manager.create("c", scopes="x", workspace_id="other")
    say(manager, full, "kept")
    with pytest.raises(InvalidArgument, match="into: has entries"):
        manager.history.fork(session, full)
    with pytest.raises(SessionNotFound):
        manager.history.fork(session, foreign)
    with pytest.raises(InvalidArgument, match="into: is the session itself"):
        manager.history.fork(session, session.id)
    for wrong in (-1, 1.5, "2", True):
        with pytest.raises(InvalidArgument, match="up_to"):
            manager.history.fork(session, foreign, up_to=wrong)  # type: ignore[arg-type]
    assert texts(manager, full) == ["kept"]
    assert manager.history.count(foreign) == 0


# milestones


def test_a_milestone_is_set_and_set_anew_for_its_workspace(manager: SessionManager) -> None:
    milestones = manager.history.milestones
    assert milestones.get("welcome_shown") is None
    milestones.set("welcome_shown", "yes")
    milestones.set("welcome_shown", "twice")
    assert milestones.get("welcome_shown") == "twice"
    assert milestones.get("welcome_shown", workspace_id="other") is None


@pytest.mark.parametrize("value", ["", "a NUL \0 in it", "\ufdd0\ufdd2", " ünïcödé 🜚 "])
def test_a_milestone_is_given_back_as_it_was_set(manager: SessionManager, value: str) -> None:
    manager.history.milestones.set("any", value)
    assert manager.history.milestones.get("any") == value


def test_what_is_set_once_stays(manager: SessionManager) -> None:
    milestones = manager.history.milestones
    assert milestones.set_once("first_trade_at", "monday") is True
    assert milestones.set_once("first_trade_at", "tuesday") is False
    assert milestones.get("first_trade_at") == "monday"


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("key", "", "v"),
        ("key", 7, "v"),
        ("value", "k", 7),
        ("value", "k", "x" * 4_097),
        ("value", "k", "\ud800"),
    ],
)
def test_a_milestone_that_will_not_do_is_refused(
    manager: SessionManager, argument: str, key: Any, value: Any
) -> None:
    for setter in (manager.history.milestones.set, manager.history.milestones.set_once):
        with pytest.raises(InvalidArgument, match=argument):
            setter(key, value)


# retention


def test_stale_conversations_are_deleted_and_none_of_a_running_session(
    manager: SessionManager, clock: FakeClock
) -> None:
    long: Any = {"ttl": 864_000, "max_lifetime": 864_000}
    made = {each: manager.create(each, scopes="x", **long) for each in ("old", "running", "ended", "new")}
    silent = manager.create("silent", scopes="x", **long)
    other = manager.create("other", scopes="x", workspace_id="other", **long)
    for each in (*list(made.values())[:3], other):
        say(manager, each, "a")
    manager.activity.set_state(made["running"], "running", turn_id="t")
    manager.end(made["ended"])
    clock.advance(7_200)
    say(manager, made["new"], "a")
    heard: list[int] = []
    assert manager.history.cleanup_stale(3_600, dry_run=True, progress=heard.append) == 2
    assert manager.history.count(made["old"]) == 1
    assert manager.history.cleanup_stale(3_600, progress=heard.append) == 2
    assert heard[-1] == 2
    assert manager.history.cleanup_stale(3_600) == 0
    left = {each: manager.history.count(session) for each, session in made.items()}
    assert left == {"old": 0, "running": 1, "ended": 0, "new": 1}
    assert manager.history.count(other) == 1
    causes = [manager.get_session(each).cause for each in (*made.values(), silent)]
    assert causes == ["invalidated", None, "finished", None, None]
    deleted = manager.events.read(types="history.deleted")
    assert len(deleted) == 2
    assert len({each.cause_id for each in deleted}) == 1


def test_a_conversation_stays_while_there_is_work_below_it(manager: SessionManager, clock: FakeClock) -> None:
    lead, *others = (manager.create("lead", scopes="x", ttl=86_400) for _ in range(3))
    child = manager.delegate(lead, "child", scopes="x", ttl=86_400)
    helper = manager.delegate(child, "helper", scopes="x", ttl=86_400)
    for each in (lead, child, *others):
        say(manager, each, "a")
    with manager.activity.turn(helper, lease=86_400) as turn:
        clock.advance(7_200)
        assert manager.history.cleanup_stale(3_600, dry_run=True) == 2
        assert manager.history.cleanup_stale(3_600) == 2
        turn.check()
        assert [manager.history.count(each) for each in (lead, child, *others)] == [1, 1, 0, 0]
    assert manager.history.cleanup_stale(3_600) == 2


def test_a_touch_that_is_not_written_yet_keeps_a_conversation(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", ttl=86_400)
    say(manager, made, "a")
    clock.advance(7_200)
    manager.validate(made.token)
    assert manager.history.cleanup_stale(3_600) == 0


@pytest.mark.parametrize(
    "wrong", [{"idle_for": -1}, {"idle_for": "1h"}, {"dry_run": 1}, {"progress": 5}, {"workspace_id": ""}]
)
def test_a_cleanup_that_is_asked_for_wrongly_deletes_nothing(
    manager: SessionManager, session: Session, wrong: dict[str, Any]
) -> None:
    say(manager, session, "a")
    with pytest.raises(InvalidArgument):
        manager.history.cleanup_stale(**{"idle_for": 0, **wrong})
    assert manager.history.count(session) == 1


def test_purging_a_tombstone_removes_what_was_said_in_it(
    url: str, manager: SessionManager, clock: FakeClock, session: Session
) -> None:
    kept = manager.create("kept", scopes="x", ttl=864_000, max_lifetime=864_000)
    say(manager, session, "farewell")
    say(manager, kept, "still here")
    manager.end(session)
    clock.advance(7_200)
    assert manager.sessions.purge(3_600) == 1
    assert manager.history.search("farewell") == ()
    assert not manager.history.exists(session)
    assert texts(manager, kept) == ["still here"]
    if url != ":memory:":
        assert rows(url, "SELECT count(*) FROM entries") == [(1,)]
        assert rows(url, "SELECT count(*) FROM entry_words") == [(1,)]


def test_a_purge_removes_so_many_entries_at_once_and_no_more(
    manager: SessionManager, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clawguard.sessions.directory._ENTRIES", 3)
    for length in (1, 2, 5, 0, 1):
        clock.advance(1)
        session = manager.create("a", scopes="x")
        say(manager, session, *("a" for _ in range(length)))
        manager.end(session)
    clock.advance(7_200)
    assert manager.sessions.purge(3_600, dry_run=True) == 5
    assert manager.sessions.purge(3_600) == 5
    told = manager.events.read(types="session.purged")
    assert [each.data["count"] for each in told] == [2, 1, 2]


# bad input


@pytest.mark.parametrize("position", ["", "a b", "1", "1 ", "-1 x", "1" * 30 + " x", "١ x", "1 \0", "1 x\n"])
def test_a_cursor_that_was_made_up_is_refused(manager: SessionManager, position: str) -> None:
    digest = digest_of("history", {"workspace_id": "default"})
    with pytest.raises(InvalidArgument, match="cursor"):
        manager.history.page(cursor=cursor_of(position, digest))


@pytest.mark.parametrize("limit", [-1, 1.0, True, "5", None, 2**60])
def test_a_tail_is_asked_for_by_a_number(manager: SessionManager, session: Session, limit: Any) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        manager.history.tail(session, limit)


def test_a_token_is_no_name_for_a_conversation(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    for verb in (*CHANGES.values(), *READS.values()):
        with pytest.raises(InvalidArgument, match="is a token"):
            verb(manager, made.token)
