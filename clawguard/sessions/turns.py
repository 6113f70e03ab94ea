"""Turns: one block at a time works on a session, over all threads, tasks and processes; the others wait."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import NamedTuple, Self, TypeVar

from clawguard.clock import SECOND, Clock
from clawguard.errors import ClawguardError, InvalidArgument, TurnLost, TurnTimeout
from clawguard.events.log import EventLog
from clawguard.models import Session
from clawguard.sessions.heartbeat import Heartbeat
from clawguard.sessions.tickets import Stand, Tickets, Wish
from clawguard.sessions.watching import Watch

__all__ = ["Turn", "TurnDesk"]

_logger = logging.getLogger("clawguard.sessions")

# What other processes commit wakes nobody here. The longer somebody has waited, the less often it looks: so
# short turns follow each other quickly, and long ones are not asked about all the time.
_PATIENCE = 20
_SHORTEST_REST, _LONGEST_REST = 0.005, 0.25  # seconds
_BEATS = 3  # in one lease of whoever waits

T = TypeVar("T")


class TurnDesk(NamedTuple):
    """Hold what turns are taken with."""

    tickets: Tickets
    heartbeat: Heartbeat
    log: EventLog
    clock: Clock


class Turn:
    """Hold a session's turn for a block; a context manager, plain and async, to be entered once.

    `id` is the turn's id, `session` the session as it was when the turn began. `number` grows from turn to
    turn: what refuses a smaller number than it has seen is safe from whoever lost its turn.
    """

    def __init__(self, desk: TurnDesk, wish: Wish) -> None:
        self.id = wish.turn_id
        self._desk = desk
        self._wish = wish
        self._entered = False
        self._number: int | None = None
        self._session: Session | None = None
        self._pid = 0
        self._since = 0
        self._renew_at = 0
        self._standing = threading.RLock()  # a signal must not make its own thread wait for itself
        self._is_given_up = False

    def __repr__(self) -> str:
        return f"Turn({self.id!r})"

    @property
    def number(self) -> int:
        """Which ticket this is: larger than those of all turns of the session before."""
        if self._number is None:
            raise _not_entered()
        return self._number

    @property
    def session(self) -> Session:
        """The session as it was when the turn began."""
        if self._session is None:
            raise _not_entered()
        return self._session

    @property
    def lease(self) -> int:
        """For how long a silent holder keeps the turn, in microseconds."""
        return self._wish.lease

    def check(self) -> None:
        """Raise TurnLost where the turn is no longer held, SessionEnded where the session is over.

        It reads the row, so that whoever was stopped learns of it before going on.
        """
        number = self.number
        if self._is_inherited():
            raise self._lost()
        self._desk.tickets.check(self._wish, number)

    def __enter__(self) -> Self:
        self._enter()
        bell: SimpleQueue[None] = SimpleQueue()
        try:
            with self._desk.log.alerts.waking(self._wish.session_id, partial(_ring, bell)):
                while not (self._is_worth_it() and self._stand()):
                    self._check_time()
                    with suppress(Empty):
                        bell.get(timeout=self._rest())
            self._desk.heartbeat.keep(self)
        except BaseException:
            self._withdraw()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._answer(kind, self._leave(kind))

    async def __aenter__(self) -> Self:
        self._enter()
        bell, loop = asyncio.Event(), asyncio.get_running_loop()
        try:
            with self._desk.log.alerts.waking(self._wish.session_id, partial(_ring_on, loop, bell)):
                while not (self._is_worth_it() and await _in_thread(self._stand)):
                    self._check_time()
                    await _heard(bell, self._rest())
            self._desk.heartbeat.keep(self)
        except BaseException:
            await _in_thread(self._withdraw)
            raise
        self._watch = Watch(self.check)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()
        try:
            held = await _in_thread(partial(self._leave, kind))
        finally:
            self._watch.settle(kind)
        self._answer(kind, held)

    def _enter(self) -> None:
        if self._entered:
            raise InvalidArgument("turn", "was entered before", hint="call activity.turn() for each block")
        self._entered = True
        self._pid = os.getpid()
        self._since = self._desk.clock.elapsed()

    def _is_worth_it(self) -> bool:
        """Look whether to write: for the turn, for a longer lease, for whatever there is to be told."""
        return (
            self._number is None
            or self._desk.clock.elapsed() >= self._renew_at
            or self._desk.tickets.may_begin(self._wish, self._number)
        )

    def _stand(self) -> bool:
        """Begin the turn if it is ours by now; else keep the ticket."""
        with self._standing:
            if self._is_given_up:
                return False
            self._renew_at = self._desk.clock.elapsed() + self.lease // _BEATS
            self._desk.tickets.stand(self._wish, self._number, note=self._note)
            return self._session is not None

    def _note(self, stand: Stand) -> None:
        self._number, self._session = stand.number, stand.session

    def _check_time(self) -> None:
        if self._wish.timeout is not None and self._waited() >= self._wish.timeout:
            raise TurnTimeout(self._wish.session_id)

    def _waited(self) -> int:
        return self._desk.clock.elapsed() - self._since

    def _rest(self) -> float:
        """Return how long (seconds) to wait before the next look: within the lease, and to the timeout."""
        waited = self._waited()
        rest = min(
            _LONGEST_REST, max(_SHORTEST_REST, waited / SECOND / _PATIENCE), self.lease / SECOND / _BEATS
        )
        left = None if self._wish.timeout is None else self._wish.timeout - waited
        return rest if left is None else min(rest, max(0, left) / SECOND)

    def _withdraw(self) -> None:
        """Leave the queue, or a turn that begins too late; whoever is next may go on at once.

        A task that is cancelled may still be standing in another thread: what that brings is given back.
        """
        self._is_given_up = True
        self._desk.heartbeat.let_go(self)
        with self._standing, suppress(ClawguardError):  # else the lease ends by itself
            if self._session is not None:
                self._desk.tickets.leave(self._wish, self.number, failed=False)
            elif self._number is not None:
                self._desk.tickets.withdraw(self._wish, self._number)
                self._desk.log.alerts.wake(self._wish.session_id)

    def _leave(self, kind: type[BaseException] | None) -> bool:
        """Give the turn back; False where it had been lost."""
        self._desk.heartbeat.let_go(self)
        if self._is_inherited():
            return False
        give_back = partial(self._desk.tickets.leave, self._wish, self.number, failed=kind is not None)
        try:
            return give_back()
        except ClawguardError as error:
            if kind is None:
                raise
            _logger.error("the turn %s was not given back and ends with its lease: %s", self.id, error)
            return True
        except BaseException:  # of a signal: nobody else is to wait for a lease because of that
            with suppress(ClawguardError):
                give_back()
            raise

    def _answer(self, kind: type[BaseException] | None, held: bool) -> None:
        """Tell whoever leaves that the turn was lost; what the block raised is not hidden by that."""
        if not held and kind is None:
            raise self._lost()
        if not held:
            _logger.warning("the turn %s was lost before its block failed", self.id)

    def _is_inherited(self) -> bool:
        return os.getpid() != self._pid

    def _lost(self) -> TurnLost:
        return TurnLost(self._wish.session_id, self.id)


def _not_entered() -> InvalidArgument:
    return InvalidArgument("turn", "has not begun", hint="use it as `with manager.activity.turn(session):`")


def _ring(bell: SimpleQueue[None]) -> None:
    if bell.empty():
        bell.put(None)


def _ring_on(loop: asyncio.AbstractEventLoop, bell: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop was closed
        loop.call_soon_threadsafe(bell.set)


async def _heard(bell: asyncio.Event, rest: float) -> None:
    """Wait until it is rung, or it is time to look again."""
    with suppress(TimeoutError):
        async with asyncio.timeout(rest):
            await bell.wait()
    bell.clear()


def _in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """Do something in a worker thread, to its end even when cancelled.

    A future and no task: the end of the loop cancels tasks, also such as have not begun.
    """
    bound = partial(copy_context().run, work)
    return asyncio.shield(asyncio.get_running_loop().run_in_executor(None, bound))
