"""The records."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, asdict, fields
from typing import Any

import pytest

from clawguard.clock import SECOND, to_datetime
from clawguard.models import (
    Actor,
    IssuedSession,
    Page,
    Session,
    SessionContext,
    decode_actors,
    encode_actors,
)
from clawguard.scopes import ScopeSet

NOW = 1_790_000_000_123_456
TOKEN = "eyJhbGciOiJFUzI1NiJ9.e30.c2VjcmV0"
JTI = "0190d2a0-4444-7000-8000-000000000004"
ROW: dict[str, Any] = {
    "grant_name": None,
    "granted": 0,
    "uses_left": None,
    "refresh_idle": None,
    "cnf": None,
    "id": "0190d2a0-1111-7000-8000-000000000001",
    "version": 1,
    "generation": 2,
    "key": None,
    "request_id": None,
    "agent_id": "planner",
    "agent_alias": None,
    "subject": "user:ana",
    "workspace_id": "default",
    "audience": "clawguard",
    "role": "writer",
    "scopes": "docs:read mail:send",
    "task_type": None,
    "actors": '[["host","0190d2a0-3333-7000-8000-000000000003"]]',
    "parent_id": None,
    "root_id": "0190d2a0-1111-7000-8000-000000000001",
    "depth": 0,
    "delegable": 1,
    "forked_from": None,
    "name": None,
    "metadata": '{"a":[1]}',
    "engine_url": None,
    "engine_version": None,
    "channel_id": None,
    "room_id": None,
    "sender_id": None,
    "state": "idle",
    "turn_id": None,
    "turn_started_at": None,
    "kid": "k" * 43,
    "jti": JTI,
    "created_at": NOW,
    "issued_at": NOW,
    "token_expires_at": NOW + 900 * SECOND,
    "ttl": 900 * SECOND,
    "expires_at": NOW + 900 * SECOND,
    "absolute_expires_at": NOW + 3600 * SECOND,
    "idle_timeout": 1_500_000,
    "last_activity": NOW,
    "last_source": None,
    "ended_at": None,
    "cause": None,
    "reason": None,
    "ended_by": None,
    "due_at": NOW + 1_500_000,
}


def session() -> Session:
    return Session.from_row(ROW)


def issued() -> IssuedSession:
    return IssuedSession(session(), token=TOKEN)


def test_a_row_becomes_a_record() -> None:
    record = session()
    assert record.created_at == to_datetime(NOW)
    assert record.turn_started_at is None
    assert (record.ttl, record.idle_timeout) == (900.0, 1.5)
    assert record.scopes == ScopeSet.of("docs:read mail:send")
    assert record.actors == (Actor("host", "0190d2a0-3333-7000-8000-000000000003"),)
    assert record.delegable is True
    assert record.metadata == {"a": [1]}


@pytest.mark.parametrize("columns", [0, 1, len(fields(Session)) - 1, len(fields(Session)) + 1])
def test_a_row_of_another_width(columns: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        Session.from_tuple((None,) * columns)


def test_records_are_frozen_and_slotted() -> None:
    for record in (session(), issued(), issued().as_context()):
        with pytest.raises(FrozenInstanceError):
            record.agent_id = "other"  # type: ignore[misc]
        assert not hasattr(record, "__dict__")


def test_a_dump_is_json_and_leaves_the_ids_of_tokens_out() -> None:
    for record in (session(), issued()):
        dump = record.to_dict()
        text = json.dumps(dump)
        assert JTI not in text
        assert TOKEN not in text
        assert dump["created_at"] == "2026-09-21T14:13:20.123456+00:00"
        assert dump["scopes"] == ["docs:read", "mail:send"]
        assert dump["actors"] == [{"agent_id": "host", "session_id": "0190d2a0-3333-7000-8000-000000000003"}]


@pytest.mark.parametrize("show", [repr, str, "{}".format, asdict, pickle.dumps])
def test_a_token_shows_nowhere(show: Any) -> None:
    shown = show(issued())
    assert TOKEN not in (shown.decode("latin-1") if isinstance(shown, bytes) else str(shown))
    assert JTI not in repr(issued())


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))]
)
def test_a_copy_of_an_issued_session_is_a_plain_session(duplicate: Any) -> None:
    again = duplicate(issued())
    assert type(again) is Session
    assert again == session()
    assert not hasattr(again, "token")


def test_a_token_is_handed_on() -> None:
    assert issued().token == TOKEN
    assert issued().headers() == {"Authorization": f"Bearer {TOKEN}"}
    assert issued().environ() == {"CLAWGUARD_TOKEN": TOKEN}
    with pytest.raises((AttributeError, TypeError)):
        issued().token = "other"  # type: ignore[misc]


def test_a_context_says_what_the_session_says() -> None:
    context = issued().as_context()
    for each in fields(SessionContext):
        if each.name != "session_id":
            assert getattr(context, each.name) == getattr(issued(), each.name)
    assert context.session_id == issued().id
    assert context.has_scope("docs:read")
    assert not context.has_scope("docs:write")
    assert json.loads(json.dumps(context.to_dict()))["scopes"] == ["docs:read", "mail:send"]
    assert TOKEN not in repr(context)


def test_actors_come_back() -> None:
    actors = (Actor("host", "a"), Actor('quo"te', "b"))
    assert decode_actors(encode_actors(actors)) == actors
    assert encode_actors(()) == "[]"
    assert decode_actors("[]") == ()


def test_a_page() -> None:
    page = Page((1, 2), None)
    assert (page.items, page.next_cursor) == ((1, 2), None)
