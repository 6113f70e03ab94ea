"""Delegate and refresh look again under the write lock: another process may have come in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clawguard import (
    AccessDenied,
    DelegationRefused,
    InvalidArgument,
    IssuedSession,
    SessionEnded,
    SessionManager,
    SessionNotFound,
    TokenSuperseded,
)
from clawguard.errors import PolicyDenied
from tests.clocks import FakeClock
from tests.openers import open_manager


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "db" / "clawguard.db"


@pytest.fixture
def manager(path: Path, clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(path, clock=clock) as manager:
        yield manager


@pytest.fixture
def rival(path: Path, manager: SessionManager, clock: FakeClock) -> Iterator[SessionManager]:
    """Return the manager of another process."""
    with open_manager(path, clock=clock) as rival:
        yield rival


Befall = Callable[[SessionManager, FakeClock, str], object]


def refreshed(rival: SessionManager, clock: FakeClock, session_id: str) -> None:
    rival.refresh(session_id)


def revoked(rival: SessionManager, clock: FakeClock, session_id: str) -> None:
    rival.revoke(session_id)


def run_out(rival: SessionManager, clock: FakeClock, session_id: str) -> None:
    clock.advance(7_200)


def purged(rival: SessionManager, clock: FakeClock, session_id: str) -> None:
    rival.revoke(session_id)
    clock.advance(2)
    assert rival.sessions.purge(1) > 0


def befall_after_signing(
    monkeypatch: pytest.MonkeyPatch, manager: SessionManager, deed: Callable[[], object]
) -> None:
    """Let something happen once the token is signed, before the manager asks for the write lock."""
    guard = manager._parts.guard
    issue = type(guard).issue

    def issue_and_befall(*args: Any) -> str:
        monkeypatch.undo()
        token = issue(*args)
        deed()
        return token

    monkeypatch.setattr(type(guard), "issue", issue_and_befall)


@pytest.mark.parametrize(
    ("befall", "refusal"),
    [
        (refreshed, TokenSuperseded),
        (revoked, SessionEnded),
        (run_out, SessionEnded),
        (purged, SessionNotFound),
    ],
)
def test_what_befalls_the_parent_before_the_write_refuses_the_delegation(
    manager: SessionManager,
    rival: SessionManager,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    befall: Befall,
    refusal: type[AccessDenied],
) -> None:
    parent = manager.create("planner", scopes="a b", ttl=3_600)
    befall_after_signing(monkeypatch, manager, lambda: befall(rival, clock, parent.id))
    with pytest.raises(refusal):
        manager.delegate(parent.token, "helper", scopes="a")
    assert [each.agent_id for each in manager.events.read(types="session.created")] == ["planner"]


def test_a_delegation_in_the_hosts_own_name_outlives_a_refresh_of_the_parent(
    manager: SessionManager, rival: SessionManager, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = manager.create("planner", scopes="a b", ttl=3_600)
    befall_after_signing(monkeypatch, manager, lambda: rival.refresh(parent.id))
    child = manager.delegate(manager.get_session(parent.id), "helper", scopes="a")
    assert manager.validate(child.token).session_id == child.id


@pytest.mark.parametrize("befall", [revoked, run_out, purged])
@pytest.mark.parametrize("below", [False, True])
def test_what_befalls_a_session_or_its_parent_before_the_write_refuses_the_refresh(
    manager: SessionManager,
    rival: SessionManager,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    befall: Befall,
    below: bool,
) -> None:
    parent = manager.create("planner", scopes="a b", ttl=3_600)
    session: IssuedSession = manager.delegate(parent.token, "helper", scopes="a") if below else parent
    befall_after_signing(monkeypatch, manager, lambda: befall(rival, clock, parent.id))
    with pytest.raises((SessionEnded, SessionNotFound)):
        manager.refresh(session)
    assert manager.events.read(types="session.refreshed") == []


def test_of_two_refreshes_at_once_each_is_the_next_generation(
    manager: SessionManager, rival: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = manager.create("planner", scopes="a")
    befall_after_signing(monkeypatch, manager, lambda: rival.refresh(session.id))
    renewed = manager.refresh(session)
    assert renewed.generation == 3
    assert manager.validate(renewed.token).generation == 3


def test_a_refresh_that_names_its_generation_gives_way_to_another(
    manager: SessionManager, rival: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = manager.create("planner", scopes="a")
    befall_after_signing(monkeypatch, manager, lambda: rival.refresh(session.id))
    with pytest.raises(TokenSuperseded):
        manager.refresh(session, expected_generation=1)
    assert manager.get_session(session.id).generation == 2


def test_a_policy_that_is_put_in_force_before_the_write_decides(
    manager: SessionManager, rival: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.reload_policy({"roles": {"reader": {"scopes": "a b"}}})
    parent = manager.create("planner", scopes="a b", role="reader")
    narrow = {"roles": {"reader": {"scopes": "a"}}}
    befall_after_signing(monkeypatch, manager, lambda: rival.reload_policy(narrow))
    with pytest.raises(DelegationRefused, match="planner lacks b"):
        manager.delegate(parent, "helper", scopes="b")
    manager.reload_policy({})
    befall_after_signing(monkeypatch, manager, lambda: rival.reload_policy(narrow))
    with pytest.raises(PolicyDenied, match="role reader may not have b"):
        manager.create("planner", scopes="b", role="reader")
    assert len(manager.events.read(types="session.created")) == 1


def test_a_child_whose_time_was_over_before_the_write_is_never_made(
    manager: SessionManager, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = manager.create("planner", scopes="a")
    befall_after_signing(monkeypatch, manager, lambda: clock.advance(6))
    with pytest.raises(SessionEnded) as refused:
        manager.delegate(parent, "helper", scopes="a", ttl=5)
    assert refused.value.cause == "ttl"
    assert manager.sessions.last(agent_id="helper") is None


@pytest.mark.parametrize("other", [{"max_lifetime": 9_000}, {"ttl": 7_200}, {"max_lifetime": 3_600}])
def test_a_repeated_request_that_is_to_last_otherwise_is_another_one(
    manager: SessionManager, other: dict[str, Any]
) -> None:
    first: dict[str, Any] = {"scopes": "a", "ttl": 3_600, "max_lifetime": 7_200, "request_id": "one"}
    made = manager.create("planner", **first)
    assert manager.create("planner", **first).id == made.id
    with pytest.raises(InvalidArgument, match="different request"):
        manager.create("planner", **{**first, **other})
    assert manager.create("planner", **first).absolute_expires_at == made.absolute_expires_at
