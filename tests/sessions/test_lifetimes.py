"""How long a session lives: token, idle limit, absolute end, and its parent's end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clawguard import InvalidArgument, SessionEnded, SessionManager, requires
from clawguard.clock import SECOND, to_microseconds
from clawguard.errors import ClockError
from tests.clocks import FakeClock
from tests.openers import open_manager


def cause_of(manager: SessionManager, token: Any) -> str | None:
    """Return why a token is refused as ended, or None while it is taken."""
    try:
        manager.validate(token)
    except SessionEnded as refusal:
        return refusal.cause
    return None


def test_a_session_ends_with_its_token_to_the_microsecond() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=10)
        clock.advance(9.999999)
        assert cause_of(manager, made.token) is None
        clock.advance(0.000001)
        assert cause_of(manager, made.token) == "ttl"
        assert cause_of(manager, made.as_context()) == "ttl"
        assert manager.get_session(made.id).cause is None
        manager.prune_expired()
        ended = manager.get_session(made.id)
        assert (ended.cause, ended.ended_at, ended.ended_by) == ("ttl", made.expires_at, None)


def test_no_refresh_passes_the_absolute_end() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=10, max_lifetime=25)
        for _ in range(4):
            clock.advance(6)
            made = manager.refresh(made)
        assert made.expires_at == made.absolute_expires_at
        clock.advance(1)
        assert cause_of(manager, made.token) == "ttl"


def test_a_max_lifetime_below_the_ttl_wins() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x", ttl=100, max_lifetime=10)
        assert made.expires_at == made.absolute_expires_at == made.due_at


def test_idleness_ends_a_session_and_use_keeps_it_alive() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        used, unused = (manager.create("a", scopes="x", ttl=1_000, idle_timeout=20) for _ in range(2))
        for _ in range(10):
            clock.advance(15)
            if cause_of(manager, unused.token) is None:
                break
            assert cause_of(manager, used.token) is None
            manager.prune_expired()
        assert cause_of(manager, used.token) is None
        clock.advance(20)
        manager.prune_expired()
        assert (manager.get_session(used.id).cause, manager.get_session(unused.id).cause) == ("idle", "idle")
        told = manager.events.read(types="session.expired")
        assert {each.cause for each in told} == {"idle"}


def test_a_touch_not_yet_written_ends_a_session_early_never_late() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=1_000, idle_timeout=20)
        clock.advance(10)
        assert cause_of(manager, made.token) is None
        clock.advance(10)
        assert cause_of(manager, made.token) == "idle"


@pytest.mark.parametrize("depth", [1, 3])
def test_use_of_a_child_keeps_its_whole_line_alive(depth: int) -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        line = [manager.create("a", scopes="x", ttl=1_000, idle_timeout=20)]
        for _ in range(depth):
            line.append(manager.delegate(line[-1], "b", scopes="x"))
        for _ in range(5):
            clock.advance(15)
            assert cause_of(manager, line[-1].token) is None
            manager.prune_expired()
        assert [cause_of(manager, each.token) for each in line] == [None] * (depth + 1)


def test_a_delegation_and_a_refresh_are_use_too() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        root = manager.create("a", scopes="x", ttl=1_000, idle_timeout=20)
        clock.advance(15)
        child = manager.delegate(root, "b", scopes="x")
        clock.advance(15)
        child = manager.refresh(child)
        clock.advance(15)
        assert cause_of(manager, root.token) is None
        assert cause_of(manager, child.token) is None


def test_a_childs_idle_limit_is_at_most_its_parents() -> None:
    with open_manager() as manager:
        root = manager.create("a", scopes="x", idle_timeout=20)
        assert manager.delegate(root, "b", scopes="x").idle_timeout == 20
        assert manager.delegate(root, "b", scopes="x", idle_timeout=50).idle_timeout == 20
        assert manager.delegate(root, "b", scopes="x", idle_timeout=5).idle_timeout == 5
        assert (
            manager.delegate(manager.create("a", scopes="x"), "b", scopes="x", idle_timeout=5).idle_timeout
            == 5
        )


def test_a_child_dies_with_its_parent_before_any_sweep() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        root = manager.create("a", scopes="x", ttl=10)
        child = manager.refresh(manager.delegate(root, "b", scopes="x", ttl=5), ttl=500)
        assert child.expires_at == root.expires_at
        clock.advance(10)
        assert cause_of(manager, child.token) == "ttl"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["delegate", "refresh"]), st.integers(0, 9), st.integers(1, 400), st.integers(0, 30)
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(STEPS)
def test_no_order_of_delegate_and_refresh_lets_a_child_outlive_its_parent(
    steps: list[tuple[str, int, int, int]],
) -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = [manager.create("a", scopes="x", ttl=100, max_lifetime=300, idle_timeout=200)]
        for verb, which, ttl, wait in steps:
            target = made[which % len(made)]
            clock.advance(wait)
            try:
                if verb == "refresh":
                    manager.refresh(target, ttl=ttl)
                elif target.depth < 8:
                    made.append(manager.delegate(manager.get_session(target), "b", scopes="x", ttl=ttl))
            except SessionEnded:
                assert to_microseconds(manager.get_session(target).due_at) <= clock.now()
            rows = {each.id: each for each in manager.sessions.iter()}
            for each in rows.values():
                if each.parent_id is not None:
                    parent = rows[each.parent_id]
                    assert each.expires_at <= parent.expires_at
                    assert each.due_at <= parent.due_at
                    assert each.absolute_expires_at <= parent.absolute_expires_at


def test_an_end_is_never_moved_backwards() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=100)
        clock.advance(1)
        assert manager.refresh(made, ttl=5).expires_at == made.expires_at


def test_what_a_bound_session_does_counts_as_use_and_a_watch_does_not() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:

        @requires("x")
        def tool() -> None:
            """Do something that needs a scope."""

        busy, watched = (manager.create("a", scopes="x", ttl=1_000, idle_timeout=20) for _ in range(2))
        with manager.use(busy.token):
            for _ in range(4):
                clock.advance(10)
                tool()
                if manager.inspect(watched.token).verdict == "active":
                    manager.recheck(watched.as_context())
                manager.prune_expired()
        assert (manager.get_session(busy).cause, manager.get_session(watched).cause) == (None, "idle")


def test_a_refused_source_does_not_spend_the_touch() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=1_000, idle_timeout=20)
        clock.advance(10)
        with pytest.raises(InvalidArgument, match="source"):
            manager.validate(made.token, source="a\nb")
        manager.validate(made.token)
        manager.prune_expired()
        clock.advance(15)
        assert cause_of(manager, made.token) is None


# the clock


@pytest.mark.parametrize("back", [0.5, 4.9, 5])
def test_a_clock_set_back_a_little_is_borne(back: float) -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token)
        clock.set_back(back)
        manager.validate(made.token)
        manager.create("b", scopes="x")
        assert manager.revoke(made)


def test_a_clock_set_back_further_stops_every_decision() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        clock.advance(100)
        made = manager.create("a", scopes="x")
        manager.validate(made.token)
        clock.set_back(5.000001)
        calls: list[Any] = [
            lambda: manager.validate(made.token),
            lambda: manager.validate(made.as_context()),
            lambda: manager.recheck(made.as_context()),
            lambda: manager.inspect(made.token),
            lambda: manager.create("b", scopes="x"),
            lambda: manager.delegate(made, "b", scopes="x"),
            lambda: manager.refresh(made),
            lambda: manager.revoke(made),
            lambda: manager.revoke_all_for_agent("a"),
            lambda: manager.activity.set_name(made, "n"),
            manager.keys.rotate,
        ]
        for call in calls:
            with pytest.raises(ClockError):
                call()
        clock.advance(5.000001)
        assert manager.validate(made.token).generation == 1
        assert len(manager.events.read()) == 1


def test_setting_the_clock_back_step_by_step_gains_nothing() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=10)
        clock.set_back(4)
        manager.create("b", scopes="x")
        clock.set_back(4)
        for call in (lambda: manager.create("c", scopes="x"), lambda: manager.validate(made.token)):
            with pytest.raises(ClockError):
                call()
        clock.advance(4)
        manager.create("d", scopes="x")
        ats = [event.at for event in manager.events.read()]
        assert ats == sorted(ats)


def test_a_restart_does_not_forget_what_the_log_has_seen(tmp_path: Any) -> None:
    clock = FakeClock()
    with open_manager(tmp_path / "c.db", clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=100)
        clock.advance(50)
        manager.create("b", scopes="x")
    clock.set_back(40)
    with open_manager(tmp_path / "c.db", clock=clock) as manager, pytest.raises(ClockError):
        manager.validate(made.token)


def test_a_clock_set_back_does_not_wake_the_dead() -> None:
    clock = FakeClock()
    with open_manager(clock=clock) as manager:
        dead = manager.create("a", scopes="x", ttl=10)
        clock.advance(60)
        manager.create("b", scopes="x")
        clock.set_back(55)
        with pytest.raises(ClockError):
            manager.validate(dead.token)


@settings(max_examples=60)
@given(st.floats(0.000001, 100), st.integers(0, 10**12))
def test_a_token_is_taken_until_its_end_and_not_at_it(ttl: float, offset: int) -> None:
    clock = FakeClock(FakeClock().at + offset)
    with open_manager(clock=clock) as manager:
        made = manager.create("a", scopes="x", ttl=ttl, key="k")
        clock.at += max(1, round(ttl * SECOND)) - 1
        assert cause_of(manager, made.token) is None
        assert manager.sessions.find(key="k") is not None
        clock.at += 1
        assert cause_of(manager, made.token) == "ttl"
        assert manager.sessions.find(key="k") is None
        assert manager.active_count() == 0
