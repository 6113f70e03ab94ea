"""Tickets: rows that stand in the queue for a session's turn, in the order in which they came.

A ticket counts while its lease runs; whoever it belongs to renews it. The first of those that count has the
turn. So nothing is left behind that blocks for longer than a lease, and no lock is held while anybody waits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple

from clawguard.clock import Clock
from clawguard.errors import (
    InvalidArgument,
    SessionEnded,
    SessionNotFound,
    TurnLost,
    TurnQueueFull,
    TurnTimeout,
)
from clawguard.events.log import CLOCK_TOLERANCE
from clawguard.models import Session
from clawguard.sessions.change import Change, SessionDue
from clawguard.sessions.ending import Endings
from clawguard.sessions.updating import set_if_live, set_in
from clawguard.store import Store

__all__ = ["Stand", "Ticket", "Tickets", "Wish", "take_from_holder"]

_logger = logging.getLogger("clawguard.sessions")


class Ticket(NamedTuple):
    """Hold the columns of `turn.queue`, in its order."""

    number: int
    turn_id: str
    began_at: int | None
    lease_until: int
    leased_for: int

    def counts(self, now: int) -> bool:
        """Tell whether its lease runs; one that ends later than it ever could is of a clock that was ahead.

        By how much a clock may be set back is left out of that, or a step of it would end every lease.
        """
        return now < self.lease_until <= now + self.leased_for + CLOCK_TOLERANCE


class Wish(NamedTuple):
    """Hold what a turn was asked for with; durations in microseconds."""

    session_id: str
    turn_id: str
    queue: int
    timeout: int | None
    lease: int


class Stand(NamedTuple):
    """Hold a ticket's number and, once its turn has begun, the session as it is then.

    `lost` names the turn that it was taken over from.
    """

    number: int
    session: Session | None
    lost: str | None = None


def _ignore(_: Stand) -> None: ...


class Tickets:
    """Take, keep and give back tickets, each in one transaction."""

    def __init__(
        self, store: Store, change: Callable[..., Change], *, endings: Endings, clock: Clock
    ) -> None:
        self._store = store
        self._change = change
        self._endings = endings
        self._clock = clock

    def stand(self, wish: Wish, number: int | None, *, note: Callable[[Stand], object] = _ignore) -> Stand:
        """Take a ticket or renew it, and begin the turn where nobody is ahead.

        One that lapsed and was dropped by somebody else is taken anew, behind all others. `note` is told what
        is returned before the commit, for a signal's exception can come right after it.
        """
        try:
            with self._change(durable=False) as change:
                stand = _stand_in(change, wish, number)
                note(stand)
        except SessionDue:
            raise self._endings.settle(wish.session_id) from None
        if stand.lost is not None:
            _logger.warning("the turn %s of session %s was taken over", stand.lost, wish.session_id)
        return stand

    def may_begin(self, wish: Wish, number: int) -> bool:
        """Look, without a transaction, whether standing again would bring anything but a longer lease.

        It would where nobody is ahead, where the ticket was dropped, and where the session is over.
        """
        now = self._clock.now()
        ends = self._store.read("session.ends", id=wish.session_id)
        if not ends or ends[0][3] is not None or ends[0][2] <= now:
            return True
        queue = self._queue(wish.session_id)
        mine = any(ticket.number == number for ticket in queue)
        return not mine or not any(ticket.number < number and ticket.counts(now) for ticket in queue)

    def check(self, wish: Wish, number: int) -> None:
        """Raise TurnLost where the ticket is gone, SessionEnded where the session is over."""
        rows = self._store.read("turn.standing", session_id=wish.session_id, number=number)
        if not rows:
            raise SessionNotFound(wish.session_id)
        cause, reason, due_at, due_cause, found = rows[0]
        if found is None:
            raise TurnLost(wish.session_id, wish.turn_id)
        if cause is not None:
            raise SessionEnded(cause, reason)
        if due_at <= self._clock.now():
            raise SessionEnded(due_cause)

    def leave(self, wish: Wish, number: int, *, failed: bool) -> bool:
        """Give the turn back; False, and nothing changed, where it had been lost."""
        with self._change(durable=False) as change:
            if not change.tx.run("turn.give_back", number=number, turn_id=wish.turn_id):
                return change.one("session.ended_as", id=wish.session_id) is None
            state, turn_id = ("error", wish.turn_id) if failed else ("idle", None)
            columns = {"state": state, "turn_id": turn_id, "turn_started_at": None}
            set_if_live(change, "session.set_state", wish.session_id, **columns)
        return True

    def withdraw(self, wish: Wish, number: int) -> None:
        """Give up waiting."""
        with self._change(durable=False) as change:
            change.tx.run("turn.give_back", number=number, turn_id=wish.turn_id)

    def _queue(self, session_id: str) -> list[Ticket]:
        return [Ticket(*row) for row in self._store.read("turn.queue", session_id=session_id)]


def take_from_holder(change: Change, session_id: str, *, state: str) -> None:
    """End the turn that is held, for somebody who sets the session's state by hand.

    Raises InvalidArgument for `running`, which is the holder's alone to say.
    """
    for ticket in _queue_in(change, session_id):
        if ticket.began_at is not None:
            if state == "running" and ticket.counts(change.now):
                raise InvalidArgument(
                    "state",
                    "is running already: a turn is held",
                    hint="'idle' and 'error' take the turn from its holder",
                )
            change.tx.run("turn.drop", number=ticket.number)


def _stand_in(change: Change, wish: Wish, number: int | None) -> Stand:
    queue = _queue_in(change, wish.session_id)
    counting = [ticket for ticket in queue if ticket.counts(change.now)]
    mine = next((ticket.number for ticket in queue if ticket.number == number), None)
    if any(mine is None or ticket.number < mine for ticket in counting):
        return Stand(_wait_in(change, wish, mine, counting), None)
    lapsed = [ticket for ticket in queue if ticket not in counting and ticket.number != mine]
    for ticket in lapsed:
        change.tx.run("turn.drop", number=ticket.number)
    lost = next((ticket.turn_id for ticket in lapsed if ticket.began_at is not None), None)
    return _begin_in(change, wish, mine, lost)


def _wait_in(change: Change, wish: Wish, mine: int | None, counting: list[Ticket]) -> int:
    """Stand behind others, with the ticket held so far or as the last one."""
    ends = change.ends_of(wish.session_id)
    if ends is None or ends.cause is not None or ends.due_at <= change.now:
        raise change.why_not_live(wish.session_id)
    if mine is not None:
        return _renew_in(change, wish, mine)
    if sum(ticket.began_at is None for ticket in counting) >= wish.queue:
        raise TurnQueueFull(wish.session_id, wish.queue)
    if wish.timeout == 0:
        raise TurnTimeout(wish.session_id)
    return _take_in(change, wish, began_at=None)


def _begin_in(change: Change, wish: Wish, mine: int | None, lost: str | None) -> Stand:
    if mine is None:
        mine = _take_in(change, wish, began_at=change.now)
    else:
        change.tx.run("turn.begin", number=_renew_in(change, wish, mine), now=change.now)
    columns = {"state": "running", "turn_id": wish.turn_id, "turn_started_at": change.now}
    return Stand(mine, set_in(change, "session.set_state", wish.session_id, **columns), lost)


def _take_in(change: Change, wish: Wish, *, began_at: int | None) -> int:
    whose = {"session_id": wish.session_id, "turn_id": wish.turn_id, "began_at": began_at}
    rows = change.tx.run("turn.stand", until=change.now + wish.lease, length=wish.lease, **whose)
    return int(rows[0][0])


def _renew_in(change: Change, wish: Wish, number: int) -> int:
    change.tx.run("turn.renew", number=number, until=change.now + wish.lease, length=wish.lease)
    return number


def _queue_in(change: Change, session_id: str) -> list[Ticket]:
    return [Ticket(*row) for row in change.tx.run("turn.queue", session_id=session_id)]
