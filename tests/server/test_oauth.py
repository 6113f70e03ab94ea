"""The OAuth endpoints: exchange, refresh, revocation, introspection, and what they tell of themselves."""

from __future__ import annotations

import httpx
import pytest

from clawguard import IssuedSession, SessionEnded, SessionManager
from clawguard.clock import SystemClock
from clawguard.guard import ProofKey
from clawguard.server import Settings
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.server.scene import BASE, Scene

ACCESS = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


def exchange(
    scene: Scene, subject: IssuedSession, as_: IssuedSession | None = None, /, **more: str
) -> httpx.Response:
    fields = {"grant_type": EXCHANGE, "subject_token": subject.token, "subject_token_type": ACCESS} | more
    return scene.form("/oauth/token", as_, **fields)


# Exchange: a delegation with an actor.


def test_an_exchange_is_a_delegation_to_the_actor(scene: Scene) -> None:
    planner = scene.manager.create("planner", scopes="docs:* mail:send", subject="user:ana")
    tool = scene.manager.create("tool", scopes="web:read")
    answer = exchange(scene, planner, actor_token=tool.token, actor_token_type=ACCESS, scope="docs:read")
    given = answer.json()
    assert answer.status_code == 200, given
    assert (given["token_type"], given["issued_token_type"], given["scope"]) == (
        "Bearer",
        ACCESS,
        "docs:read",
    )
    child = scene.manager.validate(given["access_token"])
    assert (child.agent_id, child.subject) == ("tool", "user:ana")
    claims = scene.manager.inspect(given["access_token"]).claims or {}
    assert claims["act"]["act"]["sub"] == "agent:planner"
    assert scene.manager.get_session(child.session_id).parent_id == planner.id
    assert given["expires_in"] == 3_600


def test_without_an_actor_token_the_caller_acts_and_without_a_caller_the_agent_itself(scene: Scene) -> None:
    planner = scene.manager.create("planner", scopes="docs:read")
    for as_, agent in ((scene.admin, "host"), (None, "planner")):
        token = exchange(scene, planner, as_).json()["access_token"]
        assert scene.manager.validate(token).agent_id == agent


def test_attack_an_exchange_gives_no_scope_that_the_subject_lacks(scene: Scene) -> None:
    planner = scene.manager.create("planner", scopes="docs:read")
    for scope in ("docs:write", "docs:*", "*", "docs:read mail:send"):
        refused = exchange(scene, planner, scene.admin, scope=scope)
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_scope")


def test_an_exchange_narrows_the_audience_to_one_of_the_servers(scene: Scene) -> None:
    planner = scene.manager.create("planner", scopes="docs:read")
    for name in ("audience", "resource"):
        token = exchange(scene, planner, **{name: "mail"}).json()["access_token"]
        assert scene.manager.validate(token, audience="mail").audience == "mail"
        assert exchange(scene, planner, **{name: "billing"}).json()["error"] == "invalid_target"
    assert exchange(scene, planner, audience="mail", resource="mail").json()["error"] == "invalid_target"


def test_attack_x5_a_token_that_holds_no_more_cannot_be_exchanged(scene: Scene, clock: FakeClock) -> None:
    ended = scene.manager.create("planner", scopes="docs:read")
    scene.manager.revoke(ended)
    replaced = scene.manager.create("planner", scopes="docs:read")
    scene.manager.refresh(replaced)
    childless = scene.manager.create("planner", scopes="docs:read", delegable=False)
    due = scene.manager.create("planner", scopes="docs:read", ttl=1)
    clock.advance(2)
    errors = [exchange(scene, each).json()["error"] for each in (ended, replaced, due, childless)]
    assert errors == ["invalid_request"] * 3 + ["invalid_grant"]


def test_attack_58_a_bound_token_is_not_exchanged_without_its_key(scene: Scene) -> None:
    bound = scene.manager.create("planner", scopes="docs:read", cnf=ProofKey.generate().cnf)
    assert exchange(scene, bound).json()["error"] == "invalid_request"
    plain = scene.manager.create("tool", scopes="docs:read")
    refused = exchange(scene, plain, actor_token=bound.token, actor_token_type=ACCESS)
    assert refused.json()["error"] == "invalid_request"


