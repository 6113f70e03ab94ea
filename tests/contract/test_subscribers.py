"""Durable subscribers: every event, at least once and in order, whatever becomes of who takes it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from clawguard import Event, InvalidArgument, SessionManager, StoreBusy, Verifier
from clawguard.clock import SystemClock
from clawguard.errors import EventsArchived
from clawguard.events import serving
from tests.clocks import FakeClock
from tests.openers import KEK, open_manager
from tests.subscribing import PATIENCE, ids, made, position, until


@pytest.fixture
def real(database: str) -> Iterator[SessionManager]:
    """A manager by the machine's own clock: retries wait for it."""
    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        yield manager


def test_a_subscriber_hears_what_comes_after_it_subscribed(manager: SessionManager) -> None:
    made(manager, 2)
    heard: list[Event] = []
    manager.on("session.*", heard.append, durable="siem")
    expected = made(manager, 250)
    until(lambda: len(heard) == 250)
    assert ids(heard) == expected
    until(lambda: position(manager) == 252)


def test_a_new_name_may_begin_at_the_beginning(manager: SessionManager) -> None:
    expected = made(manager, 3)
    heard: list[Event] = []

    @manager.on("session.created", durable="siem", after=0)
    def take(event: Event) -> None:
        heard.append(event)

    until(lambda: len(heard) == 3)
    assert ids(heard) == expected


def test_a_subscriber_goes_on_where_it_was_after_a_restart(database: str, clock: FakeClock) -> None:
    heard: list[Event] = []
    with open_manager(database, clock=clock) as manager:
        manager.on("session.created", heard.append, durable="siem")
        first = made(manager, 3)
        until(lambda: position(manager) == 3)
    with open_manager(database, clock=clock) as manager:
        second = made(manager, 3)
        manager.on(
            "session.created", heard.append, durable="siem", after=0
        )  # it is not new: it has its place
        until(lambda: len(heard) == 6)
    assert ids(heard) == first + second


def test_it_hears_other_processes_and_needs_no_key(database: str) -> None:
    with (
        SessionManager.open(database, kek=KEK, sweep_every=None) as manager,
        Verifier.open(database) as verifier,
    ):
        heard: list[Event] = []
        verifier.on("session.created", heard.append, durable="siem")
        expected = made(manager, 5)
        until(lambda: len(heard) == 5)
        assert ids(heard) == expected


def test_only_what_fits_the_pattern_is_heard(manager: SessionManager) -> None:
    heard: list[Event] = []
    manager.on("session.expired", heard.append, durable="ends")
    made(manager, 300)
    last = manager.create("a", scopes="x")
    manager.revoke(last)
    until(lambda: heard)
    assert [event.type for event in heard] == ["session.expired"]


def test_what_does_not_concern_a_subscriber_is_passed_once_in_a_while(
    manager: SessionManager, clock: FakeClock
) -> None:
    manager.on("key.rotated", print, durable="keys")
    until(lambda: position(manager, "keys") == 0 and made(manager, 1))
    until(lambda: position(manager, "keys") > 0)
    seen = position(manager, "keys")
    made(manager, 2)
    # It may have read the log before the second one, and look at the clock after it.
    until(lambda: clock.advance(61) is None and position(manager, "keys") == seen + 2)
    cursor = manager.subscribers.cursor("poller", "key.rotated", after=0)
    assert cursor.take() == []
    assert position(manager, "poller") == manager.events.last()[0]


def test_nothing_is_subscribed_from_before_what_was_archived(
    manager: SessionManager, clock: FakeClock, tmp_path: Path
) -> None:
    made(manager, 3)
    manager.subscribers.cursor("poller", after=2)
    clock.advance(1)
    made(manager, 1)
    with pytest.raises(InvalidArgument, match="poller"):
        manager.events.archive(clock.datetime, tmp_path / "log")
    cursor = manager.subscribers.cursor("poller")
    cursor.move(cursor.take()[-1])
    manager.events.archive(clock.datetime, tmp_path / "log")
    for after in (0, 2):
        with pytest.raises(EventsArchived):
            manager.on("*", print, durable="late", after=after)
    assert manager.subscribers.cursor("poller", after=0)  # it has its place
    assert manager.subscribers.cursor("late", after=3).take()


def test_a_failing_receiver_is_tried_again_and_nothing_overtakes(real: SessionManager) -> None:
    heard: list[Event] = []
    failures = [RuntimeError("no"), ValueError("no"), SystemExit(1)]

    def take(event: Event) -> None:
        heard.append(event)
        if len(heard) >= 2 and failures:
            raise failures.pop()

    real.on("session.created", take, durable="siem")
    first, second, third = made(real, 3)
    until(lambda: len(heard) == 6)
    assert ids(heard) == [first, second, second, second, second, third]
    assert len({event.id for event in heard}) == 3
    assert real.subscribers.parked("siem") == ()
    real.prune_expired()
    failed = real.events.read(types="subscriber.failed")
    assert sum(event.data["count"] for event in failed) == 3


