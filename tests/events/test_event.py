"""The record of an event."""

from __future__ import annotations

from datetime import UTC, datetime

from clawguard import Event

SESSION = "0190d2a0-1111-7000-8000-000000000001"


def test_an_event_is_one_aligned_line() -> None:
    event = Event(
        seq=7,
        id="0190d2a0-5555-7000-8000-000000000005",
        type="session.expired",
        at=datetime(2026, 9, 21, 14, 13, 20, 123_456, UTC),
        workspace_id="default",
        session_id=SESSION,
        version=2,
        agent_id="planner",
        subject="user:ana",
        actor="host",
        cause="revoked",
        reason="leaked",
        cause_id=None,
        data={},
        prev_hash="0" * 64,
        hash="1" * 64,
    )
    expected = f"14:13:20.123456  #7     session.expired        planner          {SESSION}  revoked (leaked)"
    assert str(event) == expected
    assert event.to_dict()["at"] == "2026-09-21T14:13:20.123456+00:00"
