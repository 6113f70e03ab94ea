"""An event of the host's own is whose session it is about, wherever it is published."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawguard import SessionManager, SessionNotFound
from tests.openers import open_manager


@pytest.fixture
def manager() -> Iterator[SessionManager]:
    with open_manager() as opened:
        opened.events.register("note.taken")
        yield opened


def test_an_event_about_a_session_is_in_its_workspace_and_in_its_name(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", workspace_id="acme", subject="user:ana")
    with manager.use(made.token):
        bound = manager.publish("note.taken", {})
    named = manager.publish("note.taken", {}, session=made)
    held = manager.publish("note.taken", {}, session=made.id, workspace_id="acme")
    for each in (bound, named, held):
        whose = (each.session_id, each.agent_id, each.subject, each.workspace_id)
        assert whose == (made.id, "a", "user:ana", "acme")
    assert [each.actor for each in (bound, named)] == [f"session:{made.id}", "host"]


def test_a_session_of_another_workspace_is_unknown(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", workspace_id="acme")
    with pytest.raises(SessionNotFound):
        manager.publish("note.taken", {}, session=made, workspace_id="default")
    with manager.use(made.token):
        told = manager.publish("note.taken", {}, workspace_id="default")
    assert (told.session_id, told.agent_id, told.workspace_id) == (None, None, "default")
