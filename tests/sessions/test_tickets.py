"""The queue for a session's turn, in any order of calls, held against a model that knows no database."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from clawguard import InvalidArgument, SessionEnded
from clawguard.clock import SECOND
from clawguard.errors import TurnLost, TurnQueueFull, TurnTimeout
from clawguard.events.log import CLOCK_TOLERANCE
from clawguard.models import State
from clawguard.sessions.tickets import Ticket, Wish
from tests.clocks import FakeClock
from tests.openers import open_manager


@dataclass
class Standing:
    """What the model knows of one ticket."""

    number: int
    until: int
    begun: bool


class Queue(RuleBasedStateMachine):
    """Whoever asks holds a wish and a number, or none yet; the model is a list in the order of tickets."""

    @initialize()
    def open(self) -> None:
        self.clock = FakeClock()
        self.manager = open_manager(clock=self.clock)
        self.tickets = self.manager.activity._desk.tickets
        self.session_id = self.manager.create("a", scopes="x", ttl=10**7).id
        self.queue: list[Standing] = []
        self.known: list[tuple[Wish, int]] = []
        self.last = 0
        self.last_begun = 0

    def teardown(self) -> None:
        if hasattr(self, "manager"):
            self.manager.close()

    def counting(self) -> list[Standing]:
        return [each for each in self.queue if each.until > self.clock.at]

    def find(self, number: int | None) -> Standing | None:
        return next((each for each in self.queue if each.number == number), None)

    def expect(self, wish: Wish, number: int | None) -> type[Exception] | tuple[bool, bool]:
        """Return an error, or whether the ticket is new and whether the turn begins."""
        mine = self.find(number)
        ahead = [each for each in self.counting() if mine is None or each.number < mine.number]
        if ahead and mine is None:
            if sum(not each.begun for each in self.counting()) >= wish.queue:
                return TurnQueueFull
            if wish.timeout == 0:
                return TurnTimeout
        return mine is None, not ahead

    def stand(self, wish: Wish, number: int | None) -> None:
        expected = self.expect(wish, number)
        before = self.rows()
        if isinstance(expected, type):
            with pytest.raises(expected):
                self.tickets.stand(wish, number)
            assert self.rows() == before
            return
        stand = self.tickets.stand(wish, number)
        is_new, begins = expected
        assert (stand.session is not None) is begins
        assert (stand.number != number) is is_new
        until = self.clock.at + wish.lease
        if begins:
            mine = self.find(number)
            self.queue = [each for each in self.queue if each is mine or each.until > self.clock.at]
        if is_new:
            assert stand.number > self.last, "a number came twice"
            self.last = stand.number
            self.queue.append(Standing(stand.number, until, begins))
            self.known.append((wish, stand.number))
        else:
            mine = self.find(number)
            assert mine is not None
            mine.until, mine.begun = until, mine.begun or begins
        if begins:
            assert stand.number >= self.last_begun, "a turn was overtaken"
            self.last_begun = stand.number

    def rows(self) -> list[tuple[object, ...]]:
        return self.manager._parts.store.read("turn.queue", session_id=self.session_id)

    @rule(queue=st.integers(0, 3), timeout=st.sampled_from([0, None]), lease=st.integers(1, 20))
    def ask(self, queue: int, timeout: int | None, lease: int) -> None:
        self.stand(Wish(self.session_id, "t", queue, timeout, lease * SECOND), None)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        """Who has the turn does not ask again; who lost it, or its place, may."""
        wish, number = data.draw(st.sampled_from(self.known))
        found = self.find(number)
        if found is None or not found.begun:
            self.stand(wish, number)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), failed=st.booleans())
    def leave(self, data: st.DataObject, failed: bool) -> None:
        wish, number = data.draw(st.sampled_from(self.known))
        found = self.find(number)
        before = self.manager.get_session(self.session_id)
        if found is not None and not found.begun:
            self.tickets.withdraw(wish, number)
        else:
            assert self.tickets.leave(wish, number, failed=failed) is (found is not None)
        if found is not None:
            self.queue.remove(found)
        after = self.manager.get_session(self.session_id)
        if found is not None and found.begun:
            assert after.state == ("error" if failed else "idle")
        else:
            assert after == before, "who had nothing changed something"

    @rule(seconds=st.floats(0.1, 12))
    def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(state=st.sampled_from(["idle", "running", "error"]))
    def set_by_hand(self, state: State) -> None:
        held = [each for each in self.queue if each.begun]
        try:
            self.manager.activity.set_state(self.session_id, state)
        except InvalidArgument:
            assert state == "running"
            assert any(each.until > self.clock.at for each in held)
        else:
            assert state != "running" or not any(each.until > self.clock.at for each in held)
            self.queue = [each for each in self.queue if not each.begun]

    @invariant()
    def one_at_most_holds_the_turn_and_is_first(self) -> None:
        if hasattr(self, "manager"):
            begun = [each for each in self.queue if each.begun]
            assert len(begun) <= 1
            if begun:
                assert begun[0] is self.queue[0]

    @invariant()
    def what_is_stored_is_what_the_model_says(self) -> None:
        if hasattr(self, "manager"):
            stored = [(number, until, began is not None) for number, _, began, until, _ in self.rows()]
            assert stored == [(each.number, each.until, each.begun) for each in self.queue]

    @invariant()
    def whoever_has_no_ticket_is_told(self) -> None:
        for wish, number in getattr(self, "known", ()):
            try:
                self.tickets.check(wish, number)
            except TurnLost:
                assert self.find(number) is None
            else:
                assert self.find(number) is not None

    @invariant()
    def a_look_finds_whoever_may_begin(self) -> None:
        for wish, number in getattr(self, "known", ()):
            found = self.find(number)
            if found is None or not any(each.number < number for each in self.counting()):
                assert self.tickets.may_begin(wish, number)
            else:
                assert not self.tickets.may_begin(wish, number)


TestQueue = Queue.TestCase
TestQueue.settings = settings(max_examples=60, stateful_step_count=30)


def test_who_asks_for_a_turn_waits_half_a_minute_behind_at_most_eight() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        usual = manager.activity.turn(made, turn_id="t")._wish
        assert usual == Wish(made.id, "t", queue=8, timeout=30 * SECOND, lease=15 * SECOND)
        patient = manager.activity.turn(made, turn_id="t", queue=0, timeout=None, lease=1)._wish
        assert patient == Wish(made.id, "t", queue=0, timeout=None, lease=SECOND)


def test_a_lease_counts_up_to_its_end_and_no_longer_than_it_ever_could() -> None:
    ticket = Ticket(number=1, turn_id="t", began_at=None, lease_until=1_000, leased_for=100)
    first = 1_000 - 100 - CLOCK_TOLERANCE
    assert [ticket.counts(first + by) for by in (-1, 0, 1)] == [False, True, True]
    assert [ticket.counts(1_000 + by) for by in (-1, 0)] == [True, False]


def test_who_holds_a_turn_is_told_how_its_session_ended() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        ended, due = manager.create("a", scopes="x"), manager.create("a", scopes="x", ttl=60)
        with manager.activity.turn(ended) as turn:
            manager.revoke(ended, reason="stolen")
            with pytest.raises((SessionEnded, TurnLost)) as told:
                turn.check()
        assert isinstance(told.value, SessionEnded)
        assert (told.value.cause, told.value.reason) == ("revoked", "stolen")
        with manager.activity.turn(due, lease=600) as turn:
            clock.advance(59)
            turn.check()
            clock.advance(1)
            with pytest.raises(SessionEnded) as late:
                turn.check()
        assert late.value.cause == "ttl"


@pytest.mark.parametrize("fails", [False, True])
def test_a_turn_that_fails_leaves_its_mark_also_in_a_task(fails: bool) -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")

        async def work() -> None:
            async with manager.activity.turn(made, turn_id="t"):
                if fails:
                    raise ZeroDivisionError

        if fails:
            with pytest.raises(ZeroDivisionError):
                asyncio.run(work())
        else:
            asyncio.run(work())
        kept = manager.get_session(made)
        assert (kept.state, kept.turn_id) == (("error", "t") if fails else ("idle", None))


def test_only_its_holder_may_say_that_a_turn_runs() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        with manager.activity.turn(made), pytest.raises(InvalidArgument) as refused:
            manager.activity.set_state(made, "running")
    assert str(refused.value) == (
        "state: is running already: a turn is held; 'idle' and 'error' take the turn from its holder"
    )


def test_who_waits_knows_for_how_long() -> None:
    clock = FakeClock()
    clock.advance(1_000)
    with open_manager(clock=clock) as manager:
        turn = manager.activity.turn(manager.create("a", scopes="x"))
        turn._enter()
        clock.advance(3)
        assert turn._waited() == 3 * SECOND