# Refresh.


def test_a_refresh_token_gives_the_next_of_both(scene: Scene) -> None:
    first = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    fields = {"grant_type": "refresh_token", "refresh_token": first.refresh_token or ""}
    given = scene.form("/oauth/token", **fields).json()
    assert scene.manager.validate(given["access_token"]).generation == 2
    assert given["refresh_token"] != first.refresh_token
    again = scene.form("/oauth/token", **fields).json()  # within the grace: a lost answer
    assert again["refresh_token"] == given["refresh_token"]


def test_attack_61_a_spent_refresh_token_ends_the_session(scene: Scene, clock: FakeClock) -> None:
    first = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    fields = {"grant_type": "refresh_token", "refresh_token": first.refresh_token or ""}
    given = scene.form("/oauth/token", **fields).json()
    clock.advance(11)
    assert scene.form("/oauth/token", **fields).json()["error"] == "invalid_grant"
    with pytest.raises(SessionEnded, match="reuse"):
        scene.manager.validate(given["access_token"])


def test_attack_70_a_refresh_takes_no_scope(scene: Scene) -> None:
    first = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    fields = {"grant_type": "refresh_token", "refresh_token": first.refresh_token or "", "scope": "docs:read"}
    assert scene.form("/oauth/token", **fields).json()["error"] == "invalid_scope"
    assert scene.manager.get_session(first.id).generation == 1


def test_attack_68_a_bound_session_is_refreshed_by_its_key_alone(scene: Scene, clock: FakeClock) -> None:
    key = ProofKey.generate()
    clock.at = SystemClock().now()
    first = scene.manager.create("planner", scopes="docs:read", refreshable=True, cnf=key.cnf)
    fields = {"grant_type": "refresh_token", "refresh_token": first.refresh_token or ""}
    assert scene.form("/oauth/token", **fields).json()["error"] == "invalid_dpop_proof"
    url = f"{BASE}/oauth/token"
    proofs = (
        ProofKey.generate().proof(method="POST", url=url),
        key.proof(method="POST", url=f"{BASE}/oauth/revoke"),
        key.proof(method="POST", url=url),
    )
    answers = [
        scene.ask("POST", "/oauth/token", data=fields, headers={"DPoP": proof}).json() for proof in proofs
    ]
    assert [each.get("error") for each in answers] == ["invalid_dpop_proof", "invalid_dpop_proof", None]
    assert answers[-1]["token_type"] == "DPoP"


# Revocation.


def test_a_token_ends_its_own_session_with_or_without_a_caller(scene: Scene) -> None:
    for as_ in (False, True):
        session = scene.manager.create("planner", scopes="docs:read")
        child = scene.manager.delegate(session, "reader", scopes="docs:read")
        answer = scene.form("/oauth/revoke", session if as_ else None, token=session.token)
        assert (answer.status_code, answer.json()) == (200, {})
        for each in (session, child):
            with pytest.raises(SessionEnded):
                scene.manager.validate(each.token)


def test_a_refresh_token_and_a_bound_token_end_their_sessions_too(scene: Scene) -> None:
    family = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    bound = scene.manager.create("planner", scopes="docs:read", cnf=ProofKey.generate().cnf)
    for token in (family.refresh_token or "", bound.token):
        assert scene.form("/oauth/revoke", token=token, token_type_hint="wrong").status_code == 200
    assert scene.manager.active_count() == 1


def test_attack_120_revocation_answers_alike_whatever_the_token_is(scene: Scene) -> None:
    ended = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    scene.manager.revoke(ended)
    refresh_token = ended.refresh_token or ""
    tokens = ["x", "a.b.c", ended.token, refresh_token, f"{refresh_token[:-4]}AAAA", "cgr1_x", "é" * 9]
    answers = [scene.form("/oauth/revoke", token=each) for each in tokens]
    assert {(each.status_code, each.text) for each in answers} == {(200, "{}")}


def test_attack_67_a_forged_refresh_token_revokes_nothing(scene: Scene) -> None:
    family = scene.manager.create("planner", scopes="docs:read", refreshable=True)
    refresh_token = family.refresh_token or ""
    forged = refresh_token[:-6] + ("AAAAAA" if not refresh_token.endswith("AAAAAA") else "BBBBBB")
    assert scene.form("/oauth/revoke", token=forged).status_code == 200
    assert scene.manager.validate(family.token).generation == 1


