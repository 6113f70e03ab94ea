"""Serving a durable subscriber in bad times: slow, hanging and awkward receivers, loops, clocks, entries."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from clawguard import Event, InvalidArgument, SessionManager, StoreUnavailable
from clawguard.errors import EventRefused, ReceiverFailed, ReceiverUnavailable
from tests.clocks import FakeClock
from tests.openers import KEK, open_manager, raw, rows
from tests.subscribing import PATIENCE, ids, made, position, until


@pytest.fixture
def real(database: str) -> Iterator[SessionManager]:
    """A manager by the machine's own clock: retries wait for it."""
    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        yield manager


def test_what_takes_longer_than_the_lease_goes_on_all_the_same(database: str) -> None:
    heard: list[tuple[str, int]] = []

    def slow(who: str) -> Callable[[Event], None]:
        def take(event: Event) -> None:
            time.sleep(0.3)
            heard.append((who, event.seq))
            if event.seq == 2:
                raise RuntimeError("no")

        return take

    with (
        SessionManager.open(database, kek=KEK, sweep_every=None) as one,
        SessionManager.open(database, kek=KEK, sweep_every=None) as other,
    ):
        made(one, 3)
        for name, each in (("one", one), ("other", other)):
            each.on("session.created", slow(name), durable="siem", after=0, tries=2, lease=0.1)
        until(lambda: position(one) >= 3)
        assert [parked.seq for parked in one.subscribers.parked("siem")] == [2]
    assert list(dict.fromkeys(seq for _, seq in heard)) == [1, 2, 3]


def test_a_name_made_anew_begins_anew(database: str) -> None:
    heard: list[Event] = []
    with (
        SessionManager.open(database, kek=KEK, sweep_every=None) as one,
        SessionManager.open(database, kek=KEK, sweep_every=None) as other,
    ):
        one.on("session.created", heard.append, durable="siem", after=0)
        expected = made(one, 5)
        until(lambda: position(one) == 5)
        old = one.subscribers.cursor("siem")
        assert other.subscribers.remove("siem")
        cursor = other.subscribers.cursor("siem", "session.created", after=0)
        assert ids(cursor.take()) == expected  # whoever served the name before does not any more
        with pytest.raises(InvalidArgument, match="removed"):
            old.take()
        cursor.release()
        until(lambda: one._parts.servers._servers["siem"].is_over)  # type: ignore[union-attr]
        one.on("session.created", heard.append, durable="siem")
        until(lambda: len(heard) == 10)
        assert ids(heard) == expected * 2


def test_who_asks_for_other_events_under_a_name_serves_it(database: str) -> None:
    narrow: list[Event] = []
    wide: list[Event] = []
    with (
        SessionManager.open(database, kek=KEK, sweep_every=None) as one,
        SessionManager.open(database, kek=KEK, sweep_every=None) as other,
    ):
        one.on("session.created", narrow.append, durable="siem")
        other.on("session.*", wide.append, durable="siem")
        session = one.create("a", scopes="x")
        one.revoke(session)
        until(lambda: len(wide) == 2)
        assert narrow == []
        assert one.subscribers.list()[0].pattern == "session.*"
        one.subscribers.cursor("siem")  # a look by hand changes nothing
        assert one.subscribers.list()[0].pattern == "session.*"


