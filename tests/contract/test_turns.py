"""Turns: one block at a time works on a session, in order; who is silent is taken over from, and told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import clawguard.sessions.tickets
from clawguard import (
    AsyncSessionManager,
    InvalidArgument,
    Session,
    SessionEnded,
    SessionManager,
    SessionNotFound,
)
from clawguard.errors import StoreBusy, TurnLost, TurnQueueFull, TurnTimeout
from clawguard.sessions.turns import Turn
from tests.clocks import FakeClock

LEASE = 15
PATIENCE = 60.0


def tickets(manager: SessionManager, session: Session) -> list[Any]:
    return manager._parts.store.read("turn.queue", session_id=session.id)


def all_there_is(manager: SessionManager, session: Session) -> tuple[object, ...]:
    return manager.get_session(session.id), manager.events.last(), tickets(manager, session)


def wait_until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def fall_silent(manager: SessionManager, turn: Turn) -> None:
    """Leave a turn as a process does that was stopped: its lease is not renewed any more."""
    manager._parts.heartbeat.let_go(turn)


Became = list[Turn | Exception]
Waiting = Callable[..., Became]


@pytest.fixture
def waiting(manager: SessionManager) -> Iterator[Waiting]:
    """Give a function that waits for a turn in a thread; what becomes of it will stand in a list."""
    threads: list[threading.Thread] = []

    def start(session: Session, **wish: Any) -> Became:
        became: Became = []
        before = len(tickets(manager, session))

        def wait() -> None:
            try:
                with manager.activity.turn(session, **{"timeout": None, **wish}) as turn:
                    became.append(turn)
            except Exception as error:
                became.append(error)

        threads.append(threading.Thread(target=wait))
        threads[-1].start()
        wait_until(lambda: len(tickets(manager, session)) > before or bool(became))
        return became

    yield start
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


@pytest.fixture
def made(manager: SessionManager) -> Session:
    return manager.create("a", scopes="x")


def test_a_turn_is_running_and_then_idle(manager: SessionManager, clock: FakeClock, made: Session) -> None:
    with manager.activity.turn(made, turn_id="t") as turn:
        held = manager.get_session(made.id)
        assert turn.session == held
        assert (held.state, held.turn_id, held.turn_started_at) == ("running", "t", clock.datetime)
        assert [each.id for each in manager.activity.running()] == [made.id]
        turn.check()
    left = manager.get_session(made.id)
    assert (left.state, left.turn_id, left.turn_started_at) == ("idle", None, None)
    assert tickets(manager, made) == []
    told = [event.data["fields"] for event in manager.events.read(types="session.updated")]
    assert told == [["state", "turn_id", "turn_started_at"], ["state"]]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), asyncio.CancelledError()])
def test_a_block_that_raises_leaves_an_error_and_the_turn_that_failed(
    manager: SessionManager, made: Session, error: BaseException
) -> None:
    with pytest.raises(type(error)), manager.activity.turn(made) as turn:
        raise error
    left = manager.get_session(made.id)
    assert (left.state, left.turn_id, left.turn_started_at) == ("error", turn.id, None)
    with manager.activity.turn(made):
        pass


def test_turns_begin_in_the_order_in_which_they_were_asked_for(
    manager: SessionManager, made: Session
) -> None:
    order: list[int] = []

    def work(number: int) -> None:
        with manager.activity.turn(made, timeout=None) as turn:
            turn.check()
            order.append(number)

    with manager.activity.turn(made):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for count, thread in enumerate(threads, start=2):
            thread.start()
            wait_until(lambda count=count: len(tickets(manager, made)) == count)  # type: ignore[misc]
        assert order == []
    for thread in threads:
        thread.join(PATIENCE)
    assert order == [0, 1, 2, 3, 4, 5]


def test_a_number_grows_from_turn_to_turn(manager: SessionManager, made: Session) -> None:
    numbers = []
    for _ in range(3):
        with manager.activity.turn(made) as turn:
            numbers.append(turn.number)
    assert numbers == sorted(set(numbers))


def test_a_full_queue_refuses_at_once_and_nothing_changes(
    manager: SessionManager, made: Session, waiting: Waiting
) -> None:
    with manager.activity.turn(made):
        waiting(made, queue=1)
        before = all_there_is(manager, made)
        with (
            pytest.raises(TurnQueueFull, match="no more than 1") as refusal,
            manager.activity.turn(made, queue=1),
        ):
            pytest.fail("it began")
        assert (refusal.value.session_id, refusal.value.queue) == (made.id, 1)
        assert not isinstance(refusal.value, TurnTimeout)
        assert all_there_is(manager, made) == before
        with pytest.raises(TurnQueueFull), manager.activity.turn(made, queue=0):
            pytest.fail("it began")


def test_a_wait_in_vain_ends_and_nothing_changes(
    manager: SessionManager, clock: FakeClock, made: Session, waiting: Waiting
) -> None:
    with manager.activity.turn(made, lease=3_600):
        before = all_there_is(manager, made)
        with pytest.raises(TurnTimeout) as refusal, manager.activity.turn(made, timeout=0):
            pytest.fail("it began")
        assert not isinstance(refusal.value, TurnQueueFull)
        became = waiting(made, timeout=30)
        clock.advance(29)
        time.sleep(0.2)
        assert became == []
        clock.advance(1)
        wait_until(lambda: bool(became))
        assert [type(each) for each in became] == [TurnTimeout]
        assert all_there_is(manager, made) == before
    with manager.activity.turn(made, timeout=0):
        pass


def test_who_waits_is_woken_by_the_commit_and_not_by_the_next_look(
    manager: SessionManager, made: Session, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Turn, "_rest", lambda _: 2 * PATIENCE)
    with manager.activity.turn(made):
        became = waiting(made)
    wait_until(lambda: bool(became))

    async def wait() -> None:
        async with AsyncSessionManager(manager).activity.turn(made):
            pytest.fail("it began")

    async def run() -> None:
        with manager.activity.turn(made):
            task = asyncio.create_task(wait())
            await asyncio.to_thread(wait_until, lambda: len(tickets(manager, made)) == 2)
            manager.revoke(made)
            with pytest.raises(SessionEnded):
                await task

    asyncio.run(run())


def test_a_session_that_is_over_has_no_turns(
    manager: SessionManager, clock: FakeClock, made: Session
) -> None:
    due = manager.create("a", scopes="x", ttl=10)
    manager.revoke(made)
    clock.advance(10)
    for session, cause in ((made, "revoked"), (due, "ttl")):
        with pytest.raises(SessionEnded, match=cause), manager.activity.turn(session):
            pytest.fail("it began")
    assert manager.get_session(due.id).cause == "ttl"
    with pytest.raises(SessionNotFound), manager.activity.turn("0190d2a0-1111-7000-8000-000000000001"):
        pytest.fail("it began")


@pytest.mark.parametrize("how", ["revoked", "ttl"])
def test_the_end_of_a_session_ends_the_wait_and_is_told_to_the_holder(
    manager: SessionManager, clock: FakeClock, waiting: Waiting, how: str
) -> None:
    made = manager.create("a", scopes="x", ttl=600)
    with manager.activity.turn(made, lease=3_600) as turn:  # to leave it is no error, as with `use`
        became = waiting(made)
        manager.revoke(made) if how == "revoked" else clock.advance(600)
        wait_until(lambda: bool(became))
        assert [(type(each), getattr(each, "cause", None)) for each in became] == [(SessionEnded, how)]
        with pytest.raises(SessionEnded, match=how):
            turn.check()
    assert tickets(manager, made) == []
    assert manager.get_session(made.id).cause == how


def test_a_silent_holder_is_taken_over_from_and_told(
    manager: SessionManager, clock: FakeClock, made: Session
) -> None:
    turn = manager.activity.turn(made, turn_id="t").__enter__()
    fall_silent(manager, turn)
    clock.advance(LEASE - 1)
    with pytest.raises(TurnTimeout), manager.activity.turn(made, timeout=0):
        pytest.fail("it began too early")
    clock.advance(1)
    turn.check()  # nobody wanted it yet
    with manager.activity.turn(made, timeout=0) as other:
        with pytest.raises(TurnLost):
            turn.check()
        assert other.number > turn.number
        assert manager.get_session(made.id).turn_id == other.id
        after = manager.get_session(made.id)
        with pytest.raises(TurnLost) as told:
            turn.__exit__(None, None, None)
        assert manager.get_session(made.id) == after, "who had lost its turn changed something on leaving"
        other.check()
    assert (told.value.session_id, told.value.turn_id) == (made.id, "t")


def test_a_holder_that_wakes_before_anybody_came_keeps_its_turn(
    manager: SessionManager, clock: FakeClock, made: Session
) -> None:
    with manager.activity.turn(made) as turn:
        fall_silent(manager, turn)
        clock.advance(LEASE)
        manager._parts.heartbeat._beat([turn])
        with pytest.raises(TurnTimeout), manager.activity.turn(made, timeout=0):
            pytest.fail("it began")


def test_what_a_block_raises_is_not_hidden_by_a_lost_turn(
    manager: SessionManager, clock: FakeClock, made: Session, caplog: pytest.LogCaptureFixture
) -> None:

    def work() -> None:
        with manager.activity.turn(made, turn_id="t") as turn:
            fall_silent(manager, turn)
            clock.advance(LEASE)
            with manager.activity.turn(made, timeout=0):
                pass
            raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        work()
    assert "the turn t was lost before its block failed" in caplog.text


def test_a_turn_that_goes_on_for_many_leases_is_kept(
    manager: SessionManager, clock: FakeClock, made: Session, waiting: Waiting
) -> None:
    with manager.activity.turn(made, lease=0.3) as turn:
        became = waiting(made, lease=3_600)
        for _ in range(5):
            clock.advance(0.2)
            now = clock.now()
            wait_until(lambda now=now: tickets(manager, made)[0][3] >= now + 300_000)  # type: ignore[misc]
        turn.check()
        assert became == []


def test_who_waits_keeps_its_ticket_for_many_leases(
    manager: SessionManager, clock: FakeClock, made: Session, waiting: Waiting
) -> None:
    with manager.activity.turn(made, lease=3_600):
        became = waiting(made)
        [_, (number, *_)] = tickets(manager, made)
        for _ in range(5):
            clock.advance(LEASE - 1)
            now = clock.now()
            wait_until(lambda now=now: tickets(manager, made)[1][3] > now + 1_000_000)  # type: ignore[misc]
        assert [ticket[0] for ticket in tickets(manager, made)[1:]] == [number]
        assert became == []


@pytest.mark.parametrize(
    ("wish", "rest"),
    [
        ({"timeout": None}, 0.25),
        ({"timeout": None, "lease": 0.3}, 0.1),
        ({"timeout": 100.05}, 0.05),
        ({"timeout": 99}, 0.0),
    ],
)
def test_who_waits_looks_in_time_for_its_lease_and_its_timeout(
    manager: SessionManager, clock: FakeClock, made: Session, wish: dict[str, Any], rest: float
) -> None:
    turn = manager.activity.turn(made, **wish)
    turn._enter()
    assert 0 < turn._rest() <= 0.005
    clock.advance(100)
    assert turn._rest() == pytest.approx(rest)


def test_a_short_lease_is_renewed_beside_a_long_one(
    manager: SessionManager, clock: FakeClock, made: Session
) -> None:
    other = manager.create("b", scopes="x")
    with manager.activity.turn(made, lease=3_600):
        wait_until(lambda: manager._parts.heartbeat._sleeps_until < math.inf)
        with manager.activity.turn(other, lease=0.3):
            clock.advance(0.2)
            wait_until(lambda: tickets(manager, other)[0][3] >= clock.now() + 300_000)


@pytest.mark.parametrize(("ahead", "blocks"), [(4, True), (3_600, False)])
def test_a_lease_of_a_clock_that_was_ahead_blocks_for_no_longer_than_a_step_of_it(
    manager: SessionManager, clock: FakeClock, made: Session, ahead: float, blocks: bool
) -> None:
    turn = manager.activity.turn(made)
    turn.__enter__()
    fall_silent(manager, turn)
    clock.advance(ahead)
    manager._parts.heartbeat._beat([turn])
    clock.set_back(ahead)
    if blocks:
        with pytest.raises(TurnTimeout), manager.activity.turn(made, timeout=0):
            pytest.fail("a step of the clock ended a lease")
        turn.__exit__(None, None, None)
    with manager.activity.turn(made, timeout=0):
        pass


def test_a_turn_that_nobody_refers_to_any_more_is_not_kept(manager: SessionManager, made: Session) -> None:
    turn = manager.activity.turn(made)
    turn.__enter__()
    assert len(manager._parts.heartbeat._next) == 1
    del turn
    gc.collect()
    assert len(manager._parts.heartbeat._next) == 0


def test_a_state_set_by_hand_takes_the_turn_from_its_holder(
    manager: SessionManager, made: Session, waiting: Waiting
) -> None:
    turn = manager.activity.turn(made).__enter__()
    became = waiting(made)
    with pytest.raises(InvalidArgument, match="a turn is held"):
        manager.activity.set_state(made, "running", turn_id="mine")
    turn.check()
    manager.activity.set_state(made, "error")
    wait_until(lambda: bool(became) and tickets(manager, made) == [])
    for call in (turn.check, lambda: turn.__exit__(None, None, None)):
        with pytest.raises(TurnLost):
            call()
    assert isinstance(became[0], Turn)
    assert manager.get_session(made.id).state == "idle"


def test_a_state_set_by_hand_makes_nobody_wait(manager: SessionManager, made: Session) -> None:
    manager.activity.set_state(made, "running", turn_id="crashed")
    with manager.activity.turn(made, timeout=0) as turn:
        assert manager.get_session(made.id).turn_id == turn.id


def test_a_turn_that_hangs_is_stuck_by_its_age_and_a_silent_one_at_once(
    manager: SessionManager, clock: FakeClock, made: Session
) -> None:
    other = manager.create("b", scopes="x")
    with manager.activity.turn(made, lease=3_600):
        clock.advance(1)
        fall_silent(manager, silent := manager.activity.turn(other).__enter__())
        assert manager.activity.stuck(600) == ()
        clock.advance(LEASE)
        assert [each.id for each in manager.activity.stuck(600)] == [other.id]
        clock.advance(600)
        assert [each.id for each in manager.activity.stuck(600)] == [made.id, other.id]
        silent.__exit__(None, None, None)


def test_who_waits_and_dies_is_passed_over(
    manager: SessionManager, clock: FakeClock, made: Session, waiting: Waiting
) -> None:
    stand = manager.activity._desk.tickets.stand
    with manager.activity.turn(made, lease=3_600):
        stand(manager.activity.turn(made)._wish, None)
        became = waiting(made, lease=3_600)
        with pytest.raises(TurnQueueFull), manager.activity.turn(made, queue=2):
            pytest.fail("it began")
        clock.advance(LEASE)
        with pytest.raises(TurnTimeout), manager.activity.turn(made, queue=2, timeout=0):
            pytest.fail("it began")
    wait_until(lambda: bool(became))
    assert isinstance(became[0], Turn)
    wait_until(lambda: tickets(manager, made) == [])


def test_who_was_passed_over_stands_again_behind_all_others(
    manager: SessionManager, clock: FakeClock, made: Session
) -> None:
    tickets_ = manager.activity._desk.tickets
    with manager.activity.turn(made):
        late = manager.activity.turn(made)._wish
        before = tickets_.stand(late, None).number
        clock.advance(LEASE)
    with manager.activity.turn(made) as turn:
        again = tickets_.stand(late, before)
        assert again.session is None
        assert before < turn.number < again.number
    assert tickets_.stand(late, again.number).session is not None


def test_a_purge_takes_what_the_dead_have_left(
    manager: SessionManager, clock: FakeClock, made: Session
) -> None:
    turn = manager.activity.turn(made)
    turn.__enter__()
    fall_silent(manager, turn)
    manager.revoke(made)
    clock.advance(10)
    assert manager.sessions.purge(older_than=5) == 1
    assert tickets(manager, made) == []
    with pytest.raises(SessionNotFound):
        turn.check()
    turn.__exit__(None, None, None)


@pytest.mark.parametrize("fails", [False, True])
def test_a_turn_that_cannot_be_given_back_says_so_and_hides_no_error(
    manager: SessionManager, made: Session, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    def busy(*_: object, **__: object) -> bool:
        raise StoreBusy("locked")

    def work() -> None:
        with manager.activity.turn(made):
            if fails:
                raise ValueError

    monkeypatch.setattr(manager.activity._desk.tickets, "leave", busy)
    with pytest.raises(ValueError if fails else StoreBusy):
        work()
    assert len(manager._parts.heartbeat._next) == 0


def test_a_turn_is_entered_once(manager: SessionManager, made: Session) -> None:
    turn = manager.activity.turn(made)
    with pytest.raises(InvalidArgument, match="has not begun"):
        turn.check()
    with pytest.raises(InvalidArgument, match="has not begun"):
        _ = turn.session
    with turn, pytest.raises(InvalidArgument, match="entered before"):
        turn.__enter__()
    assert repr(turn) == f"Turn({turn.id!r})"


def test_a_session_of_another_workspace_is_unknown(manager: SessionManager, made: Session) -> None:
    with pytest.raises(SessionNotFound), manager.activity.turn(made, workspace_id="w"):
        pytest.fail("it began")


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("queue", -1),
        ("queue", 1.5),
        ("queue", True),
        ("timeout", -1),
        ("timeout", "5"),
        ("timeout", float("nan")),
        ("lease", 0.05),
        ("lease", 0),
        ("lease", None),
        ("turn_id", ""),
        ("turn_id", "a\n"),
        ("session", "a.b.c"),
    ],
)
def test_a_bad_argument_is_named_and_changes_nothing(
    manager: SessionManager, made: Session, argument: str, value: object
) -> None:
    before = all_there_is(manager, made)
    with pytest.raises(InvalidArgument) as refusal:
        manager.activity.turn(**{"session": made, argument: value})  # type: ignore[arg-type]
    assert refusal.value.argument == argument
    assert all_there_is(manager, made) == before


def test_awaited_turns_are_one_at_a_time_for_more_tasks_than_threads(
    manager: SessionManager, made: Session
) -> None:
    inside: list[int] = []
    numbers: list[int] = []

    async def work(awaited: AsyncSessionManager) -> None:
        async with awaited.activity.turn(made, queue=100, timeout=None) as turn:
            inside.append(turn.number)
            await asyncio.sleep(0)
            turn.check()
            assert inside == [turn.number]
            inside.remove(turn.number)
            numbers.append(turn.number)

    async def run() -> None:
        awaited = AsyncSessionManager(manager)
        await asyncio.gather(*(work(awaited) for _ in range(50)))

    asyncio.run(run())
    assert numbers == sorted(numbers)
    assert len(numbers) == 50
    assert manager.get_session(made.id).state == "idle"


@pytest.mark.parametrize("what", ["end", "loss"])
def test_an_awaited_block_is_cancelled_by_the_end_and_by_a_loss(
    manager: SessionManager, made: Session, what: str
) -> None:
    async def run() -> None:
        awaited = AsyncSessionManager(manager)
        async with awaited.activity.turn(made):
            if what == "end":
                await awaited.revoke(made)
            else:
                await awaited.activity.set_state(made, "idle")
            await asyncio.sleep(PATIENCE)
            pytest.fail("it went on")

    with pytest.raises(SessionEnded if what == "end" else TurnLost):
        asyncio.run(run())
    assert tickets(manager, made) == []


def test_an_awaited_block_that_ends_as_it_is_refused_says_why(manager: SessionManager, made: Session) -> None:
    async def run() -> None:
        async with AsyncSessionManager(manager).activity.turn(made) as turn:
            manager.activity.set_state(made, "idle")
            while turn._watch.refusal is None:
                try:
                    await asyncio.sleep(0.01)
                except asyncio.CancelledError:
                    return

    with pytest.raises(TurnLost):
        asyncio.run(run())


def test_a_cancelled_wait_leaves_the_queue(manager: SessionManager, made: Session) -> None:
    async def wait(awaited: AsyncSessionManager) -> None:
        async with awaited.activity.turn(made, timeout=None):
            pytest.fail("it began")

    async def run() -> None:
        awaited = AsyncSessionManager(manager)
        async with awaited.activity.turn(made, timeout=None):
            for rest in (0, 0.001, 0.01, 0.1):  # before, amid and after it stands in the queue
                task = asyncio.create_task(wait(awaited))
                await asyncio.sleep(rest)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert len(tickets(manager, made)) == 1

    asyncio.run(run())
    assert tickets(manager, made) == []


@pytest.mark.parametrize("late", ["before", "after"])
@pytest.mark.parametrize("cancels", [1, 2])
def test_a_wait_that_is_cancelled_as_its_turn_begins_gives_it_back(
    manager: SessionManager, made: Session, monkeypatch: pytest.MonkeyPatch, cancels: int, late: str
) -> None:
    stands = manager.activity._desk.tickets.stand
    stood = threading.Event()

    def slowly(*args: Any, **given: Any) -> Any:
        if late == "before":
            stood.set()
            time.sleep(0.1)
        stand = stands(*args, **given)
        stood.set()
        time.sleep(0.1)
        return stand

    async def take() -> None:
        async with AsyncSessionManager(manager).activity.turn(made):
            pytest.fail("it began")

    async def run() -> None:
        task = asyncio.create_task(take())
        await asyncio.to_thread(stood.wait)
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await task

    monkeypatch.setattr(manager.activity._desk.tickets, "stand", slowly)
    asyncio.run(run())
    assert tickets(manager, made) == []
    assert manager.get_session(made.id).state == "idle"


class Late(BaseException):
    """What a time limit raises by a signal, at any moment."""


@pytest.mark.parametrize("waits", [False, True])
def test_a_signal_right_after_the_commit_leaves_nothing_in_the_queue(
    manager: SessionManager, made: Session, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    def strike(_: object) -> None:
        monkeypatch.undo()
        raise Late

    with contextlib.ExitStack() as stack:
        if waits:
            stack.enter_context(manager.activity.turn(made))
        monkeypatch.setattr(manager._parts.log, "announce", strike)
        with pytest.raises(Late), manager.activity.turn(made):
            pytest.fail("it began")
        assert len(tickets(manager, made)) == int(waits)
    assert manager.get_session(made.id).state == "idle"


def test_a_signal_amid_the_giving_back_leaves_nobody_waiting_for_a_lease(
    manager: SessionManager, made: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strike(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise Late

    def work() -> None:
        with manager.activity.turn(made):
            monkeypatch.setattr(clawguard.sessions.tickets, "set_if_live", strike)

    with pytest.raises(Late):
        work()
    assert tickets(manager, made) == []
    assert manager.get_session(made.id).state == "idle"


def test_a_ticket_whose_commit_never_came_takes_nobody_elses(manager: SessionManager, made: Session) -> None:
    """Its number is given out again."""
    desk = manager.activity._desk.tickets
    with manager.activity.turn(made) as turn:
        late = manager.activity.turn(made)._wish
        desk.withdraw(late, turn.number)
        assert desk.leave(late, turn.number, failed=False) is False
        turn.check()


def test_who_gave_up_stands_no_more(manager: SessionManager, made: Session) -> None:
    turn = manager.activity.turn(made)
    turn._withdraw()
    assert turn._stand() is False  # in a thread that came too late to it
    assert tickets(manager, made) == []


def test_a_thread_that_could_not_be_had_is_had_by_the_next_turn(
    manager: SessionManager, made: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(RuntimeError), manager.activity.turn(made):
            pytest.fail("it began without anything that would renew its lease")
    assert (tickets(manager, made), manager.get_session(made.id).state) == ([], "idle")
    with manager.activity.turn(made):
        assert [thread.name for thread in threading.enumerate()].count("clawguard-heartbeat") == 1
    manager.close()


def test_close_ends_the_thread_that_renews(manager: SessionManager, made: Session) -> None:
    with manager.activity.turn(made):
        thread = manager._parts.heartbeat._thread
    assert thread is not None
    manager.close()
    assert not thread.is_alive()
