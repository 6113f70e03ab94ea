"""What is gathered in memory: written in batches, never lost by a failure, never a verdict."""

from __future__ import annotations

import fcntl
import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clawguard import InsufficientScope, InvalidToken, SessionManager, StoreBusy
from clawguard.clock import to_datetime, to_microseconds
from tests.clocks import FakeClock
from tests.openers import open_manager


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the writers' lock as another process would."""
    descriptor = os.open(path.with_name(path.name + "-lock"), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(descriptor)


def sources(manager: SessionManager) -> list[dict[str, object]]:
    manager.prune_expired()
    return [dict(each.data) for each in manager.events.read(types="session.source_changed")]


def test_activity_is_written_at_the_flush_and_is_no_event() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x")
        clock.advance(30)
        manager.validate(made.token)
        assert manager.get_session(made.id).last_activity == made.created_at
        manager.prune_expired()
        kept = manager.get_session(made.id)
        assert kept.last_activity == to_datetime(clock.at)
        assert kept.version == 1
        assert len(manager.events.read()) == 1


def test_a_new_source_is_an_event_and_the_first_is_not() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token, source="10.0.0.1")
        assert sources(manager) == []
        assert manager.get_session(made.id).last_source == "10.0.0.1"
        manager.validate(made.token, source="10.0.0.1")
        assert sources(manager) == []
        manager.validate(made.token, source="10.0.0.2")
        assert sources(manager) == [{"from": "10.0.0.1", "to": "10.0.0.2"}]
        event = manager.events.read(types="session.source_changed")[0]
        assert (event.session_id, event.agent_id) == (made.id, "a")
        renewed = manager.refresh(made)
        manager.validate(renewed.token, source="10.0.0.2")
        assert len(sources(manager)) == 1


def test_a_new_source_is_not_forgotten_by_a_later_use_without_one() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", idle_timeout=20)
        manager.validate(made.token, source="10.0.0.1")
        manager.prune_expired()
        clock.advance(1)
        manager.validate(made.token, source="10.0.0.2")
        clock.advance(1)
        manager.validate(made.token)
        assert sources(manager) == [{"from": "10.0.0.1", "to": "10.0.0.2"}]


def test_a_source_that_came_and_went_is_told() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        for source in ("10.0.0.1", "6.6.6.6", "10.0.0.1"):
            manager.validate(made.token, source=source)
        assert [each["to"] for each in sources(manager)] == ["6.6.6.6", "10.0.0.1"]


def test_denials_alike_are_one_event_at_once_then_one_a_minute() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x")

        def deny(times: int) -> None:
            for _ in range(times):
                with pytest.raises(InsufficientScope):
                    manager.validate(made.token, require="y")
            manager.prune_expired()

        deny(3)
        clock.advance(30)
        deny(4)
        clock.advance(30)
        deny(0)
        clock.advance(60)
        deny(0)
        clock.advance(60)
        deny(1)
        counts = [each.data["count"] for each in manager.events.read(types="guard.denied")]
        assert counts == [3, 4, 1]


@pytest.mark.parametrize("actions", [1, 3, 17, 10_000])
def test_an_agent_that_is_denied_in_a_loop_writes_twenty_events_a_minute_at_most(actions: int) -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made, other = manager.create("a", scopes="x"), manager.create("b", scopes="x")
        of_a, of_b = manager.validate(made.token), manager.validate(other.token)
        start, _ = manager.events.last()
        for turn in range(10_000):
            assert not manager.authorize(of_a, f"do:{turn % actions}")
            if turn % 25 == 0:
                clock.advance(1)
                manager.prune_expired()
        assert not manager.authorize(of_b, "do:0")
        clock.advance(60)
        manager.prune_expired()
        told = [each for each in manager.events.follow(after=start, timeout=0) if each.type == "guard.denied"]
    by_agent = Counter(dict.fromkeys("ab", 0))
    for each in told:
        by_agent[str(each.agent_id)] += int(str(each.data["count"]))
    assert by_agent == {"a": 10_000, "b": 1}
    times = [to_microseconds(each.at) for each in told if each.session_id == made.id]
    assert max(bisect_left(times, at + 60_000_000) - place for place, at in enumerate(times)) <= 20


def test_rubbish_from_everywhere_hides_no_denial_and_is_told_in_few_events() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        for number in range(2_000):
            with pytest.raises(InvalidToken):
                manager.validate("rubbish", source=f"10.0.{number // 256}.{number % 256}")
        with pytest.raises(InsufficientScope):
            manager.validate(made.token, require="y")
        manager.prune_expired()
        (denied,) = manager.events.read(types="guard.denied")
        assert (denied.session_id, denied.agent_id, denied.data["action"]) == (made.id, "a", "y")
        told = manager.events.read(types="token.rejected")
        assert len(told) <= 65
        assert sum(each.data["count"] for each in told) == 2_000


