"""Hosts over HTTP: what a caller makes or has handed out reaches no further than the caller itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clawguard.guard import ProofKey
from clawguard.server.first_start import ADMIN_KEY
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.server.scene import BASE, Scene
from tests.server.test_oauth_bounds import exchange

SESSIONS = "/v1/sessions"
HOST = "clawguard:sessions:create clawguard:sessions:delegate clawguard:sessions:refresh docs:read"
HOSTS = (f"{HOST} docs:*", f"{HOST} docs:* clawguard:sessions:revoke")
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


def test_attack_the_key_of_the_first_start_is_no_childs_either(scene: Scene) -> None:
    host = scene.caller(HOST)
    for parent in (host, scene.manager.create("planner", scopes="docs:read", ttl=60, max_lifetime=60)):
        path = f"{SESSIONS}/{parent.id}/delegate"
        assert code_of(scene, path, BODY | {"key": ADMIN_KEY}, as_=host) == "policy_denied"
    assert scene.manager.sessions.find(key=ADMIN_KEY) is None


@pytest.mark.parametrize("is_due", [False, True])
def test_attack_what_was_asked_before_the_caller_ended_is_not_made_after(
    scene: Scene, clock: FakeClock, is_due: bool
) -> None:
    """A root is nobody's child: it would outlive the revoke that it raced."""
    host = scene.caller(HOST, ttl=600)
    plain = scene.manager._parts.guard.issue

    def issue(*given: Any) -> str:
        """Sign, while elsewhere the caller is ended: all that is asked of it has been looked at by now."""
        if is_due:
            clock.advance(601)
        else:
            scene.manager.revoke(host)
        return plain(*given)

    with pytest.MonkeyPatch.context() as raced:
        raced.setattr(scene.manager._parts.guard, "issue", issue)
        answer = scene.post(SESSIONS, BODY, as_=host)
        assert answer.status_code in (401, 409), answer.text
    assert not scene.manager.sessions.page(agent_id="x").items


def test_attack_a_bound_caller_makes_no_root_that_is_not(scene: Scene, clock: FakeClock) -> None:
    key = ProofKey.generate(clock=clock)
    host = scene.caller(HOST, cnf=key.cnf)
    proof = key.proof(method="POST", url=f"{BASE}{SESSIONS}", token=host.token)
    answer = scene.ask("POST", SESSIONS, as_=host, headers={"DPoP": proof}, json=BODY)
    assert answer.json()["code"] == "policy_denied"


# What is made in a caller's name.


def test_a_request_that_is_repeated_gives_the_same_session_however_late(
    scene: Scene, clock: FakeClock
) -> None:
    host = scene.caller(HOST, ttl=7_200, max_lifetime=7_200)
    asked = BODY | {"ttl": 86_400, "max_lifetime": 864_000, "request_id": "cut by the caller's end"}
    shorter = BODY | {"max_lifetime": 3_700, "request_id": "cut by it only when it is repeated"}
    for body in (asked, shorter):
        made = []
        for _ in range(3):
            made.append(scene.post(SESSIONS, body, as_=host).json())
            clock.advance(900)
        assert len({each["id"] for each in made}) == 1, made
        assert scene.manager.validate(made[-1]["token"]).session_id == made[0]["id"]
        other = scene.post(SESSIONS, body | {"max_lifetime": 900}, as_=host)
        assert (other.status_code, other.json()["argument"]) == (400, "request_id")
    late = scene.caller(HOST, ttl=9_000, max_lifetime=9_000)  # who ends later has asked for something else
    assert scene.post(SESSIONS, asked, as_=late).status_code == 400


def test_what_is_made_ends_with_its_maker_to_the_microsecond(scene: Scene, clock: FakeClock) -> None:
    host = scene.caller(HOST, ttl=600, max_lifetime=600)
    clock.advance(1.234567)
    made = scene.post(SESSIONS, BODY | {"ttl": 86_400}, as_=host).json()
    assert scene.manager.get_session(made["id"]).absolute_expires_at == host.absolute_expires_at
    assert scene.post(f"{SESSIONS}/{made['id']}/refresh", as_=host).status_code == 200


def test_the_log_says_for_whom_a_session_was_made(scene: Scene) -> None:
    host = scene.caller(HOST)
    made = scene.post(SESSIONS, BODY, as_=host).json()
    child = scene.post(f"{SESSIONS}/{made['id']}/delegate", BODY, as_=host).json()
    planner = scene.manager.create("planner", scopes="docs:read")
    for as_ in (host, None):
        assert exchange(scene, planner, as_).status_code == 200
    below = {each.agent_id: each.id for each in scene.manager.sessions.tree(planner)[1:]}
    makers = [
        scene.manager.events.read(session_id=session_id)[0].actor
        for session_id in (made["id"], child["id"], below["host"], below["planner"], planner.id)
    ]
    assert makers == [*[f"session:{host.id}"] * 3, f"session:{planner.id}", None]


@pytest.fixture
def crowded() -> Iterator[Scene]:
    with open_manager(max_sessions_per_agent=2, at_limit="evict_oldest") as manager:
        yield Scene(manager)


def test_attack_who_may_not_end_a_session_has_none_evicted(crowded: Scene) -> None:
    manager = crowded.manager
    host, reaper = (manager.create(f"h{n}", scopes=scopes) for n, scopes in enumerate(HOSTS))
    planner = manager.create("planner", scopes="docs:*")
    first = [manager.create("x", scopes="docs:read").id for _ in range(2)]

    def ended() -> list[str]:
        return [each for each in first if manager.get_session(each).cause is not None]

    below = f"{SESSIONS}/{planner.id}/delegate"
    for path in (SESSIONS, below):
        full = crowded.post(path, BODY, as_=host)
        assert (full.status_code, full.json()["code"]) == (409, "limit_reached")
    manager.create("planner", scopes="docs:read")
    assert exchange(crowded, planner).json()["error"] == "invalid_request"  # not its own agent's either
    assert ended() == []
    assert crowded.post(below, BODY, as_=reaper).status_code == 201
    (one,) = ended()
    evicted = manager.get_session(one)
    assert (evicted.cause, evicted.ended_by) == ("limit", f"session:{reaper.id}")
    assert manager.create("x", scopes="docs:read")  # the host itself, beside the store