def test_what_cannot_be_taken_is_parked_with_an_alarm_and_can_be_replayed(real: SessionManager) -> None:
    heard: list[Event] = []
    poison: list[str | None] = []

    def take(event: Event) -> None:
        if event.session_id in poison:
            raise RuntimeError("no")
        heard.append(event)

    first, second, third = (real.create("a", scopes="x").id for _ in range(3))
    poison.append(second)
    real.on("session.created", take, durable="siem", after=0, tries=2)
    until(lambda: len(heard) == 2)
    assert ids(heard) == [first, third]
    (parked,) = real.subscribers.parked("siem")
    assert (parked.seq, parked.error, parked.tries) == (2, "RuntimeError", 2)
    (alarm,) = real.events.read(types="subscriber.parked")
    assert alarm.data == {"subscriber": "siem", "seq": 2, "tries": 2}
    assert real.subscribers.replay("siem") == 1  # still poison
    until(lambda: len(real.events.read(types="subscriber.parked")) == 2)
    assert real.subscribers.parked("siem")[0].tries == 3
    poison.clear()
    assert real.subscribers.replay("siem", seq=2) == 1
    until(lambda: not real.subscribers.parked("siem"))
    assert ids(heard) == [first, third, second]
    assert real.subscribers.replay("siem") == 0


def test_alarms_about_alarms_end(real: SessionManager) -> None:
    def take(event: Event) -> None:
        raise RuntimeError("no")

    real.on("*", take, durable="broken", tries=1)
    made(real, 1)
    until(lambda: len(real.subscribers.parked("broken")) >= 2)  # the event, and its alarm
    real.prune_expired()
    count = len(real.events.read(limit=1_000))
    until(lambda: position(real, "broken") == real.events.last()[0])
    assert len(real.events.read(limit=1_000)) == count


def test_of_two_that_serve_a_name_one_does_at_a_time(database: str) -> None:
    heard: list[Event] = []
    with SessionManager.open(database, kek=KEK, sweep_every=None) as one:
        with SessionManager.open(database, kek=KEK, sweep_every=None) as other:
            for each in (one, other):
                each.on("session.created", heard.append, durable="siem")
            expected = made(one, 500)
            until(lambda: len(heard) >= 500)
            until(lambda: position(one) == 500)
            assert ids(heard) == expected
        more = made(one, 10)  # whoever had the lease: the one that is left goes on
        until(lambda: len(heard) >= 510)
        assert ids(heard) == expected + more


def test_another_takes_over_from_one_that_hangs_and_the_late_one_moves_nothing(database: str) -> None:
    stuck, go = threading.Event(), threading.Event()
    late: list[Event] = []
    heard: list[Event] = []

    def hang(event: Event) -> None:
        late.append(event)
        stuck.set()
        go.wait(PATIENCE)

    with (
        SessionManager.open(database, kek=KEK, sweep_every=None) as one,
        SessionManager.open(database, kek=KEK, sweep_every=None) as other,
    ):
        one.on("session.created", hang, durable="siem", lease=0.2)
        expected = made(one, 3)
        assert stuck.wait(PATIENCE)
        other.on("session.created", heard.append, durable="siem")
        until(lambda: len(heard) == 3)
        until(lambda: position(other) == 3)
        go.set()
        one.off(hang)
        assert ids(heard) == expected
        assert ids(late) == expected[:1]
        assert position(one) == 3


def test_a_hanging_subscriber_holds_up_nobody_else(real: SessionManager) -> None:
    go = threading.Event()
    heard: list[Event] = []
    real.on("*", lambda event: go.wait(PATIENCE), durable="hangs")
    real.on("session.created", heard.append, durable="siem")
    token = real.create("a", scopes="x")
    until(lambda: heard)
    assert real.validate(token.token)
    assert real.revoke(token)
    go.set()


def test_a_stop_in_the_middle_of_many_loses_nothing(real: SessionManager) -> None:
    heard: list[Event] = []

    def slow(event: Event) -> None:
        time.sleep(0.005)
        heard.append(event)

    expected = made(real, 120)
    for count in (20, 60, 120):
        real.on("session.created", slow, durable="siem", after=0)
        until(partial(lambda wanted: len(heard) >= wanted, count))
        real.off(slow)
    assert ids(heard) == expected


def test_an_async_receiver_is_awaited(database: str) -> None:
    heard: list[Event] = []

    async def take(event: Event) -> None:
        await asyncio.sleep(0)
        if not heard:
            heard.append(event)
            raise RuntimeError("no")
        heard.append(event)

    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        manager.on("session.created", take, durable="siem")
        first, second = made(manager, 2)
        until(lambda: len(heard) == 3)
    assert ids(heard) == [first, first, second]


