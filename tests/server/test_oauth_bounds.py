"""The OAuth endpoints, asked for more: ends without a proof, bound callers, other audiences."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from clawguard import IssuedSession, SessionEnded
from clawguard.clock import SystemClock
from clawguard.guard import ProofKey
from tests.clocks import FakeClock
from tests.server.scene import BASE, Scene

ACCESS = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
TOKEN = f"{BASE}/oauth/token"


def exchange(
    scene: Scene, subject: IssuedSession, as_: IssuedSession | None = None, /, **more: str
) -> httpx.Response:
    fields = {"grant_type": EXCHANGE, "subject_token": subject.token, "subject_token_type": ACCESS} | more
    return scene.form("/oauth/token", as_, **fields)


def bound(scene: Scene, key: ProofKey, **given: Any) -> IssuedSession:
    return scene.manager.create("planner", scopes="docs:read", refreshable=True, cnf=key.cnf, **given)


# What ends a session.


def test_a_bound_refresh_token_ends_its_session_without_a_proof_and_is_not_redeemed_for_it(
    scene: Scene,
) -> None:
    for as_ in (None, scene.admin):
        family = bound(scene, ProofKey.generate())
        assert scene.form("/oauth/revoke", as_, token=family.refresh_token or "").status_code == 200
        with pytest.raises(SessionEnded, match="revoked"):
            scene.manager.validate(family.token)
        *_, ended = events = scene.manager.events.read(session_id=family.id)
        assert [each.type for each in events] == ["session.created", "session.expired"]
        assert ended.actor == f"session:{(as_ or family).id}"


def test_the_end_of_a_family_is_one_transaction(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can come between: what fails at the end leaves the refresh token as it was."""
    family = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    token = family.refresh_token or ""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(scene.manager._endings, "_cascade", fail)
        assert scene.form("/oauth/revoke", token=token).status_code == 500
    assert scene.manager.validate(family.token).generation == 1
    assert scene.manager.redeem(token).generation == 2


def test_attack_61_a_spent_refresh_token_shown_to_be_revoked_is_a_reuse(
    scene: Scene, clock: FakeClock
) -> None:
    families = [scene.manager.create("planner", scopes="docs:read", refreshable=True) for _ in range(2)]
    for family in families:
        scene.manager.redeem(family.refresh_token or "")
    first, second = families
    scene.form("/oauth/revoke", token=first.refresh_token or "")  # within the grace: as its successor
    assert scene.manager.get_session(first.id).cause == "revoked"
    clock.advance(11)
    scene.form("/oauth/revoke", token=second.refresh_token or "")
    assert scene.manager.get_session(second.id).cause == "reuse"
    types = [each.type for each in scene.manager.events.read(session_id=second.id)]
    assert types[-2:] == ["token.reuse_detected", "session.expired"]


def test_attack_118_a_caller_ends_no_family_of_another_workspace(scene: Scene) -> None:
    theirs = bound(scene, ProofKey.generate(), workspace_id="acme")
    assert scene.form("/oauth/revoke", scene.admin, token=theirs.refresh_token or "").status_code == 200
    assert scene.manager.get_session(theirs.id).cause is None


# A caller that is bound redeems with the one proof that a request has.


def redeem(scene: Scene, caller: IssuedSession, key: ProofKey, refresh_token: str | None) -> httpx.Response:
    headers = caller.headers() | {"DPoP": key.proof(method="POST", url=TOKEN, token=caller.token)}
    fields = {"grant_type": "refresh_token", "refresh_token": refresh_token or ""}
    return scene.ask("POST", "/oauth/token", headers=headers, data=fields)


def test_a_bound_caller_redeems_what_is_bound_to_its_key_and_nothing_else(
    scene: Scene, clock: FakeClock
) -> None:
    clock.at = SystemClock().now()
    key, other = ProofKey.generate(), ProofKey.generate()
    caller = scene.caller("docs:read", cnf=key.cnf)
    own, theirs, plain = bound(scene, key), bound(scene, other), scene.caller("", refreshable=True)
    given = redeem(scene, caller, key, own.refresh_token)
    assert (given.status_code, given.json()["token_type"]) == (200, "DPoP"), given.text
    again = redeem(scene, caller, key, own.refresh_token)  # a lost answer, within the grace
    assert again.json()["refresh_token"] == given.json()["refresh_token"]
    refused = redeem(scene, caller, key, theirs.refresh_token)
    assert refused.json()["error"] == "invalid_dpop_proof"
    assert scene.manager.get_session(theirs.id).generation == 1
    assert redeem(scene, caller, key, plain.refresh_token).json()["token_type"] == "Bearer"


def test_attack_x5_the_proof_of_a_bound_caller_is_good_once(scene: Scene, clock: FakeClock) -> None:
    clock.at = SystemClock().now()
    key = ProofKey.generate()
    caller, own = scene.caller("docs:read", cnf=key.cnf), bound(scene, key)
    headers = caller.headers() | {"DPoP": key.proof(method="POST", url=TOKEN, token=caller.token)}
    fields = {"grant_type": "refresh_token", "refresh_token": own.refresh_token or ""}
    answers = [scene.ask("POST", "/oauth/token", headers=headers, data=fields) for _ in range(2)]
    assert [each.status_code for each in answers] == [200, 401]


# For whom an exchanged token is.


def test_attack_a_service_exchanges_what_it_was_shown_for_no_other_audience(scene: Scene) -> None:
    shown = scene.manager.create("planner", scopes="docs:read", audience="mail")
    for audience in ("clawguard", "billing"):
        for name in ("audience", "resource"):
            refused = exchange(scene, shown, **{name: audience})
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_target")
    tool = scene.manager.create("tool", scopes="docs:read", audience="mail")
    as_another = exchange(scene, shown, actor_token=tool.token, actor_token_type=ACCESS)
    assert as_another.json()["error"] == "invalid_request"
    kept = exchange(scene, shown, audience="mail").json()["access_token"]
    assert scene.manager.validate(kept, audience="mail").audience == "mail"
    assert len(scene.manager.sessions.tree(shown)) == 2


def test_a_caller_changes_the_audience_of_what_it_could_delegate_itself(scene: Scene) -> None:
    shown = scene.manager.create("planner", scopes="docs:read", audience="mail", ttl=60, max_lifetime=60)
    errors = {}
    for scopes in (
        "docs:read",
        "clawguard:sessions:delegate",
        "clawguard:sessions:delegate docs:read",
    ):
        answer = exchange(scene, shown, scene.caller(scopes), audience="clawguard")
        errors[scopes] = answer.json().get("error")
    assert list(errors.values()) == ["invalid_target", "invalid_scope", None]
    longer = scene.manager.create("planner", scopes="docs:read", audience="mail", max_lifetime=864_000)
    host = scene.caller("clawguard:sessions:delegate docs:read")
    assert exchange(scene, longer, host, audience="clawguard").json()["error"] == "unauthorized_client"
    assert exchange(scene, longer, scene.admin, audience="clawguard").status_code == 200
