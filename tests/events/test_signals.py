"""The live bus by itself: its queue, its limits, its end."""

from __future__ import annotations

import asyncio
import gc
import threading
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
