"""Tenants: every endpoint that takes an id answers for another workspace's as for one that nobody has."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from clawguard import IssuedSession
from tests.refusing import UNKNOWN
from tests.server.scene import Scene

BODIES: dict[str, dict[str, Any]] = {"delegate": {"agent_id": "x", "scopes": ["docs:read"]}}
ID_PARAMETERS = {"session_id", "parent_id"}


@pytest.fixture
def theirs(scene: Scene) -> IssuedSession:
    """Return a session of another workspace, with all that a session can have."""
    session = scene.manager.create(
        "planner", scopes="docs:*", workspace_id="acme", refreshable=True, key="k", metadata={"ticket": 17}
    )
    scene.manager.delegate(session, "reader", scopes="docs:read")
    scene.manager.history.append(session, {"role": "user", "content": "the invoice"})
    return session


def operations(scene: Scene) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and description of everything the server can be asked."""
    for path, methods in scene.app.openapi()["paths"].items():
        for method, told in methods.items():
            yield method.upper(), path, told


def by_id(scene: Scene) -> list[tuple[str, str, str | None]]:
    """Return what takes a session's id: in its path, or in a parameter."""
    found: list[tuple[str, str, str | None]] = []
    for method, path, told in operations(scene):
        if "{" in path:
            found.append((method, path, None))
        for each in told.get("parameters", ()):
            if each["in"] == "query" and each["name"] in ID_PARAMETERS:
                found.append((method, path, each["name"]))
    return found


def ask(scene: Scene, operation: tuple[str, str, str | None], session_id: str) -> httpx.Response:
    method, path, name = operation
    own = path.replace("{session_id}", session_id)
    params = {} if name is None else {name: session_id}
    params |= {"q": "invoice"} if path.endswith("search") else {}
    params |= {"idle": "0"} if path.endswith(("stream", "lines")) else {}
    body = BODIES.get(path.rpartition("/")[2], {}) if method == "POST" else None
    return scene.ask(method, own, as_=scene.admin, params=params, json=body)


def told(answer: httpx.Response) -> tuple[int, dict[str, Any], set[str]]:
    """Return what an answer tells, without what differs from request to request."""
    body = answer.json() | {"request_id": ""}
    text = str(body.pop("detail"))
    assert "no session" in text
    return answer.status_code, body, set(answer.headers)


def test_attack_118_every_endpoint_answers_for_a_foreign_id_as_for_an_unknown_one(
    scene: Scene, theirs: IssuedSession
) -> None:
    found = by_id(scene)
    assert len(found) >= 9
    before = scene.manager.events.last()
    for operation in found:
        foreign, unknown = (ask(scene, operation, each) for each in (theirs.id, UNKNOWN))
        assert foreign.status_code == 404, (operation, foreign.text)
        assert told(foreign) == told(unknown), operation
    assert scene.manager.events.last() == before
    assert scene.manager.validate(theirs.token)
    print(f"\n{len(found)} of {len(found)} operations by id: 404, as for an unknown one")


def test_a_foreign_id_takes_as_long_as_an_unknown_one(scene: Scene, theirs: IssuedSession) -> None:
    """Measured and told, not judged: both are one read of one row."""
    took: dict[str, list[float]] = {theirs.id: [], UNKNOWN: []}
    for _ in range(60):
        for session_id, times in took.items():
            start = time.perf_counter()
            ask(scene, ("GET", "/v1/sessions/{session_id}", None), session_id)
            times.append(time.perf_counter() - start)
    foreign, unknown = (statistics.median(each) for each in took.values())
    print(f"\na foreign id: {foreign * 1e3:.2f} ms, an unknown one: {unknown * 1e3:.2f} ms")
    assert scene.manager.events.read(session_id=theirs.id)  # it is there all the same


