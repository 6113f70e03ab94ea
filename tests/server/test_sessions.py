"""Sessions over HTTP: what each verb does, and what a caller cannot give."""

from __future__ import annotations

import pytest

from clawguard import InvalidToken, SessionEnded, StoreUnavailable
from clawguard.events.audit import AuditLog
from tests.clocks import FakeClock
from tests.refusing import UNKNOWN
from tests.server.scene import Scene

SESSIONS = "/v1/sessions"


def test_a_session_is_made_shown_listed_and_ended(scene: Scene) -> None:
    made = scene.post(SESSIONS, {"agent_id": "planner", "scopes": ["docs:read"], "subject": "user:ana"})
    assert made.status_code == 201, made.text
    issued = made.json()
    assert scene.manager.validate(issued["token"]).subject == "user:ana"
    assert made.headers["cache-control"] == "no-store"

    shown = scene.get(f"{SESSIONS}/{issued['id']}").json()
    assert "token" not in shown
    assert shown["scopes"] == ["docs:read"]
    listed = scene.get(SESSIONS, params={"agent_id": "planner"}).json()
    assert [each["id"] for each in listed["items"]] == [issued["id"]]

    ended = scene.post(f"{SESSIONS}/{issued['id']}/revoke", {"reason": "leaked"})
    (event,) = scene.manager.events.read(types="session.expired")
    assert ended.json() == {"count": 1, "cause_id": event.cause_id}
    again = scene.post(f"{SESSIONS}/{issued['id']}/revoke")
    assert again.json() == {"count": 0, "cause_id": None}
    with pytest.raises(SessionEnded, match="leaked"):
        scene.manager.validate(issued["token"])


def test_the_log_says_who_did_it(scene: Scene) -> None:
    host = scene.caller("clawguard:sessions:revoke")
    session = scene.manager.create("planner", scopes="docs:read")
    scene.post(f"{SESSIONS}/{session.id}/revoke", as_=host)
    assert scene.manager.events.read(session_id=session.id)[-1].actor == f"session:{host.id}"


def test_an_end_tells_how_many_ended_with_it_and_by_what_id_the_log_lists_them(scene: Scene) -> None:
    parent = scene.manager.create("planner", scopes="docs:*")
    children = [scene.manager.delegate(parent, "reader", scopes="docs:read") for _ in range(1_002)]
    scene.manager.revoke(children[0])
    scene.manager.revoke(scene.manager.create("other", scopes="docs:read"))
    revoker = scene.caller("clawguard:sessions:revoke")  # it may not read the log, and need not
    ended = scene.post(f"{SESSIONS}/{parent.id}/revoke", as_=revoker).json()
    assert ended["count"] == 1_002
    listed = scene.manager.events.read(cause_id=ended["cause_id"], limit=1_000)
    assert listed[0].session_id == parent.id
    assert {each.cause for each in listed[1:]} == {"parent"}


def test_an_end_that_the_log_cannot_tell_of_is_told_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("gone")

    session = scene.manager.create("planner", scopes="docs:read")
    monkeypatch.setattr(AuditLog, "read", fail)
    ended = scene.post(f"{SESSIONS}/{session.id}/revoke")
    assert (ended.status_code, ended.json()) == (200, {"count": 1, "cause_id": None})
    with pytest.raises(SessionEnded):
        scene.manager.validate(session.token)


def test_pages_go_on_where_the_last_one_ended(scene: Scene, clock: FakeClock) -> None:
    for number in range(5):
        clock.advance(1)
        scene.manager.create(f"agent-{number}", scopes="docs:read")
    first = scene.get(SESSIONS, params={"limit": 4}).json()
    second = scene.get(SESSIONS, params={"limit": 4, "cursor": first["next_cursor"]}).json()
    names = [each["agent_id"] for each in first["items"] + second["items"]]
    assert names == ["agent-4", "agent-3", "agent-2", "agent-1", "agent-0", "host"]
    assert second["next_cursor"] is None
    foreign = scene.get(SESSIONS, params={"live": True, "cursor": first["next_cursor"]})
    assert (foreign.status_code, foreign.json()["argument"]) == (400, "cursor")


