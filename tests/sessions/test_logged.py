"""What whoever runs it reads in the log of the process, word for word."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import NoReturn

import pytest

from clawguard import InsufficientScope, InvalidToken, SessionManager, StoreUnavailable
from clawguard.errors import TurnLost
from clawguard.sessions.heartbeat import Heartbeat
from clawguard.sessions.sweeper import Sweeper
from tests.clocks import FakeClock
from tests.openers import open_manager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def manager(clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(clock=clock) as opened:
        yield opened


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Iterator[list[tuple[str, str]]]:
    """Return what is logged from now on: the level and the text."""
    lines: list[tuple[str, str]] = []

    class Told(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append((record.levelname, record.getMessage()))

    logger, handler = logging.getLogger("clawguard"), Told()
    logger.addHandler(handler)
    with caplog.at_level(logging.INFO, logger="clawguard"):
        yield lines
    logger.removeHandler(handler)


Told = list[tuple[str, str]]


def no_answer(*_: object, **__: object) -> NoReturn:
    raise StoreUnavailable("no answer")


def test_ends_are_told_by_their_number_the_first_and_its_cause(
    manager: SessionManager, clock: FakeClock, told: Told
) -> None:
    top = manager.create("a", scopes="x", ttl=60)
    manager.delegate(top, "b", scopes="x")
    manager.activity.set_name(top, "n")
    assert told == []
    manager.revoke(top)
    assert told == [("INFO", f"ended 2 session(s), the first {top.id}: revoked")]
    later = manager.create("a", scopes="x", ttl=60)
    clock.advance(60)
    manager.prune_expired()
    assert told[1:] == [("INFO", f"ended 1 session(s), the first {later.id}: ttl")]


def test_a_refusal_is_told_once_by_its_kind_who_and_why(manager: SessionManager, told: Told) -> None:
    made = manager.create("a", scopes="x")
    for _ in range(3):
        with pytest.raises(InsufficientScope):
            manager.validate(made.token, require="y")
        with pytest.raises(InvalidToken):
            manager.validate("none", source="192.0.2.1")
        with pytest.raises(InvalidToken):
            manager.validate("none")
    assert told == [
        ("WARNING", f"guard.denied: {made.id} y insufficient_scope"),
        ("WARNING", "token.rejected: 192.0.2.1 segments"),
        ("WARNING", "token.rejected: segments"),
    ]


def test_a_chore_that_fails_is_told_once_for_an_outage(told: Told) -> None:
    tries, tried = iter(range(1_000)), threading.Event()

    def fail() -> None:
        if next(tries) == 3:
            tried.set()
        no_answer()

    sweeper = Sweeper([fail], every=0.01)
    sweeper.start()
    assert tried.wait(60)
    assert sweeper._thread is not None
    assert sweeper._thread.daemon
    sweeper.stop()
    assert told == [("ERROR", "a background chore failed and is tried again: no answer")]


def test_what_cannot_be_written_at_the_end_is_told(
    manager: SessionManager, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidToken):
        manager.validate("none")
    monkeypatch.setattr(manager._parts.recorder, "_change", no_answer)
    manager.close()
    assert told[1:] == [("ERROR", "what was gathered last could not be written: no answer")]


def test_who_takes_a_turn_over_tells_whose_it_was(
    manager: SessionManager, clock: FakeClock, told: Told
) -> None:
    made = manager.create("a", scopes="x")
    manager._parts.heartbeat.close()
    silent = manager.activity.turn(made, turn_id="one", lease=15)
    silent.__enter__()
    clock.advance(16)
    with manager.activity.turn(made, turn_id="two"), pytest.raises(TurnLost):
        silent.__exit__(None, None, None)
    assert told == [("WARNING", f"the turn one of session {made.id} was taken over")]


class Kept:
    """Be a ticket with a short lease."""

    number = 7
    lease = 1_000


def test_leases_that_cannot_be_renewed_are_told_by_their_number(told: Told) -> None:
    tried = threading.Event()

    def change(*, durable: bool) -> NoReturn:
        assert durable is False
        tried.set()
        no_answer()

    heartbeat, kept = Heartbeat(change), Kept()
    heartbeat.keep(kept)
    assert tried.wait(60)
    while not told:
        threading.Event().wait(0.001)
    heartbeat.close()
    assert told[0] == ("ERROR", "the leases of 1 turn(s) could not be renewed: no answer")
