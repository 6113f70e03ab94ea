"""OpenAI Agents: a conversation in the history of a session, item by item as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import (
    AsyncSessionManager,
    InvalidArgument,
    SessionEnded,
    SessionManager,
    SessionNotFound,
)
from clawguard.models import IssuedSession

pytest.importorskip("agents", reason="needs the extra openai-agents")

from agents import Agent, Runner, SessionSettings, function_tool
from agents.memory import Session, SQLiteSession

from clawguard.agents.openai import HistorySession
from tests.agents.openai_models import Scripted, Turn, call, reasoning, says

ITEMS: list[Any] = [
    {"content": "Which rooms are free in 京都?", "role": "user"},
    {"role": "user", "type": "message", "content": [{"type": "input_text", "text": "quiet"}, {"n": 1.0}]},
    {"id": "rs_1", "summary": [{"text": "hush", "type": "summary_text"}], "type": "reasoning"},
    {"arguments": '{"secret": "s3cret"}', "call_id": "c1", "name": "find", "type": "function_call"},
    {"call_id": "c1", "output": [{"type": "input_text", "text": "s3cret"}], "type": "function_call_output"},
    {"role": "developer", "content": "Be brief."},
    {"type": "item_reference", "id": "msg_7"},
    {
        "id": "msg_1",
        "content": [{"annotations": [], "text": "The garden room.", "type": "output_text", "logprobs": None}],
        "role": "assistant",
        "status": "completed",
        "type": "message",
    },
]


@pytest.fixture
def planner(manager: SessionManager) -> IssuedSession:
    return manager.create("planner", scopes="docs:read")


@pytest.fixture
def conversation(manager: SessionManager, planner: IssuedSession) -> HistorySession:
    return HistorySession(manager, planner)


def test_it_is_a_session_as_the_sdk_has_it(conversation: HistorySession, planner: IssuedSession) -> None:
    assert isinstance(conversation, Session)
    assert conversation.session_id == planner.id
    assert conversation.session_settings is None


def test_items_come_back_byte_for_byte(conversation: HistorySession) -> None:
    async def work() -> Any:
        await conversation.add_items(ITEMS)
        return await conversation.get_items()

    assert json.dumps(asyncio.run(work())) == json.dumps(ITEMS)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ANY_ITEM = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "developer", "tool"]) | VALUES,
        "type": st.sampled_from(["message", "function_call", "computer_call_output", "reasoning"]) | VALUES,
        "content": VALUES,
        "name": VALUES,
        "output": VALUES,
        "kind": VALUES,
        "seq": VALUES,
    },
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(ANY_ITEM, max_size=4))
def test_any_json_comes_back_byte_for_byte(manager: SessionManager, items: Any) -> None:
    conversation = HistorySession(manager, manager.create("planner", scopes=""))

    async def work() -> tuple[Any, Any]:
        await conversation.add_items(items)
        popped = [await conversation.pop_item() for _ in items]
        await conversation.add_items(items)
        return await conversation.get_items(), popped

    try:
        found, popped = asyncio.run(work())
    except InvalidArgument:
        assert any("\\ud" in json.dumps(item) for item in items)  # what no UTF-8 text has
        return
    assert json.dumps(found) == json.dumps(items)
    assert json.dumps(popped[::-1]) == json.dumps(items)


@pytest.mark.parametrize("limit", [0, 1, 3, len(ITEMS), 99])
def test_a_limit_gives_the_newest(manager: SessionManager, planner: IssuedSession, limit: int) -> None:
    own = HistorySession(manager, planner, session_settings=SessionSettings(limit=limit))
    theirs = SQLiteSession("peer")

    async def work(session: Any, **limited: int) -> Any:
        if not limited:
            await session.add_items(ITEMS)
        return await session.get_items(**limited)

    asyncio.run(work(own))
    asyncio.run(work(theirs))
    expected = asyncio.run(work(theirs, limit=limit))
    assert asyncio.run(work(own, limit=limit)) == expected
    assert asyncio.run(own.get_items()) == expected
    theirs.close()


def test_a_limit_below_nothing_is_refused(conversation: HistorySession) -> None:
    with pytest.raises(InvalidArgument, match="limit"):
        asyncio.run(conversation.get_items(limit=-1))


def test_a_search_finds_what_was_said_and_nothing_of_tools(
    manager: SessionManager, conversation: HistorySession, planner: IssuedSession
) -> None:
    asyncio.run(conversation.add_items(ITEMS))
    assert [hit.seq for word in ("京都", "garden", "quiet") for hit in manager.history.search(word)] == [
        1,
        8,
        2,
    ]
    for hidden in ("s3cret", "hush", "find", "c2VhbGVk", "msg_7"):
        assert manager.history.search(hidden) == ()
    assert manager.history.wrap_up(planner).tools == {"find": 1}


def test_what_the_host_appended_is_read_where_somebody_speaks_and_never_taken_away(
    manager: SessionManager, conversation: HistorySession, planner: IssuedSession
) -> None:
    said = {"role": "user", "content": "hello"}
    manager.history.append(planner, said)
    asyncio.run(conversation.add_items([ITEMS[0]]))
    for note in ({"kind": "alert", "content": "disk"}, {"role": "tool", "content": "42"}):
        manager.history.append(planner, note)
    assert asyncio.run(conversation.get_items()) == [said, ITEMS[0]]
    assert asyncio.run(conversation.get_items(limit=1)) == [ITEMS[0]]
    assert asyncio.run(conversation.pop_item()) is None
    assert manager.history.count(planner) == 4
    manager.history.remove_last(planner)
    manager.history.remove_last(planner)
    assert asyncio.run(conversation.pop_item()) == ITEMS[0]
    assert asyncio.run(conversation.pop_item()) == said
    assert asyncio.run(conversation.pop_item()) is None


def test_what_is_taken_is_the_newest_when_it_is_taken(
    manager: SessionManager,
    conversation: HistorySession,
    planner: IssuedSession,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another appends between the look and the removal."""
    said = [{"role": "user", "content": "hello"}]
    read = conversation._history.tail

    async def tail(*args: Any, **options: Any) -> Any:
        found = await read(*args, **options)
        if said:
            manager.history.append(planner, said.pop())
        return found

    asyncio.run(conversation.add_items([ITEMS[0]]))
    monkeypatch.setattr(conversation._history, "tail", tail)
    assert asyncio.run(conversation.pop_item()) == {"role": "user", "content": "hello"}
    assert asyncio.run(conversation.get_items()) == [ITEMS[0]]


