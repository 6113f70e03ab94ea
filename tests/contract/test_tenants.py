"""Workspaces: what belongs to one is not there for another, whatever it is asked by."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest

from clawguard import (
    ConfigError,
    InvalidArgument,
    KeyInUse,
    Session,
    SessionManager,
    SessionNotFound,
    StoreUnavailable,
)
from tests.openers import open_manager, raw

Verb = Callable[[SessionManager, Any, str | None], object]

SAID = {"role": "user", "content": "hello"}

VERBS: dict[str, Verb] = {
    "get_session": lambda m, s, w: m.get_session(s, workspace_id=w),
    "sessions.get": lambda m, s, w: m.sessions.get(s, workspace_id=w),
    "sessions.children": lambda m, s, w: m.sessions.children(s, workspace_id=w),
    "sessions.tree": lambda m, s, w: m.sessions.tree(s, workspace_id=w),
    "sessions.lineage": lambda m, s, w: m.sessions.lineage(s, workspace_id=w),
    "set_name": lambda m, s, w: m.activity.set_name(s, "n", workspace_id=w),
    "set_agent_alias": lambda m, s, w: m.activity.set_agent_alias(s, "n", workspace_id=w),
    "set_metadata": lambda m, s, w: m.activity.set_metadata(s, {"n": 1}, workspace_id=w),
    "set_routing": lambda m, s, w: m.activity.set_routing(s, room_id="n", workspace_id=w),
    "set_state": lambda m, s, w: m.activity.set_state(s, "running", workspace_id=w),
    "refresh": lambda m, s, w: m.refresh(s, workspace_id=w),
    "end": lambda m, s, w: m.end(s, workspace_id=w),
    "invalidate": lambda m, s, w: m.invalidate(s, workspace_id=w),
    "revoke": lambda m, s, w: m.revoke(s, workspace_id=w),
    "history.append": lambda m, s, w: m.history.append(s, SAID, workspace_id=w),
    "history.update_last": lambda m, s, w: m.history.update_last(s, SAID, workspace_id=w) is not None,
    "history.remove_last": lambda m, s, w: m.history.remove_last(s, workspace_id=w) is not None,
    "history.clear": lambda m, s, w: m.history.clear(s, workspace_id=w) is not None,
    "history.delete": lambda m, s, w: m.history.delete(s, workspace_id=w),
    "history.load": lambda m, s, w: m.history.load(s, workspace_id=w) is not None,
    "history.load_with_timestamps": lambda m, s, w: (
        m.history.load_with_timestamps(s, workspace_id=w) is not None
    ),
    "history.tail": lambda m, s, w: m.history.tail(s, workspace_id=w) is not None,
    "history.count": lambda m, s, w: m.history.count(s, workspace_id=w) is not None,
    "history.metadata": lambda m, s, w: m.history.metadata(s, workspace_id=w),
    "history.wrap_up": lambda m, s, w: m.history.wrap_up(s, workspace_id=w),
    "history.search": lambda m, s, w: m.history.search("said", session=s, workspace_id=w) is not None,
    "history.export_jsonl": lambda m, s, w: m.history.export_jsonl(s, os.devnull + "/x", workspace_id=w),
    "history.import_jsonl": lambda m, s, w: m.history.import_jsonl(s, __file__, workspace_id=w),
    "history.fork": lambda m, s, w: m.history.fork(s, s, workspace_id=w),
}
# These go on, with a workspace that is right, to another error.
GO_ON = ("history.export_jsonl", "history.import_jsonl", "history.fork")


@pytest.fixture
def theirs(manager: SessionManager) -> Session:
    made = manager.create("a", scopes="x", workspace_id="theirs", key="k", request_id="r")
    manager.delegate(made, "b", scopes="x")
    return manager.get_session(made)


@pytest.mark.parametrize("name", VERBS)
def test_a_foreign_id_answers_as_an_unknown_one(manager: SessionManager, theirs: Session, name: str) -> None:
    before, log = manager.get_session(theirs), manager.events.last()
    unknown = str(uuid.uuid4())
    answers = []
    for session in (theirs.id, uuid.UUID(theirs.id), theirs, unknown):
        with pytest.raises(SessionNotFound) as caught:
            VERBS[name](manager, session, "ours")
        answers.append(str(caught.value).replace(theirs.id, "ID").replace(unknown, "ID"))
    assert len(set(answers)) == 1
    assert manager.get_session(theirs) == before
    assert manager.events.last() == log


@pytest.mark.parametrize("name", VERBS)
def test_its_own_workspace_reaches_it_and_so_does_the_host(
    manager: SessionManager, theirs: Session, name: str
) -> None:
    other = manager.create("a", scopes="x", workspace_id="other")
    for session_id, workspace_id in ((theirs.id, "theirs"), (other.id, None)):
        with pytest.raises((ConfigError, InvalidArgument)) if name in GO_ON else nullcontext():
            assert VERBS[name](manager, session_id, workspace_id) is not None


@pytest.mark.parametrize("workspace_id", ["", "a\nb", 7, "x" * 256])
def test_a_malformed_workspace_is_refused(
    manager: SessionManager, theirs: Session, workspace_id: Any
) -> None:
    for verb in VERBS.values():
        for session_id in (theirs.id, str(uuid.uuid4())):
            with pytest.raises(InvalidArgument, match="workspace_id"):
                verb(manager, session_id, workspace_id)
    with pytest.raises(InvalidArgument, match="workspace_id"):
        manager.events.read(workspace_id=workspace_id)


def test_keys_requests_counts_and_listings_are_each_workspaces_own(
    manager: SessionManager, theirs: Session
) -> None:
    ours = manager.create("a", scopes="x", workspace_id="ours", key="k", request_id="r")
    assert ours.id != theirs.id
    with pytest.raises(KeyInUse):
        manager.create("a", scopes="x", workspace_id="ours", key="k")
    assert manager.sessions.find(key="k", workspace_id="ours") == ours
    assert manager.sessions.find(key="k") is None
    assert [each.id for each in manager.sessions.page(workspace_id="ours").items] == [ours.id]
    assert [manager.active_count(workspace_id=each) for each in ("ours", "theirs", "default")] == [1, 2, 0]
    assert manager.sessions.page(workspace_id="ours", parent_id=theirs.id).items == ()
    cursor = manager.sessions.page(workspace_id="theirs", limit=1).next_cursor
    with pytest.raises(InvalidArgument, match="cursor"):
        manager.sessions.page(workspace_id="ours", limit=1, cursor=cursor)


def test_mass_ends_and_disabled_agents_stay_within_theirs(manager: SessionManager, theirs: Session) -> None:
    ours = manager.create("a", scopes="x", workspace_id="ours")
    assert manager.revoke_all_for_agent("a", workspace_id="ours").count == 1
    assert manager.revoke_where(agent_id="a", workspace_id="ours").count == 0
    assert manager.agents.disable("a", workspace_id="ours").count == 0
    assert manager.sessions.get(theirs).cause is None
    assert manager.sessions.get(ours).cause == "agent"
    assert manager.create("a", scopes="x", workspace_id="theirs")


def test_a_workspace_hears_its_own_events(manager: SessionManager, theirs: Session) -> None:
    ours = manager.create("a", scopes="x", workspace_id="ours")
    manager.keys.rotate()
    manager.revoke(ours)
    heard = manager.events.read(workspace_id="ours")
    assert [(each.type, each.session_id) for each in heard] == [
        ("session.created", ours.id),
        ("session.expired", ours.id),
    ]
    followed = list(manager.events.follow(after=0, workspace_id="theirs", timeout=0))
    assert {each.workspace_id for each in followed} == {"theirs"}
    assert manager.events.read(workspace_id="ours", session_id=theirs.id) == []
    assert manager.events.read(workspace_id="nobody") == []


def test_an_entry_that_cannot_be_read_is_nobodys_to_pass_over(database: str) -> None:
    with open_manager(database) as manager:
        manager.create("a", scopes="x", workspace_id="theirs")
        with raw(database) as connection:
            connection.execute("UPDATE events SET body = '{' WHERE seq = 1")
        with pytest.raises(StoreUnavailable, match="entry 1"):
            manager.events.read(workspace_id="ours")
