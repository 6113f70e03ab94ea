"""A summary says of a conversation what its entries say, and nothing else has a say in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clawguard.history.messages import encode, read_message
from clawguard.history.records import Entry, SessionMetadata
from clawguard.history.wrap_up import summarize
from tests.history.test_messages import MESSAGES

BEGAN = datetime(2026, 5, 1, 9, 30, tzinfo=UTC)


def metadata(**more: Any) -> SessionMetadata:
    names = dict.fromkeys(SessionMetadata.__slots__)
    known = {
        "session_id": "0190d2a0-1111-7000-8000-000000000001",
        "agent_id": "planner",
        "workspace_id": "default",
        "subject": "user:ana",
        "state": "idle",
        "created_at": BEGAN,
        "last_activity": BEGAN + timedelta(seconds=95),
        "message_count": 0,
    }
    return SessionMetadata(**names | known | more)  # type: ignore[arg-type]


def entries(*messages: dict[str, Any]) -> list[Entry]:
    return [
        Entry((seq, *encode(read_message(message), at=0)[:-1])) for seq, message in enumerate(messages, 1)
    ]


def test_a_summary_tells_duration_kinds_tools_and_what_was_asked_first() -> None:
    def call(*names: str) -> dict[str, Any]:
        return {"role": "assistant", "tool_calls": [{"function": {"name": name}} for name in names]}

    use = {"role": "assistant", "content": [{"type": "tool_use", "name": "find", "input": {}}]}
    said = entries(
        {"role": "system", "content": "be brief"},
        {"kind": "warn", "content": "no disk"},
        {"role": "user", "content": "  what is new?\n> really  "},
        call("find", "read"),
        use,
        {"role": "user", "content": "and then?"},
    )
    found = summarize(metadata(ended_at=BEGAN + timedelta(hours=2, seconds=5), name="Plan"), said)
    assert found.duration == 7_205
    assert found.kinds == {"message": 5, "warn": 1}
    assert found.tools == {"find": 2, "read": 1}
    assert found.first_prompt == "what is new?\n> really"
    assert "what is new" not in repr(found)
    assert found.to_markdown() == (
        "# Plan\n\n"
        "- session: `0190d2a0-1111-7000-8000-000000000001`, agent `planner`\n"
        "- from 2026-05-01 09:30:00 UTC, until 2026-05-01 11:30:05 UTC: 2 h 5 s\n"
        "- 6 entries: message 5, warn 1\n"
        "- tools: find 2, read 1\n"
        "\nFirst asked:\n\n> what is new?\n> > really\n"
    )
    assert found.to_dict()["started_at"] == "2026-05-01T09:30:00+00:00"


def test_a_live_session_lasts_up_to_its_last_activity() -> None:
    found = summarize(metadata(), [])
    assert (found.duration, found.count, found.first_prompt) == (95, 0, None)
    assert "still live: 1 min 35 s" in found.to_markdown()
    assert "no entries" in found.to_markdown()


def test_a_prompt_is_what_was_asked_first_whoever_wrote_it_down() -> None:
    said = entries({"kind": "prompt", "content": "> status"}, {"role": "user", "content": "later"})
    assert summarize(metadata(), said).first_prompt == "> status"


@given(st.lists(MESSAGES, max_size=5))
def test_any_conversation_can_be_summed_up(messages: list[dict[str, Any]]) -> None:
    said = entries(*messages)
    found = summarize(metadata(), said)
    assert found.count == len(said) == sum(found.kinds.values())
    assert found.to_markdown().startswith("# planner\n")
    assert summarize(metadata(), said) == found
