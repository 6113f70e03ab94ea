"""What a live session is called, where it talks, what it is doing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from clawguard import InvalidArgument, Session, SessionEnded, SessionManager, SessionNotFound
from tests.clocks import FakeClock

Setter = Callable[[SessionManager, Any], Session]

SETTERS: dict[str, Setter] = {
    "set_name": lambda manager, session: manager.activity.set_name(session, "Plan"),
    "set_agent_alias": lambda manager, session: manager.activity.set_agent_alias(session, "P"),
    "set_metadata": lambda manager, session: manager.activity.set_metadata(session, {"a": [1]}),
    "set_routing": lambda manager, session: manager.activity.set_routing(session, room_id="r"),
    "set_state": lambda manager, session: manager.activity.set_state(session, "running", turn_id="t"),
}


@pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)
def test_a_setter_moves_the_version_and_is_an_event(manager: SessionManager, setter: Setter) -> None:
    made = manager.create("a", scopes="x")
    updated = setter(manager, made)
    assert updated == manager.get_session(made.id)
    assert updated.version == made.version + 1
    event = manager.events.read(types="session.updated")[-1]
    assert (event.session_id, event.version, event.agent_id) == (made.id, updated.version, "a")
    manager.validate(made.token)


@pytest.mark.parametrize("setter", SETTERS.values(), ids=SETTERS)
def test_a_setter_refuses_what_is_ended_or_due_or_unknown(
    manager: SessionManager, clock: FakeClock, setter: Setter
) -> None:
    ended, due = manager.create("a", scopes="x"), manager.create("a", scopes="x", ttl=10)
    manager.revoke(ended)
    clock.advance(10)
    with pytest.raises(SessionEnded, match="revoked"):
        setter(manager, ended)
    with pytest.raises(SessionEnded, match="ttl"):
        setter(manager, due)
    assert manager.get_session(due.id).cause == "ttl"
    with pytest.raises(SessionNotFound):
        setter(manager, "0190d2a0-1111-7000-8000-000000000001")
    assert manager.events.read(types="session.updated") == []


def test_a_blank_takes_a_name_away(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", name="n", agent_alias="b")
    assert manager.activity.set_name(made, "").name is None
    assert manager.activity.set_agent_alias(made, None).agent_alias is None


def test_a_blank_never_overwrites_routing(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x", channel_id="c", room_id="r")
    kept = manager.activity.set_routing(made, channel_id="  ", room_id=None, sender_id="s")
    assert (kept.channel_id, kept.room_id, kept.sender_id) == ("c", "r", "s")


def test_running_turns_newest_first_stuck_ones_oldest_first(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = []
    for _ in range(3):
        made.append(manager.create("a", scopes="x").id)
        manager.activity.set_state(made[-1], "running", turn_id="t")
        clock.advance(10)
    manager.activity.set_state(manager.create("a", scopes="x", workspace_id="w"), "running")
    manager.activity.set_state(manager.create("a", scopes="x"), "error")
    assert [each.id for each in manager.activity.running()] == made[::-1]
    assert [each.id for each in manager.activity.stuck(15)] == made[:2]
    assert [each.id for each in manager.activity.stuck(0)] == made
    idle = manager.activity.set_state(made[0], "idle")
    assert (idle.turn_id, idle.turn_started_at) == (None, None)
    manager.revoke(made[1])
    assert [each.id for each in manager.activity.running()] == [made[2]]


@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("state", lambda manager, made: manager.activity.set_state(made, "asleep")),
        ("turn_id", lambda manager, made: manager.activity.set_state(made, "running", turn_id="\n")),
        ("name", lambda manager, made: manager.activity.set_name(made, "x" * 256)),
        ("agent_alias", lambda manager, made: manager.activity.set_agent_alias(made, 5)),
        ("metadata", lambda manager, made: manager.activity.set_metadata(made, {"a": {1}})),
        ("room_id", lambda manager, made: manager.activity.set_routing(made, room_id="\ud800")),
        ("channel_id", lambda manager, made: manager.activity.set_routing(made, channel_id=5)),
        ("older_than", lambda manager, made: manager.activity.stuck(-1)),
        ("workspace_id", lambda manager, made: manager.activity.running(workspace_id="")),
    ],
)
def test_a_setter_names_the_bad_argument_and_changes_nothing(
    manager: SessionManager, argument: str, call: Callable[[SessionManager, Session], Any]
) -> None:
    made = manager.create("a", scopes="x")
    with pytest.raises(InvalidArgument) as refusal:
        call(manager, made)
    assert refusal.value.argument == argument
    assert manager.get_session(made.id).version == 1