def test_a_child_is_made_and_stands_in_the_tree(scene: Scene) -> None:
    parent = scene.manager.create("planner", scopes="docs:* mail:send")
    made = scene.post(f"{SESSIONS}/{parent.id}/delegate", {"agent_id": "reader", "scopes": ["docs:read"]})
    assert made.status_code == 201, made.text
    assert made.json()["parent_id"] == parent.id
    tree = scene.get(f"{SESSIONS}/{parent.id}/tree").json()
    assert [each["agent_id"] for each in tree["items"]] == ["planner", "reader"]
    refused = scene.post(f"{SESSIONS}/{parent.id}/delegate", {"agent_id": "reader", "scopes": ["web:read"]})
    assert (refused.status_code, refused.json()["missing"]) == (403, ["web:read"])


def test_a_refresh_gives_the_next_token_and_is_a_compare_and_set(scene: Scene) -> None:
    session = scene.manager.create("planner", scopes="docs:read")
    path = f"{SESSIONS}/{session.id}/refresh"
    first = scene.post(path, {"expected_generation": 1})
    assert first.json()["generation"] == 2
    again = scene.post(path, {"expected_generation": 1})
    assert (again.status_code, again.json()["code"]) == (409, "token_superseded")
    scene.manager.revoke(session)
    ended = scene.post(path)
    assert (ended.status_code, ended.json()["cause"]) == (409, "revoked")


def test_many_end_at_once_and_a_dry_run_ends_none(scene: Scene) -> None:
    for name in ("ana", "ana", "ben"):
        scene.manager.create("planner", scopes="docs:read", subject=f"user:{name}")
    path = f"{SESSIONS}/revoke"
    counted = scene.post(path, {"where": {"subject": "user:ana"}, "dry_run": True}).json()
    assert counted == {"count": 2, "cause_id": None}
    assert scene.manager.active_count() == 4
    ended = scene.post(path, {"where": {"subject": "user:ana"}, "reason": "left"}).json()
    assert ended["count"] == 2
    events = scene.get("/v1/events", params={"cause_id": ended["cause_id"]}).json()["items"]
    assert [each["reason"] for each in events] == ["left", "left"]
    assert scene.post(path, {"where": {}}).status_code == 422
    assert scene.post(path, {"everything": True}).json()["count"] == 2
    assert scene.manager.active_count() == 0


def test_everything_is_everything_of_ones_own_workspace(scene: Scene) -> None:
    theirs = scene.caller("docs:read", workspace="acme")
    assert scene.post(f"{SESSIONS}/revoke", {"everything": True}).json()["count"] == 1
    assert scene.manager.validate(theirs.token)


def test_the_same_request_id_gives_the_same_session(scene: Scene) -> None:
    body = {"agent_id": "planner", "scopes": ["docs:read"], "request_id": "r-1"}
    assert scene.post(SESSIONS, body).json()["id"] == scene.post(SESSIONS, body).json()["id"]
    other = scene.post(SESSIONS, body | {"agent_id": "reader"})
    assert (other.status_code, other.json()["argument"]) == (400, "request_id")


def test_what_stands_in_the_way_is_told(scene: Scene) -> None:
    body = {"agent_id": "planner", "scopes": ["docs:read"], "key": "telegram_1"}
    holder = scene.post(SESSIONS, body).json()["id"]
    taken = scene.post(SESSIONS, body)
    assert (taken.status_code, taken.json()["session_id"]) == (409, holder)
    absent = scene.get(f"{SESSIONS}/{UNKNOWN}")
    assert (absent.status_code, absent.headers["content-type"]) == (404, "application/problem+json")
    assert absent.json()["request_id"] == absent.headers["x-request-id"]


# What a caller cannot give.


def test_attack_a_caller_cannot_create_with_a_scope_that_it_lacks(scene: Scene) -> None:
    host = scene.caller("clawguard:sessions:create docs:read")
    for scopes in (["docs:write"], ["docs:*"], ["*"], ["docs:read", "clawguard:admin"]):
        refused = scene.post(SESSIONS, {"agent_id": "x", "scopes": scopes}, as_=host)
        assert (refused.status_code, refused.json()["code"]) == (403, "insufficient_scope")
    assert scene.manager.active_count() == 2


def test_attack_a_caller_with_a_role_or_task_cannot_create_without_it_or_with_another(scene: Scene) -> None:
    scopes = "clawguard:sessions:create docs:read"
    host = scene.caller(scopes, role="searcher", task_type="search")
    body = {"agent_id": "x", "scopes": ["docs:read"]}
    made = scene.post(SESSIONS, body, as_=host).json()
    assert (made["role"], made["task_type"]) == ("searcher", "search")
    for other in ({"role": "coordinator"}, {"task_type": "write"}):
        assert scene.post(SESSIONS, body | other, as_=host).json()["code"] == "policy_denied"


