"""Agents over HTTP: counted by the store, a page at a time, and of the caller's own workspace."""

from __future__ import annotations

from tests.clocks import FakeClock
from tests.server.scene import Scene

AGENTS = "/v1/agents"


def test_agents_are_told_with_their_live_sessions_and_whether_they_are_disabled(
    scene: Scene, clock: FakeClock
) -> None:
    scene.manager.create("planner", scopes="docs:read")
    clock.advance(1)
    newest = scene.manager.create("planner", scopes="docs:read", subject="user:ana")
    scene.manager.revoke(scene.manager.create("gone", scopes="docs:read"))
    scene.manager.agents.disable("crawler", reason="runs wild", actor="user:ana")
    told = scene.get(AGENTS).json()
    assert [(each["agent_id"], each["live"]) for each in told["items"]] == [
        ("crawler", 0),
        ("host", 1),
        ("planner", 2),
    ]
    crawler, _, planner = told["items"]
    assert (crawler["disabled"]["reason"], crawler["disabled"]["by"]) == ("runs wild", "user:ana")
    assert crawler["newest"] is None
    assert planner["disabled"] is None
    assert planner["newest"] == scene.get(f"/v1/sessions/{newest.id}").json()
    assert told["next_cursor"] is None


def test_pages_of_agents_go_on_where_the_last_one_ended(scene: Scene) -> None:
    for name in ("a", "😀" * 249, "😁"):
        scene.manager.create(name, scopes="docs:read")
    found: list[str] = []
    cursor: dict[str, str | None] = {}
    for _ in range(4):
        page = scene.get(AGENTS, params={"limit": 1, **cursor}).json()
        found += [each["agent_id"] for each in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert (found, cursor) == (["a", "host", "😀" * 249, "😁"], {"cursor": None})


def test_agents_are_for_whoever_may_list_sessions(scene: Scene) -> None:
    assert scene.get(AGENTS, as_=scene.caller("clawguard:sessions:read")).status_code == 200
    for scopes in ("clawguard:sessions:create", "clawguard:events:read", "docs:*"):
        assert scene.get(AGENTS, as_=scene.caller(scopes)).status_code == 403
    assert scene.ask("GET", AGENTS).status_code == 401


def test_attack_118_the_agents_of_another_workspace_are_nobodys_to_see(scene: Scene) -> None:
    scene.manager.create("secret-agent", scopes="docs:read", workspace_id="acme")
    scene.manager.agents.disable("secret-outcast", workspace_id="acme")
    own = scene.caller("*", workspace="acme")
    first = scene.get(AGENTS, as_=own, params={"limit": 1}).json()
    assert [each["agent_id"] for each in first["items"]] == ["host"]
    theirs = scene.get(AGENTS, params={"cursor": first["next_cursor"]})
    assert (theirs.status_code, theirs.json()["argument"]) == (400, "cursor")
    assert "secret" not in scene.get(AGENTS).text
    assert "secret-agent" in scene.get(AGENTS, as_=own).text
    assert "secret-outcast" in scene.get(AGENTS, as_=own).text
