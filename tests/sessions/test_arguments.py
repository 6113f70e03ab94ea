"""Every argument that will not do is named as its caller wrote it, and what it was given comes out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clawguard import InvalidArgument, SessionManager, Verifier
from tests.openers import open_manager

BAD: Any = "x"

Call = Callable[[SessionManager, Any], object]


@pytest.fixture(scope="module")
def manager() -> Iterator[SessionManager]:
    with open_manager() as opened:
        yield opened


CALLS: dict[str, list[Call]] = {
    "idle_for": [lambda m, bad: m.history.cleanup_stale(bad)],
    "older_than": [lambda m, bad: m.sessions.purge(bad), lambda m, bad: m.activity.stuck(bad)],
    "lease": [lambda m, bad: m.activity.turn("s", lease=bad)],
    "timeout": [lambda m, bad: m.activity.turn("s", timeout=bad)],
    "ttl": [
        lambda m, bad: m.create("a", scopes="x", ttl=bad),
        lambda m, bad: m.delegate(m.create("a", scopes="x"), "b", scopes="x", ttl=bad),
        lambda m, bad: m.refresh(m.create("a", scopes="x"), ttl=bad),
    ],
    "idle_timeout": [
        lambda m, bad: m.create("a", scopes="x", idle_timeout=bad),
        lambda m, bad: m.delegate(m.create("a", scopes="x"), "b", scopes="x", idle_timeout=bad),
    ],
    "max_lifetime": [lambda m, bad: m.create("a", scopes="x", max_lifetime=bad)],
}
OPENED = ("sweep_every", "max_staleness", "lock_timeout", "refresh_idle", "refresh_grace")
NAMED = (
    "workspace_id",
    "role",
    "task_type",
    "key",
    "name",
    "request_id",
    "channel_id",
    "room_id",
    "sender_id",
)


@pytest.mark.parametrize("argument", CALLS)
def test_a_span_that_is_none_is_named(manager: SessionManager, argument: str) -> None:
    for call in CALLS[argument]:
        with pytest.raises(InvalidArgument) as refused:
            call(manager, BAD)
        assert refused.value.argument == argument


@pytest.mark.parametrize("argument", OPENED)
def test_a_setting_that_is_none_is_named(argument: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        SessionManager.open(":memory:", **{argument: BAD})
    assert refused.value.argument == argument


@pytest.mark.parametrize("argument", ["max_staleness", "lock_timeout"])
def test_a_verifiers_setting_that_is_none_is_named(tmp_path: Path, argument: str) -> None:
    for url in (tmp_path / "a.db", "https://auth.example.com"):
        if argument == "max_staleness" and url == "https://auth.example.com":
            continue  # a server is asked each time
        with pytest.raises(InvalidArgument) as refused:
            Verifier.open(url, token="x" if "//" in str(url) else None, **{argument: BAD})
        assert refused.value.argument == argument


@pytest.mark.parametrize("argument", NAMED)
def test_a_text_that_is_none_is_named(manager: SessionManager, argument: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        manager.create("a", scopes="x", **{argument: "a\nb"})  # type: ignore[arg-type]
    assert refused.value.argument == argument


def test_all_that_a_session_is_given_is_in_its_record(manager: SessionManager) -> None:
    own: dict[str, Any] = {
        "role": "r",
        "task_type": "t",
        "name": "n",
        "delegable": True,
        "cnf": {"jkt": "A" * 43},
        "metadata": {"a": [1]},
        "channel_id": "c",
        "room_id": "o",
        "sender_id": "s",
        "agent_alias": "i",
    }
    root = manager.create(
        "a",
        scopes="x",
        subject="user:ana",
        workspace_id="acme",
        audience=manager.audience,
        ttl=60,
        idle_timeout=30,
        max_lifetime=90,
        max_uses=9,
        key="one",
        **own,
    )
    child = manager.delegate(
        manager.get_session(root),
        "b",
        scopes="x",
        ttl=50,
        idle_timeout=20,
        max_uses=3,
        key="two",
        audience=manager.audience,
        **own,
    )
    for each, key, ttl, idle, uses in ((root, "one", 60, 30, 6), (child, "two", 50, 20, 3)):
        kept = manager.get_session(each)
        assert {name: getattr(kept, name) for name in own} == own
        assert (kept.key, kept.ttl, kept.idle_timeout, kept.uses_left) == (key, ttl, idle, uses)
        assert (kept.subject, kept.workspace_id, kept.audience) == ("user:ana", "acme", manager.audience)
    assert (root.absolute_expires_at - root.created_at).total_seconds() == 90
    assert (child.parent_id, child.depth, child.root_id) == (root.id, 1, root.id)


def test_a_token_is_never_taken_for_an_id(manager: SessionManager) -> None:
    for text in ("a.b.c", manager.create("a", scopes="x").token):
        with pytest.raises(InvalidArgument) as refused:
            manager.revoke(text)
        assert str(refused.value) == ("session: is a token, not an id; pass the session's id or its record")