# Introspection.


def test_an_active_token_is_told_as_it_stands(scene: Scene) -> None:
    planner = scene.manager.create("planner", scopes="docs:* mail:send", subject="user:ana", audience="mail")
    child = scene.manager.delegate(planner, "reader", scopes="docs:read", cnf=ProofKey.generate().cnf)
    told = scene.form("/oauth/introspect", scene.admin, token=child.token).json()
    wanted = {"active": True, "scope": "docs:read", "client_id": "reader", "sub": "user:ana", "aud": "mail"}
    wanted |= {"token_type": "DPoP", "sid": child.id, "iss": scene.manager.issuer}
    assert told | wanted == told
    assert {"exp", "iat", "jti", "act", "cnf"} <= told.keys()
    assert child.token not in str(told)


def test_the_scopes_it_tells_are_what_the_policy_leaves() -> None:
    policy = {"roles": {"searcher": {"scopes": "docs:*"}}}
    with open_manager(policy=policy) as manager:
        scene = Scene(manager)
        token = manager.create("planner", scopes="docs:read docs:write", role="searcher").token
        manager.reload_policy({"roles": {"searcher": {"scopes": "docs:read"}}})
        assert scene.form("/oauth/introspect", scene.admin, token=token).json()["scope"] == "docs:read"


def test_attack_120_of_any_other_token_nothing_is_told(scene: Scene, clock: FakeClock) -> None:
    ended, replaced, family = (
        scene.manager.create("planner", scopes="docs:read", refreshable=True) for _ in range(3)
    )
    scene.manager.revoke(ended)
    scene.manager.refresh(replaced)
    counted = scene.manager.create("planner", scopes="docs:read", max_uses=2)
    due = scene.manager.create("planner", scopes="docs:read", ttl=1)
    clock.advance(2)
    tokens = [ended.token, replaced.token, family.refresh_token or "", counted.token, due.token, "x", "a.b.c"]
    for token in tokens:
        answer = scene.form("/oauth/introspect", scene.admin, token=token)
        assert (answer.status_code, answer.text) == (200, '{"active":false}')
    assert scene.manager.get_session(counted.id).uses_left == 2


def test_introspection_needs_its_scope(scene: Scene) -> None:
    session = scene.manager.create("planner", scopes="docs:read")
    assert scene.form("/oauth/introspect", token=session.token).status_code == 401
    refused = scene.form("/oauth/introspect", session, token=session.token)
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")


def test_introspection_keeps_a_session_from_going_idle(scene: Scene, clock: FakeClock) -> None:
    session = scene.manager.create("planner", scopes="docs:read", idle_timeout=60)
    for _ in range(3):
        clock.advance(40)
        assert scene.form("/oauth/introspect", scene.admin, token=session.token).json()["active"]
        scene.manager.prune_expired()


# Forms, rates, metadata.