def test_what_is_no_item_changes_nothing(conversation: HistorySession) -> None:
    for bad in (7, {"content": float("nan")}, {"content": "\ud800"}, {"content": b"x"}):
        items: Any = [ITEMS[0], bad]
        with pytest.raises(InvalidArgument):
            asyncio.run(conversation.add_items(items))
    assert asyncio.run(conversation.get_items()) == []


def test_clearing_leaves_the_session_alive(manager: SessionManager, conversation: HistorySession) -> None:
    asyncio.run(conversation.add_items(ITEMS))
    asyncio.run(conversation.clear_session())
    assert asyncio.run(conversation.get_items()) == []
    assert asyncio.run(conversation.pop_item()) is None
    assert manager.active_count() == 1


CHANGES: list[Callable[[HistorySession], Any]] = [
    lambda each: each.add_items([ITEMS[0]]),
    lambda each: each.clear_session(),
    lambda each: each.pop_item(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_brings_a_session_into_being(
    manager: SessionManager, conversation: HistorySession, planner: IssuedSession, change: Any
) -> None:
    asyncio.run(conversation.add_items([ITEMS[0]]))
    elsewhere = HistorySession(manager, planner, workspace_id="other")
    for unknown in (HistorySession(manager, "no-such-session"), elsewhere):
        with pytest.raises(SessionNotFound):
            asyncio.run(change(unknown))
    manager.revoke(planner)
    with pytest.raises(SessionEnded):
        asyncio.run(change(conversation))
    assert asyncio.run(conversation.get_items()) == [ITEMS[0]]
    assert len(list(manager.sessions.iter())) == 1


@pytest.mark.parametrize("twin", [False, True])
def test_a_token_names_no_conversation(manager: SessionManager, planner: IssuedSession, twin: bool) -> None:
    with pytest.raises(InvalidArgument, match="is a token"):
        HistorySession(AsyncSessionManager(manager) if twin else manager, planner.token)


def test_a_run_goes_on_where_the_last_one_ended(
    manager: SessionManager, conversation: HistorySession, planner: IssuedSession
) -> None:
    @function_tool
    def find(what: str) -> str:
        """Find."""
        return f"{what}: 120"

    asked: Turn = [reasoning("hush"), call("find", what="garden room")]
    model = Scripted(asked, [says("120")], [says("As I said, 120.")])
    host = Agent(name="planner", model=model, tools=[find])
    for question in ("What is it?", "Again?"):
        asyncio.run(Runner.run(host, question, session=conversation))
    items: list[Any] = asyncio.run(conversation.get_items())
    kinds = [item.get("type", item.get("role")) for item in items]
    assert kinds == [
        "user",
        "reasoning",
        "function_call",
        "function_call_output",
        "message",
        "user",
        "message",
    ]
    shown = json.loads(model.seen[-1])[1]
    assert [item.get("call_id") for item in shown] == [item.get("call_id") for item in items[:-1]]
    assert [entry.text for entry in manager.history.load_with_timestamps(planner) if entry.text] == [
        "What is it?",
        "120",
        "Again?",
        "As I said, 120.",
    ]


def test_a_run_on_a_session_that_has_ended_fails_before_the_model_is_asked(
    manager: SessionManager, conversation: HistorySession, planner: IssuedSession
) -> None:
    manager.revoke(planner)
    model = Scripted([says("never")])
    with pytest.raises(SessionEnded):
        asyncio.run(Runner.run(Agent(name="planner", model=model), "go", session=conversation))
    assert not model.seen
