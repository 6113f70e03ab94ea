"""The faults of the libraries before this one, one promise each."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from clawguard import (
    Event,
    SessionManager,
    SessionNotFound,
    StoreBusy,
    StoreUnavailable,
    TokenSuperseded,
)
from tests.clocks import FakeClock
from tests.openers import open_manager, raw

Breakage = Callable[[Path], Any]


def test_the_old_token_is_refused_after_a_refresh(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    renewed = manager.refresh(made)
    with pytest.raises(TokenSuperseded):
        manager.validate(made.token)
    manager.validate(renewed.token)


def test_a_token_carries_its_own_sessions_id_and_scopes(manager: SessionManager) -> None:
    made = [manager.create(f"a{number}", scopes=f"x:{number}") for number in range(5)]
    made.append(manager.delegate(made[0], "b", scopes="x:0"))
    made.append(manager.refresh(made[1]))
    for each in made:
        claims = manager.inspect(each.token).claims
        assert claims is not None
        assert (claims["sid"], claims["scope"], claims["client_id"]) == (
            each.id,
            str(each.scopes),
            each.agent_id,
        )
        assert (claims["jti"], claims["gen"]) == (each.jti, each.generation)


@contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """Let no file grow beyond what the write-ahead log has now."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = path.with_name(path.name + "-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def lock_held(path: Path) -> Iterator[None]:
    """Hold the writers' lock as another process would."""
    descriptor = os.open(path.with_name(path.name + "-lock"), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def log_refuses(path: Path) -> Iterator[None]:
    """Let the database itself refuse the event that belongs to the change."""
    with raw(path) as database:
        database.execute("CREATE TRIGGER no BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
        yield
        database.execute("DROP TRIGGER no")


@pytest.mark.parametrize("broken", [disk_full, lock_held, log_refuses])
@pytest.mark.parametrize("verb", ["revoke", "end", "invalidate", "refresh", "revoke_all", "delegate", "name"])
def test_attack_73_a_failing_store_makes_every_change_raise_and_leaves_all_as_it_was(
    tmp_path: Path, broken: Breakage, verb: str
) -> None:
    path = tmp_path / "clawguard.db"
    heard: list[Event] = []
    with open_manager(path, lock_timeout=0.02) as manager:
        made = manager.create("a", scopes="x")
        child = manager.delegate(made, "b", scopes="x")
        manager.on("*", heard.append)
        before = [each.to_dict() for each in manager.sessions.tree(made)]
        calls: dict[str, Callable[[], object]] = {
            "revoke": lambda: manager.revoke(made),
            "end": lambda: manager.end(made),
            "invalidate": lambda: manager.invalidate(made),
            "refresh": lambda: manager.refresh(made),
            "revoke_all": lambda: manager.revoke_all_for_agent("a"),
            "delegate": lambda: manager.delegate(made, "c", scopes="x"),
            "name": lambda: manager.activity.set_name(made, "n"),
        }
        with broken(path), pytest.raises(StoreUnavailable) as refusal:
            calls[verb]()
        assert isinstance(refusal.value, StoreBusy) == (broken is lock_held)
        assert [each.to_dict() for each in manager.sessions.tree(made)] == before
        manager.validate(made.token)
        manager.validate(child.token)
        assert heard == []
        assert manager.events.verify().count == 2
        assert calls[verb]()


def test_attack_72_the_first_end_wins_and_is_one_event(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    assert manager.revoke(made, reason="first")
    assert not manager.end(made)
    assert not manager.revoke(made, reason="second")
    assert manager.revoke_all_for_agent("a").count == 0
    kept = manager.get_session(made.id)
    assert (kept.cause, kept.reason, kept.version) == ("revoked", "first", 2)
    with pytest.raises(SessionNotFound):
        manager.revoke("0190d2a0-1111-7000-8000-000000000001")
    assert len(manager.events.read(types="session.expired")) == 1


def test_of_many_racing_ends_one_wins(tmp_path: Path) -> None:
    with open_manager(tmp_path / "c.db") as manager:
        made = [manager.create("a", scopes="x") for _ in range(20)]
        verbs = (manager.revoke, manager.end, manager.invalidate)
        won: list[str] = []

        def race(verb: Callable[[Any], bool]) -> None:
            won.extend(each.id for each in made if verb(each))

        threads = [threading.Thread(target=race, args=(verb,)) for verb in verbs]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert sorted(won) == sorted(each.id for each in made)
        assert len(manager.events.read(types="session.expired")) == 20


# receivers


def test_a_receiver_that_raises_does_no_harm(manager: SessionManager) -> None:
    heard: list[Event] = []

    def broken(event: Event) -> None:
        raise RuntimeError("secret text")

    manager.on("session.*", broken)
    manager.on("session.*", heard.append)
    manager.signals.session_created.connect(lambda sender, event: 1 / 0)
    made = manager.create("a", scopes="x")
    assert manager.revoke(made)
    assert [each.type for each in heard] == ["session.created", "session.expired"]
    manager.prune_expired()
    failed = manager.events.read(types="subscriber.failed")
    assert {each.reason for each in failed} == {"RuntimeError", "ZeroDivisionError"}
    assert "secret text" not in str(failed)


def test_a_receiver_that_blocks_for_ever_delays_no_operation(url: str, clock: FakeClock) -> None:
    release = threading.Event()
    heard: list[Event] = []

    def block(event: Event) -> None:
        heard.append(event)
        release.wait()

    with open_manager(url, clock=clock, dispatch="thread") as manager:
        manager.on("session.*", block)
        made = [manager.create("a", scopes="x") for _ in range(20)]
        for each in made:
            manager.refresh(each)
            assert manager.revoke(each)
        assert manager.events.flush(0.01) is False
        told = [each.id for each in manager.events.read(limit=1_000)]
        release.set()
        assert manager.events.flush(60) is True
        assert [each.id for each in heard] == told
        assert len(told) == 60


def test_a_lambda_is_held_and_heard(url: str) -> None:
    heard: list[str] = []
    with open_manager(url, dispatch="thread") as manager:
        manager.on("session.*", lambda event: heard.append(event.type))
        manager.signals.session_created.connect(lambda sender, event: heard.append("signal"))
        gc.collect()
        manager.create("a", scopes="x")
        assert manager.events.flush(60)
    assert heard == ["session.created", "signal"]


def test_an_async_receiver_hears_in_order(url: str) -> None:
    heard: list[str | None] = []

    async def receiver(event: Event) -> None:
        await asyncio.sleep(0)
        heard.append(event.session_id)

    with open_manager(url, dispatch="thread") as manager:
        manager.on("session.*", receiver)
        made = [manager.create("a", scopes="x").id for _ in range(10)]
        assert manager.events.flush(60)
    assert heard == made


def test_an_async_receiver_runs_on_the_openers_loop(url: str) -> None:
    heard: list[asyncio.AbstractEventLoop] = []

    async def main() -> bool:
        arrived = asyncio.Event()

        async def receiver(event: Event) -> None:
            heard.append(asyncio.get_running_loop())
            arrived.set()

        with open_manager(url, dispatch="thread") as manager:
            manager.on("session.*", receiver)
            await asyncio.to_thread(manager.create, "a", scopes="x")
            await arrived.wait()
        return heard == [asyncio.get_running_loop()]

    assert asyncio.run(main())


@pytest.mark.parametrize("dispatch", ["thread", "inline"])
def test_a_receiver_may_call_back_into_the_manager(url: str, dispatch: Any) -> None:
    with open_manager(url, dispatch=dispatch) as manager:

        def revoke(event: Event) -> None:
            assert event.session_id is not None
            manager.revoke(event.session_id, reason="seen")
            manager.events.flush(0.01)

        manager.on("session.created", revoke)
        made = manager.create("a", scopes="x")
        assert manager.events.flush(60)
        assert manager.get_session(made.id).reason == "seen"


def test_every_receiver_hears_in_commit_order_when_another_calls_back() -> None:
    first: list[int] = []
    second: list[int] = []
    with open_manager() as manager:

        def again(event: Event) -> None:
            first.append(event.seq)
            if event.seq == 1:
                manager.create("b", scopes="x")

        manager.on("session.*", again)
        manager.on("session.*", lambda event: second.append(event.seq))
        manager.create("a", scopes="x")
    assert (first, second) == ([1, 2], [1, 2])


def test_a_receiver_that_exits_does_not_silence_the_others() -> None:
    heard: list[int] = []

    def leave(event: Event) -> None:
        raise SystemExit

    with open_manager(dispatch="thread") as manager:
        manager.on("session.*", leave)
        manager.on("session.*", lambda event: heard.append(event.seq))
        manager.create("a", scopes="x")
        manager.create("a", scopes="x")
        assert manager.events.flush(60)
    assert heard == [1, 2]


def test_an_async_receiver_that_is_cancelled_hears_the_next_event() -> None:
    heard: list[int] = []

    async def receiver(event: Event) -> None:
        heard.append(event.seq)
        raise asyncio.CancelledError

    with open_manager(dispatch="thread") as manager:
        manager.on("session.*", receiver)
        manager.create("a", scopes="x")
        manager.events.flush(60)
        manager.create("a", scopes="x")
        manager.events.flush(60)
    assert heard == [1, 2]
