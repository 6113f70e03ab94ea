"""Every event about a session says whose it is, whichever change it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawguard import SessionManager
from tests.openers import open_manager

HELLO = {"role": "user", "content": "hello"}
CHANGES: dict[str, Callable[[SessionManager, Any], object]] = {
    "session.refreshed": lambda m, s: m.refresh(s),
    "session.updated": lambda m, s: m.activity.set_name(s, "n"),
    "session.expired": lambda m, s: m.revoke(s),
    "history.deleted": lambda m, s: m.history.delete(s),
}


@pytest.mark.parametrize("event_type", CHANGES)
def test_an_event_about_a_session_says_whose_it_is(event_type: str) -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x", subject="user:ana", workspace_id="acme")
        manager.history.append(made, HELLO)
        CHANGES[event_type](manager, made)
        told = manager.events.read(session_id=made.id)
        assert event_type in [each.type for each in told]
        for each in told:
            whose = (each.session_id, each.agent_id, each.subject, each.workspace_id)
            assert whose == (made.id, "a", "user:ana", "acme"), each.type