def test_attack_a_caller_cannot_outlive_itself_by_creating(scene: Scene) -> None:
    host = scene.caller("clawguard:sessions:create docs:read", ttl=600, max_lifetime=600)
    body = {"agent_id": "x", "scopes": ["docs:read"], "ttl": 86_400, "max_lifetime": 864_000}
    made = scene.post(SESSIONS, body, as_=host).json()
    own = scene.manager.get_session(made["id"])
    assert own.absolute_expires_at <= host.absolute_expires_at
    longer = scene.post(SESSIONS, body).json()  # the admin's explicit authority
    assert scene.manager.get_session(longer["id"]).absolute_expires_at > host.absolute_expires_at


def test_attack_a_caller_cannot_refresh_itself_a_token_with_more_than_it_has(scene: Scene) -> None:
    rich = scene.manager.create("planner", scopes="docs:* mail:send", role="coordinator")
    host = scene.caller("clawguard:sessions:refresh docs:*")
    refused = scene.post(f"{SESSIONS}/{rich.id}/refresh", as_=host)
    assert (refused.status_code, refused.json()["missing"]) == (403, ["mail:send"])
    scene.manager.validate(rich.token)  # nothing has happened to it
    other = scene.caller("clawguard:sessions:refresh docs:* mail:send", role="searcher")
    assert scene.post(f"{SESSIONS}/{rich.id}/refresh", as_=other).json()["code"] == "policy_denied"


def test_attack_a_caller_cannot_delegate_from_another_what_it_lacks_itself(scene: Scene) -> None:
    rich = scene.manager.create("planner", scopes="docs:* mail:send")
    host = scene.caller("clawguard:sessions:delegate docs:read")
    body = {"agent_id": "x", "scopes": ["mail:send"]}
    refused = scene.post(f"{SESSIONS}/{rich.id}/delegate", body, as_=host)
    assert (refused.status_code, refused.json()["missing"]) == (403, ["mail:send"])


def test_a_caller_needs_the_scope_of_what_it_does(scene: Scene) -> None:
    reader = scene.caller("clawguard:sessions:read")
    refused = scene.post(SESSIONS, {"agent_id": "x", "scopes": []}, as_=reader)
    assert refused.status_code == 403
    assert 'scope="clawguard:sessions:create"' in refused.headers["www-authenticate"]
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_caller_without_a_valid_token_is_told_no_more_than_that(scene: Scene) -> None:
    assert scene.ask("GET", SESSIONS).status_code == 401
    scene.manager.revoke(scene.admin)
    with pytest.raises(SessionEnded):
        scene.manager.validate(scene.admin.token)
    ended = scene.get(SESSIONS)
    forged = scene.ask("GET", SESSIONS, headers={"Authorization": f"Bearer {scene.admin.token[:-8]}AAAAAAAA"})
    with pytest.raises(InvalidToken):
        scene.manager.validate(f"{scene.admin.token[:-8]}AAAAAAAA")
    told = [{**each.json(), "request_id": ""} for each in (ended, forged)]
    assert told[0] == told[1]
    assert ended.headers["www-authenticate"] == forged.headers["www-authenticate"]


def test_a_token_in_place_of_an_id_or_a_text_is_refused_and_not_repeated(scene: Scene) -> None:
    token = scene.admin.token
    refresh_token = scene.caller("docs:read", refreshable=True).refresh_token
    for answer in (
        scene.get(f"{SESSIONS}/{token}"),
        scene.post(SESSIONS, {"agent_id": token, "scopes": []}),
        scene.get(SESSIONS, params={"subject": token}),
        scene.post(SESSIONS, {"agent_id": "x", "scopes": [], token: 1}),
        scene.post(SESSIONS, {"agent_id": "x", "scopes": [], "metadata": {"auth": [f"Bearer {token}"]}}),
        scene.post(SESSIONS, {"agent_id": "x", "scopes": [], "metadata": {token: 1}}),
        scene.post(SESSIONS, {"agent_id": "x", "scopes": [], "name": f"x {refresh_token}"}),
        scene.get("/v1/sessions", params={"access_token": token}),
    ):
        assert answer.status_code in (400, 404, 422), answer.text
        assert token not in answer.text
