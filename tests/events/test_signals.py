"""The live bus by itself: its queue, its limits, its end."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from functools import partial
from typing import Any

import pytest

from clawguard import Event, InvalidArgument
from clawguard.events.entries import Entry
from clawguard.events.signals import EventBus


def entry(seq: int) -> Entry:
    body = {"id": f"e{seq}", "type": "session.created", "at": seq, "session_id": "s"}
    return Entry(seq, bytes(32), bytes(32), body)


def send(bus: EventBus, *numbers: int) -> None:
    bus.queue([entry(seq) for seq in numbers])
    bus.deliver()


class Reports:
    """Gather what a bus reports."""

    def __init__(self, bus: EventBus) -> None:
        self.lines: list[tuple[str, str, int]] = []
        bus.report = lambda receiver, error, count: self.lines.append((receiver, error, count))


def test_an_unknown_dispatch_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="dispatch"):
        EventBus(dispatch="later")  # type: ignore[arg-type]


def test_nobody_listens_until_somebody_does() -> None:
    bus = EventBus(dispatch="inline")
    assert not bus.wanted
    receiver = bus.on("session.*", lambda event: None)
    assert bus.wanted
    bus.off(receiver)
    assert not bus.wanted
    bus.signals.session_created.connect(print)
    assert bus.wanted


def test_a_weak_receiver_is_let_go_where_that_is_asked() -> None:
    bus = EventBus(dispatch="inline")

    def receiver(sender: object, event: Event) -> None:
        pytest.fail("heard")

    bus.signals.session_created.connect(receiver, weak=True)
    del receiver
    gc.collect()
    send(bus, 1)
    assert not bus.wanted


def test_events_come_in_order_on_one_thread_that_is_not_the_callers() -> None:
    bus = EventBus(dispatch="thread")
    heard: list[tuple[int, int]] = []
    bus.on("session.*", lambda event: heard.append((event.seq, threading.get_ident())))
    for seq in range(1, 101):
        send(bus, seq)
    assert bus.flush(60)
    assert [seq for seq, _ in heard] == list(range(1, 101))
    assert {ident for _, ident in heard}.isdisjoint({threading.get_ident()})
    assert len({ident for _, ident in heard}) == 1
    bus.close()


def test_a_full_queue_drops_and_says_how_many() -> None:
    bus = EventBus(dispatch="thread", capacity=3)
    reports = Reports(bus)
    entered, release = threading.Event(), threading.Event()
    heard: list[int] = []

    def slow(event: Event) -> None:
        entered.set()
        release.wait()
        heard.append(event.seq)

    bus.on("*", slow)
    send(bus, 1)
    entered.wait()
    send(bus, *range(2, 11))
    release.set()
    assert bus.flush(60)
    assert heard == [1, 2, 3, 4]
    assert sum(count for _, error, count in reports.lines if error == "overflow") == 6
    bus.close()


def test_a_slow_async_receiver_is_bounded_too() -> None:
    bus = EventBus(dispatch="thread", capacity=3)
    reports = Reports(bus)

    release = threading.Event()

    async def slow(event: Event) -> None:
        await asyncio.to_thread(release.wait)

    bus.on("*", slow)
    for seq in range(1, 31):
        send(bus, seq)
        bus.flush(0.005)
    release.set()
    assert bus.flush(60)
    bus.close()
    assert any(error == "overflow" for _, error, _ in reports.lines)


@pytest.mark.parametrize("dispatch", ["inline", "thread"])
def test_failures_are_reported_by_name_and_kind_never_by_text(dispatch: Any) -> None:
    bus = EventBus(dispatch=dispatch)
    reports = Reports(bus)

    async def later(event: Event) -> None:
        raise LookupError("secret")

    class Receiver:
        def __call__(self, event: Event) -> None:
            raise ValueError("secret")

    bus.on("*", later)
    bus.on("*", Receiver())
    send(bus, 1)
    assert bus.flush(60)
    assert sorted(error for _, error, _ in reports.lines) == ["LookupError", "ValueError"]
    assert "secret" not in str(reports.lines)
    assert all("later" in name or "Receiver" in name for name, *_ in reports.lines)
    bus.close()


def test_a_receiver_that_waits_for_itself_is_told_no() -> None:
    bus = EventBus(dispatch="thread")
    answers: list[bool] = []
    bus.on("*", lambda event: answers.append(bus.flush(None)))
    send(bus, 1)
    assert bus.flush(60)
    assert answers == [False]
    bus.close()


def test_closing_delivers_what_is_queued() -> None:
    bus = EventBus(dispatch="thread")
    heard: list[int] = []
    bus.on("*", lambda event: heard.append(event.seq))
    send(bus, *range(1, 51))
    bus.close(60)
    assert heard == list(range(1, 51))


def test_closing_does_not_wait_for_ever() -> None:
    bus = EventBus(dispatch="thread")
    release = threading.Event()
    bus.on("*", lambda event: release.wait())
    send(bus, 1)
    bus.close(0.01)
    release.set()


def test_flushing_on_the_openers_own_loop_does_not_deadlock() -> None:
    async def main() -> bool:
        bus = EventBus(dispatch="inline")
        arrived = asyncio.Event()

        async def receiver(event: Event) -> None:
            arrived.set()

        bus.on("*", receiver)
        send(bus, 1)
        early = bus.flush(60)
        await arrived.wait()
        await asyncio.sleep(0)
        return early is False and bus.flush(60)

    assert asyncio.run(main())


class Stop(BaseException):
    """What no `except Exception` catches."""


def test_no_exception_ends_the_dispatching() -> None:
    bus = EventBus(dispatch="thread")
    reports = Reports(bus)
    heard: list[int] = []

    def stop(event: Event) -> None:
        raise Stop

    bus.on("*", stop)
    bus.on("*", lambda event: heard.append(event.seq))
    send(bus, 1, 2)
    send(bus, 3)
    assert bus.flush(60)
    assert heard == [1, 2, 3]
    assert sum(count for _, error, count in reports.lines if error == "Stop") == 3
    bus.close()


def test_a_failure_that_cannot_even_be_reported_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bus = EventBus(dispatch="thread")
    heard: list[int] = []
    bus.on("*", lambda event: heard.append(event.seq))
    hand_out, broken = bus._hand_out, [True]

    def break_once(entry: Entry) -> None:
        if broken.pop() if broken else False:
            raise Stop
        hand_out(entry)

    monkeypatch.setattr(bus, "_hand_out", break_once)
    send(bus, 1)
    send(bus, 2)
    assert bus.flush(60)
    send(bus, 3)
    assert bus.flush(60)
    assert heard == [2, 3]
    bus.close()


def test_where_no_thread_can_be_started_the_next_event_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = EventBus(dispatch="thread")
    heard: list[int] = []
    bus.on("*", lambda event: heard.append(event.seq))

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        send(bus, 1)
    send(bus, 2)
    assert bus.flush(60)
    assert heard == [1, 2]
    bus.close()


def test_an_inline_receiver_does_not_wait_for_itself() -> None:
    bus = EventBus(dispatch="inline")
    answers: list[bool] = []
    bus.on("*", lambda event: answers.append(bus.flush(None)))
    send(bus, 1)
    assert answers == [False]


def test_inline_receivers_of_many_threads_hear_in_order() -> None:
    bus = EventBus(dispatch="inline")
    heard: list[int] = []

    def hear(event: Event) -> None:
        time.sleep(0.0005)
        heard.append(event.seq)

    bus.on("*", hear)
    bus.queue([entry(seq) for seq in range(1, 41)])
    threads = [threading.Thread(target=bus.deliver) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard == list(range(1, 41))


def test_an_async_receiver_may_flush() -> None:
    bus = EventBus(dispatch="thread")
    answers: list[bool] = []

    async def hear(event: Event) -> None:
        answers.append(bus.flush(None))

    bus.on("*", hear)
    send(bus, 1)
    assert bus.flush(60)
    send(bus, 2)
    assert bus.flush(60)
    assert len(answers) == 2
    bus.close()


def test_what_waits_on_a_loop_that_ended_is_reported_and_the_receiver_lives_on() -> None:
    heard: list[int] = []

    async def hear(event: Event) -> None:
        if event.seq < 4:
            await asyncio.sleep(60)
        heard.append(event.seq)

    async def life() -> tuple[EventBus, Reports]:
        bus = EventBus(dispatch="inline")
        bus.on("*", hear)
        send(bus, 1, 2, 3)
        await asyncio.sleep(0.01)
        return bus, Reports(bus)

    bus, reports = asyncio.run(life())
    assert sum(count for _, error, count in reports.lines if error == "CancelledError") == 3
    send(bus, 4)
    assert bus.flush(60)
    assert heard == [4]
    bus.close()


def test_a_bound_method_can_be_taken_off() -> None:
    class Listener:
        def hear(self, event: Event) -> None:
            pytest.fail("heard")

    bus = EventBus(dispatch="inline")
    listener = Listener()
    bus.on("*", listener.hear)
    bus.off(listener.hear)
    send(bus, 1)


def test_flushing_under_a_stream_waits_only_for_what_was_there() -> None:
    bus = EventBus(dispatch="thread", capacity=100_000)
    over = threading.Event()
    bus.on("*", lambda event: over.wait(0.0005))
    numbers = iter(range(1, 1_000_000))

    def stream() -> None:
        while not over.is_set():
            send(bus, next(numbers), next(numbers))
            over.wait(0.0002)

    thread = threading.Thread(target=stream)
    thread.start()
    assert bus.flush(60)
    over.set()
    thread.join()
    bus.close()


def test_many_threads_add_and_remove_receivers_at_once() -> None:
    bus, turns = EventBus(dispatch="inline"), threading.Barrier(8)
    heard: list[tuple[int, int]] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def hear(who: tuple[int, int], _: Event) -> None:
        heard.append(who)

    def add(thread: int) -> None:
        turns.wait()
        for number in range(100):
            left = bus.on("session.*", partial(hear, (thread, number)))
            bus.on("session.*", partial(hear, (thread, -1 - number)))
            bus.off(left)

    try:
        threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    send(bus, 1)
    assert sorted(heard) == sorted((thread, -1 - number) for thread in range(8) for number in range(100))


def test_flushing_after_the_end_does_not_wait_for_ever() -> None:
    bus = EventBus(dispatch="thread")
    bus.on("*", lambda event: None)
    send(bus, 1)
    bus.close()
    while not bus._is_over:
        time.sleep(0.001)
    send(bus, 2)  # by a write that was under way
    assert not bus.flush(None)


def test_what_a_receiver_does_to_its_event_no_other_sees() -> None:
    bus = EventBus(dispatch="inline")
    heard: list[Any] = []

    def spoil(event: Event) -> None:
        data: Any = event.data
        data["list"].clear()

    bus.on("*", spoil)
    bus.on("*", lambda event: heard.append(event.data))
    bus.signals.session_created.connect(lambda sender, event: heard.append(event.data))
    made = entry(1)
    made.body["data"] = {"list": [1]}
    bus.queue([made])
    bus.deliver()
    assert heard == [{"list": [1]}] * 2


def test_an_inline_receiver_may_wait_for_another_thread_that_writes() -> None:
    bus = EventBus(dispatch="inline")
    heard: list[int] = []

    def receiver(event: Event) -> None:
        if event.seq == 1:
            other = threading.Thread(target=send, args=(bus, 2))
            other.start()
            other.join(30)
            assert not other.is_alive()
        heard.append(event.seq)

    bus.on("*", receiver)
    send(bus, 1)
    assert heard == [1, 2]


def test_a_weakly_held_async_method_is_called_one_event_after_the_other() -> None:
    class Listener:
        def __init__(self) -> None:
            self.running = self.most = 0
            self.order: list[int] = []

        async def hear(self, sender: object, event: Event) -> None:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0.01 if event.seq % 2 else 0)
            self.order.append(event.seq)
            self.running -= 1

    bus, listener = EventBus(dispatch="inline"), Listener()
    bus.signals.session_created.connect(listener.hear, weak=True)
    send(bus, 1, 2, 3, 4)
    assert bus.flush(30)
    assert (listener.most, listener.order) == (1, [1, 2, 3, 4])
    bus.close()


def test_a_loop_that_a_receiver_has_ended_is_followed_by_another() -> None:
    bus = EventBus(dispatch="inline")
    heard: list[int] = []

    async def spoil(event: Event) -> None:
        if event.seq == 1:
            asyncio.get_running_loop().stop()

    async def hear(event: Event) -> None:
        heard.append(event.seq)

    bus.on("*", spoil)
    send(bus, 1)
    loop = bus._coroutines._background
    assert loop is not None
    while not loop.is_closed():
        time.sleep(0.001)
    bus.on("*", hear)
    send(bus, 2)
    assert bus.flush(30)
    assert heard == [2]
    bus.close()
    send(bus, 3)


def test_the_remains_of_a_closed_loop_end_nothing_that_runs_elsewhere() -> None:
    started: list[int] = []
    ended: list[int] = []
    buses: list[EventBus] = []

    async def receiver(event: Event) -> None:
        started.append(event.seq)
        await asyncio.sleep(10 if event.seq == 1 else 0.2)
        ended.append(event.seq)

    async def open_and_leave() -> None:
        bus = EventBus(dispatch="inline")
        buses.append(bus)
        bus.on("*", receiver)
        send(bus, 1)
        await asyncio.sleep(0.05)

    loop = asyncio.new_event_loop()
    loop.run_until_complete(open_and_leave())
    loop.close()
    (bus,) = buses
    send(bus, 2)
    while 2 not in started:
        time.sleep(0.001)
    gc.collect()
    assert bus.flush(30)
    assert ended == [2]
    bus.close()
