"""Hosts over HTTP: what a caller makes or has handed out reaches no further than the caller itself."""

from __future__ import annotations

from typing import Any

import pytest

from clawguard.guard import ProofKey
from clawguard.server.first_start import ADMIN_KEY
from tests.clocks import FakeClock
from tests.server.scene import BASE, Scene

SESSIONS = "/v1/sessions"
HOST = "clawguard:sessions:create clawguard:sessions:delegate clawguard:sessions:refresh docs:read"
BODY: dict[str, Any] = {"agent_id": "x", "scopes": ["docs:read"]}


def code_of(scene: Scene, path: str, body: dict[str, Any] | None = None, **sent: Any) -> str:
    answer = scene.post(path, body, **sent)
    assert answer.status_code == 403, answer.text
    return str(answer.json()["code"])


@pytest.mark.parametrize("bound", [{"max_uses": 9}, {"delegable": False}])
def test_attack_who_is_bound_makes_no_root(scene: Scene, bound: dict[str, Any]) -> None:
    assert scene.post(SESSIONS, BODY, as_=scene.caller(HOST)).status_code == 201
    assert code_of(scene, SESSIONS, BODY, as_=scene.caller(HOST, **bound)) == "policy_denied"


def test_attack_who_is_below_another_makes_no_root(scene: Scene) -> None:
    child = scene.manager.delegate(scene.caller(HOST), "child", scopes=HOST)
    assert code_of(scene, SESSIONS, BODY, as_=child) == "policy_denied"
    made = scene.post(f"{SESSIONS}/{child.id}/delegate", BODY, as_=child)
    assert made.json()["parent_id"] == child.id


def test_attack_who_has_no_role_gives_none(scene: Scene) -> None:
    host, boss = scene.caller(HOST), scene.manager.create("boss", scopes="docs:read", role="boss", ttl=60)
    for named in ({"role": "boss"}, {"task_type": "write"}):
        assert code_of(scene, SESSIONS, BODY | named, as_=host) == "policy_denied"
        assert scene.post(SESSIONS, BODY | named).status_code == 201  # the admin's explicit authority
    for verb, body in (("refresh", None), ("delegate", BODY)):
        assert code_of(scene, f"{SESSIONS}/{boss.id}/{verb}", body, as_=host) == "policy_denied"


@pytest.mark.parametrize(("verb", "body"), [("refresh", None), ("delegate", BODY)])
def test_attack_no_token_is_handed_out_of_a_session_that_outlives_the_caller(
    scene: Scene, verb: str, body: dict[str, Any] | None
) -> None:
    host = scene.caller(HOST, ttl=600, max_lifetime=600)
    own = scene.post(SESSIONS, BODY, as_=host).json()
    longer = scene.manager.create("planner", scopes="docs:read", ttl=600, max_lifetime=86_400)
    assert scene.post(f"{SESSIONS}/{own['id']}/{verb}", body, as_=host).status_code in (200, 201)
    assert code_of(scene, f"{SESSIONS}/{longer.id}/{verb}", body, as_=host) == "policy_denied"
    assert scene.post(f"{SESSIONS}/{longer.id}/{verb}", body).status_code in (200, 201)


def test_attack_the_key_of_the_first_start_is_taken_by_nobody_else(scene: Scene) -> None:
    assert code_of(scene, SESSIONS, BODY | {"key": ADMIN_KEY}, as_=scene.caller(HOST)) == "policy_denied"


def test_attack_a_bound_caller_makes_no_root_that_is_not(scene: Scene, clock: FakeClock) -> None:
    key = ProofKey.generate(clock=clock)
    host = scene.caller(HOST, cnf=key.cnf)
    proof = key.proof(method="POST", url=f"{BASE}{SESSIONS}", token=host.token)
    answer = scene.ask("POST", SESSIONS, as_=host, headers={"DPoP": proof}, json=BODY)
    assert answer.json()["code"] == "policy_denied"
