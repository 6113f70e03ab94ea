"""The log as every caller sees it: read, followed, verified; live receivers beside it."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clawguard import ClawguardError, Event, InvalidArgument, InvalidToken, SessionManager
from clawguard.clock import SECOND, to_datetime
from tests.clocks import FakeClock
from tests.contract.conftest import on_a_file
from tests.openers import open_manager


def test_each_change_is_one_event_in_order_without_gaps(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", role="r")
    manager.refresh(made)
    manager.activity.set_name(made, "n")
    manager.revoke(made, reason="why")
    events = manager.events.read()
    assert [each.type for each in events] == [
        "session.created",
        "session.refreshed",
        "session.updated",
        "session.expired",
    ]
    assert [each.seq for each in events] == [1, 2, 3, 4]
    assert [each.version for each in events] == [1, 2, 3, 4]
    assert {each.session_id for each in events} == {made.id}
    assert len({each.id for each in events}) == 4
    assert (events[-1].cause, events[-1].reason, events[-1].actor) == ("revoked", "why", "host")
    for before, after in pairwise(events):
        assert after.prev_hash == before.hash


def test_a_failed_call_is_no_event(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", key="k")
    with pytest.raises(ClawguardError):
        manager.create("b", scopes="x", key="k")
    with pytest.raises(ClawguardError):
        manager.delegate(made, "b", scopes="y")
    with pytest.raises(ClawguardError):
        manager.refresh(made, expected_generation=7)
    assert len(manager.events.read()) == 1


def test_read_filters_and_pages(manager: SessionManager) -> None:
    first, second = manager.create("a", scopes="x"), manager.create("b", scopes="x")
    manager.refresh(first)
    manager.revoke(first)
    read = manager.events.read
    assert [each.seq for each in read(after=1, limit=2)] == [2, 3]
    assert [each.seq for each in read(types="session.created")] == [1, 2]
    assert [each.seq for each in read(types=["session.refreshed", "session.exp*"])] == [3, 4]
    assert [each.seq for each in read(session_id=second.id)] == [2]
    assert [each.seq for each in read(cause_id=read(after=3)[0].cause_id)] == [4]
    assert read(after=4) == []
    assert read(session_id="' OR 1=1 --") == []
    assert [each.seq for each in read(types=[])] == []


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("after", {"after": -1}),
        ("after", {"after": "1"}),
        ("after", {"after": True}),
        ("after", {"after": 2**63}),
        ("limit", {"limit": 0}),
        ("limit", {"limit": 1_001}),
        ("types", {"types": "session.revoked"}),
        ("types", {"types": ["session.created", 5]}),
        ("types", {"types": 5}),
    ],
)
def test_read_names_the_bad_argument(manager: SessionManager, argument: str, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        manager.events.read(**given)
    assert refusal.value.argument == argument


def test_a_pattern_that_fits_nothing_is_an_error_with_a_hint(manager: SessionManager) -> None:
    with pytest.raises(InvalidArgument, match="fits no type") as refusal:
        manager.on("session.revoked", print)
    assert "revoked" in (refusal.value.hint or "")
    with pytest.raises(InvalidArgument):
        manager.on("", print)
    with pytest.raises(InvalidArgument, match="receiver"):
        manager.on("session.*", 5)  # type: ignore[call-overload]


def test_follow_gives_what_is_there_and_what_comes(manager: SessionManager) -> None:
    manager.create("a", scopes="x")
    whole = manager.events.follow(after=0, timeout=0)
    assert [each.seq for each in whole] == [1]
    later = manager.events.follow(timeout=0)
    manager.create("b", scopes="x")
    assert [each.agent_id for each in later] == ["b"]
    picky = manager.events.follow(after=0, types="session.refreshed", timeout=0)
    assert list(picky) == []


def test_a_follower_passes_over_what_does_not_concern_it_and_over_nothing_else(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, begun_at = manager.events, []
    plain = log.page

    def read_and_write(patterns: Any, *, after: int, **given: Any) -> list[Event]:
        found = plain(patterns, after=after, **given)
        begun_at.append(after)
        if len(begun_at) == 2:
            manager.create("late", scopes="x", workspace_id="ours")  # behind the page, before the next look
        return found

    monkeypatch.setattr(log, "page", read_and_write)
    for _ in range(3):
        manager.create("a", scopes="x")
    follower = log.follow(after=0, workspace_id="ours", poll=0)
    assert next(follower).agent_id == "late"
    assert begun_at == [0, 3, 3]


def test_follow_wakes_for_a_change_of_another_thread(manager: SessionManager) -> None:
    follower = iter(manager.events.follow(poll=60))
    heard: list[Event] = []
    thread = threading.Thread(target=lambda: heard.append(next(follower)))
    thread.start()
    while thread.is_alive():
        manager.create("a", scopes="x")
        thread.join(0.05)
    assert heard[0].type == "session.created"


def test_follow_ends_when_the_manager_closes(manager: SessionManager) -> None:
    manager.create("a", scopes="x")
    heard: list[Event] = []

    def listen() -> None:
        heard.extend(manager.events.follow(after=0, poll=0.01))

    thread = threading.Thread(target=listen)
    thread.start()
    while not heard:
        thread.join(0.01)
    manager.close()
    thread.join(30)
    assert not thread.is_alive()


def test_follow_is_async_too(manager: SessionManager) -> None:
    async def main() -> list[str | None]:
        follower = manager.events.follow(after=0, poll=0.01)
        manager.create("a", scopes="x")
        heard = [(await anext(follower)).agent_id]
        asyncio.get_running_loop().call_later(0.02, lambda: manager.create("b", scopes="x"))
        heard.append((await anext(follower)).agent_id)
        return heard + [each.agent_id async for each in manager.events.follow(after=1, timeout=0)]

    assert asyncio.run(main()) == ["a", "b", "b"]


def test_verify_holds_for_an_honest_log(manager: SessionManager) -> None:
    assert manager.events.verify()
    for _ in range(1_005):
        manager.create("a", scopes="x")
    told: list[int] = []
    found = manager.events.verify(progress=told.append)
    assert (found.count, found.fault) == (1_005, None)
    assert found.head == manager.events.read(after=1_004)[0].hash
    assert told == [1_000, 1_005]


def test_receivers_hear_what_fits_until_they_are_taken_off(manager: SessionManager) -> None:
    heard: list[str] = []

    @manager.on("session.created")
    def receiver(event: Event) -> None:
        heard.append(event.type)

    manager.on("*", lambda event: heard.append("any " + event.type))
    manager.revoke(manager.create("a", scopes="x"))
    manager.off(receiver)
    manager.create("a", scopes="x")
    assert heard == [
        "session.created",
        "any session.created",
        "any session.expired",
        "any session.created",
    ]


def test_signals_give_the_manager_and_the_event(manager: SessionManager) -> None:
    heard: list[tuple[object, Event]] = []
    manager.signals.session_created.connect(lambda sender, event: heard.append((sender, event)))
    made = manager.create("a", scopes="x")
    assert [(sender is manager, event.session_id) for sender, event in heard] == [(True, made.id)]
    with pytest.raises(AttributeError, match="session_expired"):
        _ = manager.signals.session_revoked


def assert_alike(heard: Event, read: Event) -> None:
    """Hold what was heard live against what is read: it may have had no place in the log yet."""
    assert heard == (read if heard.seq else replace(read, seq=0, prev_hash="", hash=""))


def test_what_is_heard_live_is_what_is_read_later(manager: SessionManager) -> None:
    heard: list[Event] = []
    manager.on("*", heard.append)
    made = manager.create("a", scopes="x")
    manager.refresh(made)
    manager.agents.disable("a")
    for live, read in zip(heard, manager.events.read(), strict=True):
        assert_alike(live, read)


@on_a_file
def test_on_a_file_what_is_heard_has_its_place(database: str) -> None:
    heard: list[Event] = []
    with open_manager(database) as manager:
        manager.on("*", heard.append)
        manager.create("a", scopes="x")
        assert heard == manager.events.read()


def test_muting_hides_nothing_from_the_log(manager: SessionManager) -> None:
    heard: list[Event] = []
    manager.signals.session_created.connect(lambda sender, event: heard.append(event))
    with manager.signals.session_created.muted():
        manager.create("a", scopes="x")
    assert heard == []
    assert len(manager.events.read()) == 1


def test_denials_and_rejected_tokens_are_counted_not_repeated(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    for _ in range(5):
        with pytest.raises(InvalidToken):
            manager.validate("rubbish", source="10.0.0.1")
        with pytest.raises(Exception, match="lacks"):
            manager.validate(made.token, require="y")
    manager.prune_expired()
    denied = manager.events.read(types="guard.denied")
    rejected = manager.events.read(types="token.rejected")
    assert [(each.session_id, each.reason, each.data) for each in denied] == [
        (made.id, "insufficient_scope", {"action": "y", "count": 5})
    ]
    assert [each.data for each in rejected] == [{"source": "10.0.0.1", "count": 5}]
    assert "rubbish" not in str([each.to_dict() for each in manager.events.read()])


def test_flush_tells_that_all_was_heard(manager: SessionManager) -> None:
    manager.create("a", scopes="x")
    assert manager.events.flush(10) is True


def test_durations_may_be_timedeltas(manager: SessionManager) -> None:
    manager.on("session.created", lambda event: None)
    manager.create("a", scopes="x")
    assert manager.events.flush(timedelta(seconds=5))
    tick = timedelta(milliseconds=1)
    assert [each.seq for each in manager.events.follow(after=0, timeout=tick, poll=tick)] == [1]


def test_the_last_events_of_a_session_are_found_from_the_end(
    manager: SessionManager, clock: FakeClock, tmp_path: Path
) -> None:
    manager.events.register("memory.added")
    session, other = (manager.create(name, scopes="x") for name in "ab")
    for number in range(6):
        clock.advance(60)
        manager.publish("memory.added", {"number": number}, session=other if number % 2 else session)

    def last(count: int) -> list[object]:
        after = manager.events.before_last(count, session_id=session.id)
        found = manager.events.read(after=after, session_id=session.id, limit=count)
        return [each.data.get("number") for each in found]

    assert (last(1), last(2), last(9)) == ([4], [2, 4], [None, 0, 2, 4])
    manager.events.archive(to_datetime(clock.at - 150 * SECOND), tmp_path / "archive.jsonl")
    assert last(9) == [4]
    assert manager.events.before_last(5, session_id="unknown") == manager.events.archived
    for count in (0, 1_001, True):
        with pytest.raises(InvalidArgument, match="limit"):
            manager.events.before_last(count, session_id=session.id)