def test_off_keeps_the_place_and_remove_forgets_it(manager: SessionManager) -> None:
    heard: list[Event] = []
    manager.on("session.created", heard.append, durable="siem")
    made(manager, 1)
    until(lambda: position(manager) == 1)
    manager.off(heard.append)
    made(manager, 1)
    assert not manager.subscribers.list()[0].is_at_work
    manager.on("session.created", heard.append, durable="siem")
    until(lambda: len(heard) == 2)
    assert manager.subscribers.remove("siem")
    assert not manager.subscribers.remove("siem")
    assert manager.subscribers.list() == ()


def test_a_cursor_is_polled_by_hand(manager: SessionManager) -> None:
    expected = made(manager, 5)
    cursor = manager.subscribers.cursor("poller", "session.created", after=0)
    some = cursor.take(2)
    assert ids(some) == expected[:2]
    assert cursor.take(2) == some
    cursor.move(some[0])
    assert ids(cursor.take()) == expected[1:]
    cursor.move(some[0])  # again, and back: nothing changes
    assert position(manager, "poller") == 1
    other = manager.subscribers.cursor("poller", "session.created")
    with pytest.raises(StoreBusy):
        other.take()
    cursor.release()
    taken = other.take()
    with pytest.raises(StoreBusy):
        cursor.move(taken[-1])
    other.move(taken[-1])
    assert position(manager, "poller") == 5


def test_of_two_who_found_a_name_free_one_has_it(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(manager, 1)
    one, other = (manager.subscribers.cursor("poller", after=0) for _ in range(2))
    standing = other.standing()
    monkeypatch.setattr(other, "standing", lambda: standing)  # as it was a moment ago
    assert one.take()
    with pytest.raises(StoreBusy):
        other.take()


def test_a_lease_ends_by_itself(manager: SessionManager, clock: FakeClock) -> None:
    made(manager, 1)
    one, other = (manager.subscribers.cursor("poller", after=0) for _ in range(2))
    (event,) = one.take()
    clock.advance(14)
    with pytest.raises(StoreBusy):
        other.take()
    clock.advance(2)
    assert other.take() == [event]
    with pytest.raises(StoreBusy):
        one.move(event)


def test_no_event_is_given_out_before_a_power_safe_commit_stands_behind_it(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = manager.subscribers.cursor("poller", after=0)
    made(manager, 1)
    safe: list[int] = []
    plain = manager.events._make_safe
    monkeypatch.setattr(manager.events, "_make_safe", lambda seq: (safe.append(seq), plain(seq)))
    cursor.take()
    assert safe == [1]


@pytest.mark.parametrize(
    ("given", "argument"),
    [
        ({"after": 1}, "after"),
        ({"after": 2**63}, "after"),
        ({"durable": ""}, "durable"),
        ({"durable": "a\nb"}, "durable"),
        ({"durable": 7}, "durable"),
        ({"after": -1}, "after"),
        ({"after": "0"}, "after"),
        ({"after": True}, "after"),
        ({"tries": 0}, "tries"),
        ({"tries": True}, "tries"),
        ({"lease": 0}, "lease"),
        ({"lease": 0.01}, "lease"),
        ({"lease": "1"}, "lease"),
        ({"pattern": "session.revoked"}, "pattern"),
        ({"receiver": 7}, "receiver"),
    ],
)
def test_bad_input_is_named_and_subscribes_nobody(
    manager: SessionManager, given: dict[str, Any], argument: str
) -> None:
    asked: dict[str, Any] = {"pattern": "*", "receiver": print, "durable": "siem", **given}
    with pytest.raises(InvalidArgument, match=argument):
        manager.on(asked.pop("pattern"), asked.pop("receiver"), **asked)
    assert manager.subscribers.list() == ()


def test_a_name_is_served_once_in_a_manager(manager: SessionManager) -> None:
    manager.on("*", print, durable="siem")
    with pytest.raises(InvalidArgument, match="durable"):
        manager.on("*", repr, durable="siem")


def test_unknown_names_are_answered(manager: SessionManager) -> None:
    assert manager.subscribers.parked("nobody") == ()
    assert manager.subscribers.replay("nobody") == 0
    for seq in (0, True, "1"):
        with pytest.raises(InvalidArgument, match="seq"):
            manager.subscribers.replay("siem", seq=seq)  # type: ignore[arg-type]


def test_a_fault_of_the_store_is_outlived(real: SessionManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_REST", 0.01)
    heard: list[Event] = []
    faults = [StoreBusy("locked")] * 3
    plain = real.events.page

    def read(patterns: Any, **given: Any) -> list[Event]:
        if faults:
            raise faults.pop()
        return plain(patterns, **given)

    monkeypatch.setattr(real.events, "page", read)
    real.on("session.created", heard.append, durable="siem")
    expected = made(real, 1)
    until(lambda: heard)
    assert ids(heard) == expected


def test_close_does_not_wait_for_ever(database: str) -> None:
    go = threading.Event()
    manager = SessionManager.open(database, kek=KEK, sweep_every=None, clock=SystemClock())
    manager.on("*", lambda event: go.wait(PATIENCE), durable="hangs")
    made(manager, 1)
    until(lambda: manager.subscribers.list()[0].is_at_work)
    manager.close()
    go.set()
