"""The keys over HTTP: listed, and rotated with and without an emergency."""

from __future__ import annotations

import pytest

from clawguard import AccessDenied
from tests.clocks import FakeClock
from tests.server.scene import Scene

ROTATE = "/v1/keys/rotate"


def states(scene: Scene) -> list[str]:
    return [each["state"] for each in scene.get("/v1/keys").json()["items"]]


def test_keys_are_listed_without_anything_secret(scene: Scene) -> None:
    items = scene.get("/v1/keys").json()["items"]
    assert [each["state"] for each in items] == ["active", "next"]
    told = {"kid", "algorithm", "state", "verify_until", "created_at", "activated_at"}
    assert all(each.keys() == told for each in items)


def test_a_rotation_lets_the_next_key_sign_and_ends_nothing(scene: Scene, clock: FakeClock) -> None:
    assert scene.post(ROTATE, {"dry_run": True}).json() == {"count": 0, "cause_id": None}
    assert states(scene) == ["active", "next"]
    clock.advance(1)
    assert scene.post(ROTATE).json()["count"] == 0
    assert states(scene) == ["retiring", "active", "next"]
    assert scene.get("/v1/keys").status_code == 200  # the caller's token holds on


def test_in_an_emergency_what_the_key_signed_ends_the_callers_session_too(scene: Scene) -> None:
    session = scene.manager.create("planner", scopes="docs:read")
    assert scene.post(ROTATE, {"emergency": True, "dry_run": True}).json()["count"] == 2
    told = scene.post(ROTATE, {"emergency": True})
    assert (told.status_code, told.json()["count"]) == (200, 2)
    for each in (session, scene.admin):
        with pytest.raises(AccessDenied):
            scene.manager.validate(each.token)
        assert scene.manager.get_session(each.id).cause == "key"
    assert scene.get("/v1/keys").status_code == 401


def test_another_algorithm_is_taken_for_the_new_keys(scene: Scene) -> None:
    scene.post(ROTATE, {"algorithm": "EdDSA"})
    assert scene.manager.keys.active().algorithm == "EdDSA"
    assert scene.post(ROTATE, {"algorithm": "HS256"}).status_code == 422
    rotator = scene.caller("clawguard:keys:read")
    assert scene.post(ROTATE, as_=rotator).status_code == 403