@pytest.mark.parametrize(
    ("content", "kind", "error"),
    [
        ("token=a&token=b", "application/x-www-form-urlencoded", "invalid_request"),
        ('{"token": "a"}', "application/json", "invalid_request"),
        ("", "application/x-www-form-urlencoded", "invalid_request"),
        ("token=%ff", "application/x-www-form-urlencoded", "invalid_request"),
        ("&".join(f"f{n}=1" for n in range(40)), "application/x-www-form-urlencoded", "invalid_request"),
        ("token=" + "a" * 9_000, "application/x-www-form-urlencoded", "invalid_request"),
    ],
)
def test_a_form_that_two_readers_could_read_differently_is_refused(
    scene: Scene, content: str, kind: str, error: str
) -> None:
    answer = scene.ask("POST", "/oauth/revoke", content=content, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_grants_that_are_none_are_refused(scene: Scene) -> None:
    for fields, error in (
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": EXCHANGE}, "invalid_request"),
        ({"grant_type": EXCHANGE, "subject_token": "x", "subject_token_type": "saml"}, "invalid_request"),
    ):
        answer = scene.form("/oauth/token", **fields)
        assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_attack_111_tokens_are_given_only_so_often(clock: FakeClock) -> None:
    with open_manager(clock=clock) as manager:
        scene = Scene(manager, Settings(token_rate="3/minute"))
        answers: list[httpx.Response] = [scene.form("/oauth/revoke", token="x") for _ in range(5)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429, 429]
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert answers[-1].json()["error"] == "temporarily_unavailable"


def test_attack_111_questions_are_counted_before_it_is_known_who_asks(clock: FakeClock) -> None:
    with open_manager(clock=clock) as manager:
        scene = Scene(manager, Settings(check_rate="3/minute"))
        answers = [scene.form("/oauth/introspect", token="x").status_code for _ in range(5)]
        assert answers == [401, 401, 401, 429, 429]


def test_each_caller_is_counted_by_itself_too(clock: FakeClock) -> None:
    with open_manager(clock=clock) as manager:
        scene = Scene(manager)
        rates = scene.app.state.clawguard.rates
        for _ in range(120):
            rates.count("token", f"session:{scene.admin.id}")
        assert scene.form("/oauth/revoke", scene.admin, token="x").status_code == 429
        assert scene.form("/oauth/revoke", scene.caller("*"), token="x").status_code == 200


def test_the_metadata_name_what_is_there(scene: Scene) -> None:
    server = scene.ask("GET", "/.well-known/oauth-authorization-server").json()
    resource = scene.ask("GET", "/.well-known/oauth-protected-resource").json()
    assert (server["issuer"], server["token_issuer"]) == (BASE, scene.manager.issuer)
    assert (resource["resource"], resource["authorization_servers"]) == (BASE, [server["issuer"]])
    assert "jwks_uri" not in resource  # those would be keys of the resource's own (RFC 9728, 2)
    paths = scene.app.openapi()["paths"]
    for name in ("token_endpoint", "revocation_endpoint", "introspection_endpoint"):
        assert server[name].removeprefix(BASE) in paths
    jwks = scene.ask("GET", server["jwks_uri"]).json()
    assert jwks == scene.manager.keys.jwks()
    assert not any("d" in key for key in jwks["keys"])


def test_a_401_names_the_metadata_where_the_origin_is_known() -> None:
    with open_manager() as manager:
        scene = Scene(manager, Settings(origin="https://auth.example.com"))
        challenge = scene.ask("GET", "/v1/sessions").headers["www-authenticate"]
        where = "https://auth.example.com/.well-known/oauth-protected-resource"
        assert f'resource_metadata="{where}"' in challenge
        assert scene.ask("GET", where).json()["resource"] == "https://auth.example.com"


@pytest.mark.parametrize("founded", [None, "https://auth.example.com"])
def test_the_metadata_are_of_the_url_that_they_are_found_at(founded: str | None) -> None:
    """RFC 8414, 3.3: a client refuses what names another issuer than the one it asked."""
    origin = "https://auth.example.com"
    with SessionManager.open(":memory:", issuer=founded, sweep_every=None) as manager:
        scene = Scene(manager, Settings(origin=origin))
        told = scene.ask("GET", "/.well-known/oauth-authorization-server").json()
        assert told["issuer"] == origin
        claims = manager.inspect(scene.admin.token).claims or {}
        assert told["token_issuer"] == claims["iss"]
        assert (told["token_issuer"] == told["issuer"]) is (founded is not None)
        assert all(told[name].startswith(origin) for name in told if name.endswith(("_endpoint", "_uri")))


def test_the_metadata_name_the_methods_that_each_endpoint_takes(scene: Scene) -> None:
    told = scene.ask("GET", "/.well-known/oauth-authorization-server").json()
    methods = {
        name: told[f"{name}_endpoint_auth_methods_supported"]
        for name in ("token", "revocation", "introspection")
    }
    assert methods == {"token": ["none"], "revocation": ["none"], "introspection": ["Bearer", "DPoP"]}
    session = scene.manager.create("planner", scopes="docs:read")
    assert scene.form("/oauth/introspect", token=session.token).status_code == 401
    assert exchange(scene, session).status_code == 200
    assert scene.form("/oauth/revoke", token=session.token).status_code == 200