class Awkward:
    """A receiver that fails, and even when it is asked for its name."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, event: Event) -> None:
        self.calls += 1
        if self.calls < 3:
            raise RuntimeError("no")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no") if name == "__qualname__" else AttributeError(name)


def test_no_exception_ends_the_serving(real: SessionManager) -> None:
    awkward = Awkward()
    real.on("session.created", awkward, durable="siem")
    made(real, 1)
    until(lambda: position(real) == 1)
    assert awkward.calls == 3


def test_a_broken_log_filter_ends_no_serving(real: SessionManager) -> None:
    def broken(record: logging.LogRecord) -> bool:
        raise RuntimeError("no")

    logger = logging.getLogger("clawguard.events")
    logger.addFilter(broken)
    try:
        test_no_exception_ends_the_serving(real)
    finally:
        logger.removeFilter(broken)


def test_a_name_is_free_again_where_no_thread_could_be_started(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda self: (_ for _ in ()).throw(RuntimeError("no")))
        with pytest.raises(RuntimeError):
            manager.on("*", print, durable="siem")
    heard: list[Event] = []
    manager.on("*", heard.append, durable="siem")
    made(manager, 1)
    until(lambda: heard)


def test_an_async_receiver_that_exits_is_a_failing_one(real: SessionManager) -> None:
    async def leave(event: Event) -> None:
        raise SystemExit(1)

    real.on("session.created", leave, durable="siem", tries=1)
    made(real, 2)
    until(lambda: len(real.subscribers.parked("siem")) == 2)


def test_an_async_receiver_outlives_the_openers_loop(database: str) -> None:
    heard: list[Event] = []
    begun = threading.Event()

    async def take(event: Event) -> None:
        if not heard and not begun.is_set():
            begun.set()
            await asyncio.sleep(PATIENCE)
        heard.append(event)

    async def opened() -> SessionManager:
        manager = SessionManager.open(database, kek=KEK, sweep_every=None)
        manager.on("session.created", take, durable="siem", tries=1)
        made(manager, 2)
        await asyncio.to_thread(begun.wait, PATIENCE)
        return manager

    manager = asyncio.run(opened())
    try:
        until(lambda: len(heard) == 2)
        assert manager.subscribers.parked("siem") == ()
    finally:
        manager.close()


def test_a_close_in_the_middle_of_a_call_is_no_failure(database: str) -> None:
    begun = threading.Event()

    async def long(event: Event) -> None:
        begun.set()
        await asyncio.sleep(PATIENCE)

    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        manager.on("session.created", long, durable="siem", tries=1)
        expected = made(manager, 1)
        assert begun.wait(PATIENCE)
        server = manager._parts.servers._servers["siem"]
    until(lambda: server is not None and server.is_over)
    heard: list[Event] = []
    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        assert manager.subscribers.parked("siem") == ()
        manager.on("session.created", heard.append, durable="siem", tries=1)
        until(lambda: heard)
    assert ids(heard) == expected


def test_a_closed_log_is_served_no_more(manager: SessionManager) -> None:
    manager.on("*", print, durable="siem")
    server = manager._parts.servers._servers["siem"]
    assert server is not None
    manager.events.close()
    until(lambda: server.is_over)
    manager.close()
    with pytest.raises(StoreUnavailable):
        manager.on("*", print, durable="other")


def test_a_clock_that_was_ahead_keeps_nobody_waiting(database: str, clock: FakeClock) -> None:
    hasty = FakeClock(clock.at)
    with open_manager(database, clock=clock) as manager, open_manager(database, clock=hasty) as ahead:
        made(manager, 1)
        cursor = ahead.subscribers.cursor("poller", after=0)
        hasty.advance(86_400)
        (event,) = cursor.take()
        clock.advance(20)
        other = manager.subscribers.cursor("poller")
        assert other.take() == [event]
        other.move(event)


def test_what_stands_before_an_unreadable_entry_is_given_out(database: str) -> None:
    heard: list[Event] = []
    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        expected = made(manager, 5)
        with raw(database) as connection:
            connection.execute("UPDATE events SET body = '{' WHERE seq = 4")
        manager.on("session.created", heard.append, durable="siem", after=0)
        until(lambda: len(heard) == 3)
        assert ids(heard) == expected[:3]


def test_a_subscriber_to_everything_hears_what_a_newer_version_writes(manager: SessionManager) -> None:
    heard: list[Event] = []
    manager.on("*", heard.append, durable="siem")
    with manager._parts.change(durable=True) as change:
        change.writer.append("memory.added", data={"key": "a"})
    until(lambda: heard)
    assert [event.type for event in heard] == ["memory.added"]


def test_what_would_never_run_is_no_receiver(manager: SessionManager) -> None:
    async def asks(event: Event) -> Any:
        yield event

    def yields(event: Event) -> Any:
        yield event

    for receiver in (asks, yields):
        for durable in (None, "siem"):
            with pytest.raises(InvalidArgument, match="generator"):
                manager.on("*", receiver, durable=durable)
    with pytest.raises(InvalidArgument, match="durable"):
        manager.on("*", print, after=0)


def test_a_move_beyond_the_log_is_refused(manager: SessionManager) -> None:
    made(manager, 1)
    cursor = manager.subscribers.cursor("poller", after=0)
    (event,) = cursor.take()
    with pytest.raises(InvalidArgument, match="event"):
        cursor.move(replace(event, seq=2))
    with pytest.raises(InvalidArgument, match="limit"):
        cursor.take(0)


def test_a_forked_child_is_somebody_else(manager: SessionManager, monkeypatch: pytest.MonkeyPatch) -> None:
    cursor = manager.subscribers.cursor("poller")
    owner = cursor.owner
    monkeypatch.setattr("os.getpid", lambda: 1)
    assert cursor.owner != owner


def test_an_outage_is_no_try_and_parks_nothing(real: SessionManager) -> None:
    heard: list[Event] = []
    outage = iter([ReceiverUnavailable("down")] * 4)

    def take(event: Event) -> None:
        if event.seq == 2:
            for down in outage:
                raise down
        heard.append(event)

    expected = made(real, 3)
    real.on("session.created", take, durable="siem", after=0, tries=1)
    until(lambda: len(heard) == 3)
    assert ids(heard) == expected
    assert real.subscribers.parked("siem") == ()
    assert real.events.read(types="subscriber.parked") == []


def test_the_tries_of_an_outage_are_further_and_further_apart(
    manager: SessionManager, clock: FakeClock
) -> None:
    calls: list[int] = []

    def take(event: Event) -> None:
        calls.append(event.seq)
        raise ReceiverUnavailable("down")

    def waits() -> int:
        return cursor.standing().waits(clock.now())

    made(manager, 1)
    manager.on("session.created", take, durable="siem", after=0)
    cursor = manager.subscribers.cursor("siem")
    rests = []
    for _ in range(8):
        until(waits)
        rests.append(waits() / 1_000_000)
        clock.advance(rests[-1])
    assert rests == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_what_an_outage_says_is_logged_and_what_other_errors_say_is_not(
    real: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Exception] = [ReceiverUnavailable("no route\nto it"), ValueError("hunter2")]

    def take(event: Event) -> None:
        if answers:
            raise answers.pop(0)

    made(real, 1)
    real.on("session.created", take, durable="siem", after=0)
    until(lambda: position(real) == 1)
    assert "the subscriber siem failed on event 1: no route to it" in caplog.messages
    assert "the subscriber siem failed on event 1: ValueError" in caplog.messages
    assert "hunter2" not in caplog.text


def test_a_refused_event_is_parked_at_once_with_what_was_said(real: SessionManager) -> None:
    calls: list[int] = []

    def take(event: Event) -> None:
        calls.append(event.seq)
        if event.seq == 2:
            raise EventRefused("answered 410\nGone" + "!" * 300)

    made(real, 3)
    real.on("session.created", take, durable="siem", after=0)
    until(lambda: position(real) >= 3)
    assert calls == [1, 2, 3]
    (parked,) = real.subscribers.parked("siem")
    (alarm,) = real.events.read(types="subscriber.parked")
    said = ("answered 410 Gone" + "!" * 300)[:255]
    assert (parked.seq, parked.tries, parked.error, alarm.reason) == (2, 1, said, said)


def test_a_parked_event_waits_for_the_end_of_an_outage_too(real: SessionManager) -> None:
    answers: list[Exception] = [EventRefused("no"), ReceiverUnavailable("down"), EventRefused("no")]

    def take(event: Event) -> None:
        if answers:
            raise answers.pop(0)

    made(real, 1)
    real.on("session.created", take, durable="siem", after=0)
    until(lambda: real.subscribers.parked("siem"))
    assert real.subscribers.replay("siem") == 1
    until(lambda: answers == [] and len(real.events.read(types="subscriber.parked")) == 2)
    assert real.subscribers.parked("siem")[0].tries == 2


class Wordless(EventRefused):
    def __init__(self) -> None:
        """Say nothing, not even to the base."""


class Unspeakable(ReceiverFailed):
    def __init__(self) -> None:
        self.message = Awkward()  # type: ignore[assignment]


def test_an_error_that_cannot_be_described_is_one_all_the_same(real: SessionManager) -> None:
    def take(event: Event) -> None:
        if event.seq < 3:
            raise Wordless if event.seq == 1 else Unspeakable

    made(real, 3)
    real.on("session.created", take, durable="siem", after=0, tries=2)
    until(lambda: position(real) >= 3)
    assert [(each.seq, each.tries) for each in real.subscribers.parked("siem")] == [(1, 1), (2, 2)]


def lapses(database: str) -> int:
    return int(rows(database, "SELECT lapses FROM event_cursors")[0][0])


@pytest.mark.parametrize("error", [ReceiverUnavailable("down"), RuntimeError("no")])
def test_who_answers_has_not_lapsed(database: str, clock: FakeClock, error: Exception) -> None:
    def take(event: Event) -> None:
        raise error

    with open_manager(database, clock=clock) as manager:
        made(manager, 1)
        manager.subscribers.cursor("siem", "session.created", after=0)
        with raw(database) as inside:
            inside.execute("UPDATE event_cursors SET lapses = 4")
        manager.on("session.created", take, durable="siem")
        until(lambda: lapses(database) == 0)


def test_who_leaves_a_call_has_not_lapsed(database: str) -> None:
    go = threading.Event()
    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        try:
            for turn in range(7):
                begun = threading.Event()

                def hang(event: Event, begun: threading.Event = begun) -> None:
                    begun.set()
                    go.wait(PATIENCE)

                made(manager, int(turn == 0))
                manager.on("session.created", hang, durable="siem", after=0)
                assert begun.wait(PATIENCE)
                manager._parts.servers._servers["siem"].join(0)  # type: ignore[union-attr]
                manager.off(hang)
            assert lapses(database) == 0
            assert manager.subscribers.parked("siem") == ()
        finally:
            go.set()


def test_a_replay_that_was_left_is_tried_again(real: SessionManager) -> None:
    go, begun, answers = threading.Event(), threading.Event(), [EventRefused("no")]
    heard: list[Event] = []

    def take(event: Event) -> None:
        if answers:
            raise answers.pop()
        begun.set()
        go.wait(PATIENCE)

    made(real, 1)
    try:
        real.on("session.created", take, durable="siem", after=0)
        until(lambda: real.subscribers.parked("siem"))
        assert real.subscribers.replay("siem") == 1
        assert begun.wait(PATIENCE)
        real.off(take)
        real.on("session.created", heard.append, durable="siem")
        until(lambda: heard)
    finally:
        go.set()
