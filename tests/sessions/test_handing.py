"""What a fresh token is remembered by gives nobody more than its row, its line and the policy do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clawguard import SessionEnded, SessionManager
from tests.clocks import FakeClock
from tests.openers import open_manager

WIDE = {"roles": {"clerk": {"scopes": "docs:*"}}}
NARROW = {"roles": {"clerk": {"scopes": "docs:read"}}}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[SessionManager]:
    with open_manager(tmp_path / "data" / "clawguard.db", clock=FakeClock(), policy=WIDE) as opened:
        yield opened


@pytest.mark.parametrize("verb", ["refresh", "redeem", "redeem again"])
def test_a_session_from_before_a_narrower_policy_has_no_more_by_a_new_token(
    manager: SessionManager, verb: str
) -> None:
    made = manager.create("a", scopes="docs:read docs:write", role="clerk", refreshable=True)
    first = made.refresh_token or ""
    if verb == "redeem again":
        manager.redeem(first)
    manager.reload_policy(NARROW)
    fresh = manager.refresh(made) if verb == "refresh" else manager.redeem(first)
    assert str(manager.validate(fresh.token).scopes) == "docs:read"


def test_a_token_that_is_signed_anew_says_so_in_the_name_of_its_session(manager: SessionManager) -> None:
    made = manager.create("a", scopes="docs:read", role="clerk", refreshable=True, subject="user:ana")
    first = made.refresh_token or ""
    manager.redeem(first)
    manager.keys.rotate()
    again = manager.redeem(first)
    (told,) = manager.events.read(types="session.updated")
    assert (told.session_id, told.agent_id, told.subject) == (made.id, "a", "user:ana")
    assert (told.workspace_id, told.data) == (made.workspace_id, {"fields": ["kid"]})
    assert told.version == again.version == manager.get_session(made).version
    assert manager.validate(again.token).session_id == made.id


def test_nothing_goes_on_under_a_key_that_was_given_up(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = manager.create("a", scopes="docs:read", role="clerk")
    ring = manager._parts.guard.ring
    monkeypatch.setattr(type(ring), "state_of", lambda self, kid: "compromised")
    record = manager.get_session(made)
    calls: tuple[Callable[[], object], ...] = (
        lambda: manager.refresh(made),
        lambda: manager.delegate(record, "b", scopes="docs:read"),
    )
    for call in calls:
        with pytest.raises(SessionEnded) as refused:
            call()
        assert refused.value.cause == "key"