def test_nothing_takes_an_id_in_a_way_that_the_test_above_does_not_know(scene: Scene) -> None:
    """A new parameter or member that names a session has to be listed, and then is asked for."""
    for _, path, told in operations(scene):
        named = {each["name"] for each in told.get("parameters", ()) if each["name"].endswith("_id")}
        ids = {"session_id", "parent_id", "cause_id"}
        labels = {"agent_id", "channel_id", "room_id", "sender_id"}
        assert named <= ids | labels, path
    schemas = scene.app.openapi()["components"]["schemas"]
    asked = {name for name in schemas if "Answer" not in name and name not in ("Problem", "EventPage")}
    members = {(name, each) for name in asked for each in schemas[name].get("properties", {})}
    by_session = {(name, each) for name, each in members if each in ("session_id", "parent_id", "sid")}
    assert by_session == {("ContextAsked", "session_id")}  # see the tests of the verifiers' endpoints


def test_lists_searches_and_the_log_hold_ones_own_workspace_only(scene: Scene, theirs: IssuedSession) -> None:
    listed = scene.get("/v1/sessions").json()["items"]
    assert {each["workspace_id"] for each in listed} == {"default"}
    assert scene.get("/v1/history/search", params={"q": "invoice"}).json()["items"] == []
    events = scene.get("/v1/events").json()["items"]
    assert {each["workspace_id"] for each in events} == {"default"}
    for path in ("/v1/events/stream", "/v1/events/lines"):
        assert theirs.id not in scene.get(path, params={"after": 0, "idle": 0}).text
    own = scene.caller("*", workspace="acme")
    assert theirs.id in scene.get("/v1/events", as_=own).text
    assert theirs.id in scene.get("/v1/events/lines", as_=own, params={"after": 0, "idle": 0}).text


def test_the_acts_of_another_workspace_are_not_found_by_their_cause(
    scene: Scene, theirs: IssuedSession
) -> None:
    ended = scene.manager.revoke_all_for_agent("planner", workspace_id="acme")
    assert scene.get("/v1/events", params={"cause_id": ended.cause_id or ""}).json()["items"] == []


def test_attack_118_tokens_of_another_workspace_are_nothing_to_a_caller(
    scene: Scene, theirs: IssuedSession
) -> None:
    asked = scene.form("/oauth/introspect", scene.admin, token=theirs.token)
    assert asked.json() == {"active": False}
    assert scene.form("/oauth/revoke", scene.admin, token=theirs.token).status_code == 200
    assert scene.form("/oauth/revoke", scene.admin, token=theirs.refresh_token or "").status_code == 200
    exchange = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": theirs.token,
        "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
    }
    assert scene.form("/oauth/token", scene.admin, **exchange).json()["error"] == "invalid_request"
    refresh = {"grant_type": "refresh_token", "refresh_token": theirs.refresh_token or ""}
    assert scene.form("/oauth/token", scene.admin, **refresh).json()["error"] == "invalid_grant"
    body = {"session_id": theirs.id, "generation": 1, "scopes": ["docs:read"]}
    for path, sent in (
        ("/v1/validate", {"token": theirs.token}),
        ("/v1/validate", {"context": body}),
        ("/v1/validate", {"context": body, "quiet": True}),
        ("/v1/authorize", {"context": body, "action": "docs:read"}),
    ):
        assert scene.post(path, sent).json()["refusal"]["code"] == "invalid_token", path
    assert scene.manager.validate(theirs.token).generation == 1
    assert scene.manager.redeem(theirs.refresh_token or "").generation == 2


def test_attack_what_concerns_the_whole_database_is_for_the_servers_own_workspace(scene: Scene) -> None:
    tenant = scene.caller("*", workspace="acme")
    before = scene.manager.keys.active()
    for emergency in (False, True):
        refused = scene.post("/v1/keys/rotate", {"emergency": emergency}, as_=tenant)
        assert (refused.status_code, refused.json()["code"]) == (403, "policy_denied")
    assert scene.manager.keys.active() == before
    assert scene.get("/metrics", as_=tenant).status_code == 403
