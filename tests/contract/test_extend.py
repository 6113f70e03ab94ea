"""Many messages at once: all of them or none, numbered in a row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clawguard import InvalidArgument, Session, SessionEnded, SessionManager, SessionNotFound
from clawguard.history.messages import Message
from tests.clocks import FakeClock

HELLO = {"role": "user", "content": "hello"}


@pytest.fixture
def session(manager: SessionManager) -> Session:
    return manager.create("planner", scopes="x")


def test_messages_are_appended_in_a_row_and_found(
    manager: SessionManager, session: Session, clock: FakeClock
) -> None:
    assert manager.history.append(session, HELLO) == 1
    clock.advance(5)
    said = [{"role": "user", "content": f"word{number}"} for number in range(1_200)]
    assert manager.history.extend(session, said) == (2, 1_201)
    entries = manager.history.load_with_timestamps(session)
    assert [each.seq for each in entries] == list(range(1, 1_202))
    assert [each.message.to_dict() for each in entries[1:]] == said
    assert {each.at for each in entries[1:]} == {clock.datetime}
    assert [hit.seq for hit in manager.history.search("word7 word1199")] == [1_201, 9]
    assert manager.get_session(session).last_activity == clock.datetime


def test_anything_that_gives_messages_will_do(manager: SessionManager, session: Session) -> None:
    def stream() -> Iterator[Message]:
        yield Message(role="user", content="a")
        yield Message(role="tool", content="b", tool_call_id="c")

    assert manager.history.extend(session, stream(), index_tools=True) == (1, 2)
    assert [hit.seq for hit in manager.history.search("b")] == [2]


@pytest.mark.parametrize(
    ("messages", "argument"),
    [
        ([], "messages"),
        ((), "messages"),
        (HELLO, "messages"),
        ("hello", "messages"),
        (None, "messages"),
        ([HELLO, HELLO, {"role": "hush"}], "messages[2]"),
        ([HELLO, "hush"], "messages[1]"),
        ([HELLO, {"role": "user", "content": "hush\ud800"}], "messages[1]"),
    ],
)
def test_one_message_at_fault_is_named_and_none_is_appended(
    manager: SessionManager, session: Session, messages: Any, argument: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        manager.history.extend(session, messages)
    assert caught.value.argument == argument
    assert "hush" not in str(caught.value)
    assert manager.history.count(session) == 0


def test_only_a_live_session_of_the_workspace_takes_them(manager: SessionManager, session: Session) -> None:
    with pytest.raises(SessionNotFound):
        manager.history.extend(session, [HELLO], workspace_id="other")
    manager.revoke(session)
    with pytest.raises(SessionEnded):
        manager.history.extend(session, [HELLO])
    with pytest.raises(SessionNotFound):
        manager.history.extend("0190d2a0-1111-7000-8000-000000000001", [HELLO])
    assert manager.history.load(session) == ()