def test_of_many_denied_sessions_each_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawguard.sessions.recorder._MANY_DENIALS", 8)
    monkeypatch.setattr("clawguard.sessions.recorder._MOST_DENIALS", 12)
    with open_manager() as manager:
        contexts = [manager.validate(manager.create("a", scopes="x").token) for _ in range(16)]
        for context in contexts:
            assert not manager.authorize(context, "y")
        manager.prune_expired()
        told = manager.events.read(types="guard.denied")
        assert [each.session_id for each in told] == [*(each.session_id for each in contexts[:12]), None]
        assert [each.data.get("action") for each in told] == ["y"] * 8 + [None] * 5
        assert told[-1].data["count"] == 4


def test_closing_counts_what_was_not_due_yet(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    with open_manager(path) as manager:
        context = manager.validate(manager.create("a", scopes="x").token)
        for _ in range(7):
            assert not manager.authorize(context, "y")
            manager.prune_expired()
    with open_manager(path) as manager:
        counts = [each.data["count"] for each in manager.events.read(types="guard.denied")]
    assert counts == [1, 6]


@pytest.mark.parametrize("source", ["a\nb", "x" * 300, "\ud800"])
def test_a_source_of_an_attackers_making_is_never_written_raw(source: str) -> None:
    with open_manager() as manager:
        with pytest.raises(InvalidToken):
            manager.validate("rubbish", source=source)
        manager.prune_expired()
        (event,) = manager.events.read(types="token.rejected")
        assert len(str(event.data["source"])) <= 255
        assert str(event.data["source"]).isprintable()


def test_what_could_not_be_written_is_written_the_next_time(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    clock = FakeClock()
    with open_manager(path, clock=clock, lock_timeout=0.02) as manager:
        made = manager.create("a", scopes="x")
        clock.advance(5)
        manager.validate(made.token, source="10.0.0.1")
        with pytest.raises(InsufficientScope):
            manager.validate(made.token, require="y")
        for _ in range(2):
            with locked(path), pytest.raises(StoreBusy):
                manager.prune_expired()
        with pytest.raises(InsufficientScope):
            manager.validate(made.token, require="y")
        manager.prune_expired()
        kept = manager.get_session(made.id)
        assert (kept.last_source, kept.last_activity) == ("10.0.0.1", to_datetime(clock.at))
        assert [each.data["count"] for each in manager.events.read(types="guard.denied")] == [2]


def test_closing_writes_what_was_gathered(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token, source="10.0.0.1")
    with open_manager(path) as manager:
        assert manager.get_session(made.id).last_source == "10.0.0.1"


def test_closing_twice_does_nothing_even_after_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    manager = open_manager(path, lock_timeout=0.02)
    manager.validate(manager.create("a", scopes="x").token)
    with locked(path):
        manager.close()
    manager.close()


def test_a_flood_of_refusals_asks_for_one_flush() -> None:
    with open_manager() as manager:
        kicks: list[None] = []
        manager._parts.recorder.kick = lambda: kicks.append(None)
        for _ in range(50):
            with pytest.raises(InvalidToken):
                manager.validate("nonsense", source="10.0.0.1")
        assert len(kicks) == 1


def test_one_source_that_comes_often_hides_no_other() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token, source="10.0.0.1")
        assert sources(manager) == []
        context = manager.validate(made.token)
        manager.validate(context, source="10.0.0.2")
        for _ in range(20):
            manager.validate(context, source="10.0.0.3")
        assert [each["to"] for each in sources(manager)] == ["10.0.0.2", "10.0.0.3"]


def test_a_denial_says_by_which_policy_and_rule() -> None:
    rule = {"name": "no-mail", "effect": "deny", "actions": "mail:*"}
    with open_manager(policy={"rules": [rule]}) as manager:
        context = manager.validate(manager.create("a", scopes="*").token)
        decision = manager.authorize(context, "mail:send")
        manager.prune_expired()
        (told,) = manager.events.read(types="guard.denied")
        assert told.data == {
            "action": "mail:send",
            "policy": decision.policy,
            "rule": "no-mail",
            "count": 1,
        }
        assert (told.reason, decision.policy) == (decision.reason, manager.policy.digest)


def test_more_kinds_than_can_be_told_apart_are_told_as_many() -> None:
    with open_manager() as manager:
        for number in range(100):
            with pytest.raises(InvalidToken):
                manager.validate("none", source=f"10.0.0.{number}")
        manager.prune_expired()
        told = manager.events.read(types="token.rejected", limit=1_000)
    apart = [each for each in told if "source" in each.data]
    assert {each.reason for each in apart} == {"segments"}
    (rest,) = (each for each in told if "source" not in each.data)
    assert (rest.reason, dict(rest.data)) == ("many kinds", {"count": 100 - len(apart)})
