"""Closing: what was gathered and queued is not lost, whatever receivers do, and the store is let go."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from clawguard import Event, InsufficientScope, SessionManager, StoreUnavailable
from tests.openers import open_manager


def test_the_failures_of_the_last_receivers_are_in_the_log(database: str) -> None:
    with open_manager(database, dispatch="thread") as manager:

        @manager.on("session.created")
        def fail(event: Event) -> None:
            time.sleep(0.05)
            raise ValueError

        manager.create("a", scopes="x")
    with open_manager(database) as again:
        assert [each.type for each in again.events.read()] == ["session.created", "subscriber.failed"]


def test_a_receiver_that_ends_the_background_loop_keeps_no_store_open() -> None:
    manager = open_manager(dispatch="thread")

    async def spoil(event: Event) -> None:
        asyncio.get_running_loop().stop()

    manager.on("session.created", spoil)
    manager.create("a", scopes="x")
    manager.events.flush(0.5)
    manager.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        manager.create("a", scopes="x")


def test_a_receiver_may_do_what_the_sweeper_does() -> None:
    with open_manager() as manager:
        done: list[int] = []
        manager.on("guard.denied", lambda event: done.append(manager.prune_expired()))
        with pytest.raises(InsufficientScope):
            manager.validate(manager.create("a", scopes="x").token, require="y")
        manager.prune_expired()
        assert done == [0]


def test_a_receiver_may_close_while_the_sweeper_delivers() -> None:
    manager = SessionManager.open(":memory:", dispatch="inline", sweep_every=0.05)
    swept = threading.Event()

    def receiver(event: Event) -> None:
        if event.agent_id == "second":
            swept.wait(0.5)
            manager.close()
        elif event.type == "session.expired":
            swept.set()

    manager.on("session.*", receiver)
    manager.create("first", scopes="x", ttl=0.1)
    time.sleep(0.1)
    manager.create("second", scopes="x")


def test_writers_and_flushers_under_a_close_all_return() -> None:
    for _ in range(10):
        manager = open_manager(dispatch="thread")
        manager.on("session.*", lambda event: None)

        def work(manager: SessionManager = manager) -> None:
            try:
                while True:
                    manager.revoke(manager.create("a", scopes="x"))
                    manager.events.flush()
            except StoreUnavailable:
                return

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        time.sleep(0.005)
        manager.close()
        thread.join(30)
        assert not thread.is_alive()


def test_the_last_export_of_a_checkpoint_is_written_at_the_end() -> None:
    made: list[int] = []
    with open_manager() as manager:
        manager.events.checkpoints(lambda checkpoint: made.append(checkpoint.size))
        manager.create("a", scopes="x")
        manager.prune_expired()
        assert made == [1]
        manager.create("a", scopes="x")
        manager.prune_expired()
        assert made == [1], "the next one is not due yet"
    assert made == [1, 2]
