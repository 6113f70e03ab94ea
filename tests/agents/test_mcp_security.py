"""What must not happen at an MCP server: a tool sees a credential, a handle opens, authority is another's."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from clawguard import IssuedSession, SessionManager, StoreBusy
from clawguard.agents.mcp import ClawguardTokenVerifier
from clawguard.guard import CertificateProof, ProofKey
from tests.agents.sdk import (
    INITIALIZE,
    MODES,
    RESOURCE,
    Docs,
    World,
    app_of,
    call,
    docs_server,
    http,
    post,
    run,
    serving_docs,
    talk,
    text_of,
    world,
)
from tests.certificates import certificate
from tests.web.servers import serving

__all__ = ["world"]

WRITE = {"name": "write", "arguments": {"name": "notes"}}
WHOAMI = {"name": "whoami", "arguments": {}}


def secrets_of(session: IssuedSession) -> list[str]:
    """Return the token, and its parts that could be told by themselves."""
    return [session.token, session.token.rpartition(".")[2], session.token.split(".")[1]]


@pytest.mark.parametrize("mode", MODES)
def test_attack_no_credential_reaches_a_tool_a_result_a_prompt_or_a_log(
    world: World, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    for name in ("mcp", "httpx", "httpx2", "uvicorn", "clawguard"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    session = world.manager.create("planner", scopes="docs:read")
    talked = run(
        world.docs(mode),
        session,
        call("inside", name="look"),
        lambda client: client.get_prompt("summary"),
        call("fail"),
        call("write", name="notes"),
        mode=mode,
    )
    assert session.id in text_of(talked.results[0])
    told = f"{talked.results!r} {caplog.text} {[(each.message, each.args) for each in caplog.records]!r}"
    assert "look" in told
    assert not [secret for secret in secrets_of(session) if secret in told]


def test_attack_119_a_handle_is_no_credential(world: World) -> None:
    docs, session = world.docs(), world.manager.create("planner", scopes="docs:*")
    opened = post(docs, "initialize", INITIALIZE, headers=session.headers())
    stand_in = seen_inside(docs, session)
    handles = [session.id, opened.headers["mcp-session-id"], stand_in]
    for handle in handles:
        headers = {"Authorization": f"Bearer {handle}", "mcp-session-id": opened.headers["mcp-session-id"]}
        assert post(docs, "tools/call", WRITE, headers=headers).status_code == 401
    assert docs.server.ran == []


def seen_inside(docs: Docs, session: IssuedSession) -> str:
    """Return what stands in for the token inside of the server, for one request."""
    text = text_of(run(docs, session, call("inside", name="look")).results[0])
    return text.partition("Bearer ")[2].partition("'")[0]


OTHERS: list[dict[str, str]] = [
    {"agent_id": "other"},
    {"workspace_id": "acme"},
    {"subject": "user:bob"},
    {"workspace_id": "default/team", "agent_id": "planner"},
]


@pytest.mark.parametrize("differs", OTHERS)
def test_attack_119_anothers_transport_session_is_not_found(world: World, differs: dict[str, str]) -> None:
    """Nor that of an agent who has the same name in another workspace."""
    docs, named = world.docs(), {"agent_id": "team/planner", "subject": "user:ana"}
    whose: list[dict[str, Any]] = [named, {**named, **differs}]
    mine, other = (world.manager.create(each.pop("agent_id"), scopes="docs:*", **each) for each in whose)
    handle = post(docs, "initialize", INITIALIZE, headers=mine.headers()).headers["mcp-session-id"]
    asked = post(docs, "tools/call", WRITE, headers=other.headers() | {"mcp-session-id": handle})
    assert asked.status_code == 404
    assert docs.server.ran == []


@pytest.mark.parametrize("mode", ["stream", "json"])
def test_attack_a_transport_session_lends_nobody_what_its_first_caller_may(world: World, mode: str) -> None:
    docs = world.docs(mode)
    first = world.manager.create("planner", scopes="docs:*")
    handle = post(docs, "initialize", INITIALIZE, headers=first.headers()).headers["mcp-session-id"]
    second = world.manager.create("planner", scopes="docs:read")
    headers = second.headers() | {"mcp-session-id": handle}
    assert post(docs, "tools/call", WRITE, headers=headers).status_code == 403
    assert docs.server.ran == []
    world.manager.revoke(first)
    whose = post(docs, "tools/call", WHOAMI, headers=headers)
    assert whose.status_code == 200
    assert second.id in whose.text


def test_attack_58_a_bound_token_is_no_bearer_token_at_an_mcp_server(world: World) -> None:
    session = world.manager.create("planner", scopes="docs:*", cnf=ProofKey.generate().cnf)
    headers = {"Authorization": f"Bearer {session.token}"}
    asked = post(world.docs("stateless"), "tools/call", WRITE, headers=headers)
    assert asked.status_code == 401
    tokens = ClawguardTokenVerifier(world.manager)
    assert asyncio.run(tokens.verify_token(session.token)) is None


@pytest.mark.parametrize("mode", MODES)
def test_the_sdks_own_client_comes_through_with_a_bound_token_and_its_proofs(world: World, mode: str) -> None:
    key = ProofKey.generate()
    session = world.manager.create("planner", scopes="docs:read", cnf=key.cnf)

    class Proving(http.Auth):  # type: ignore[misc, name-defined, unused-ignore]
        def auth_flow(self, request: Any) -> Any:
            request.headers.update(key.headers(session.token, method=request.method, url=str(request.url)))
            yield request

    steps = call("whoami"), call("whoami")
    talked = asyncio.run(talk(world.docs(mode).url, *steps, mode=mode, auth=Proving()))
    assert [text_of(each) for each in talked.results] == [session.id] * 2


def test_a_token_bound_to_a_certificate_comes_through_with_what_the_terminator_reports(world: World) -> None:
    reported = certificate("planner")
    session = world.manager.create(
        "planner", scopes="docs:read", cnf={"x5t#S256": CertificateProof(reported).thumbprint}
    )
    for given, status in ((reported, 200), (None, 401)):
        with serving_docs(world.manager, "stateless", certificate_of=lambda _, given=given: given) as docs:
            assert post(docs, "tools/call", WHOAMI, headers=session.headers()).status_code == status


def test_by_itself_the_verifier_denies_with_401_and_a_store_that_fails_with_500(world: World) -> None:
    """The SDK knows no other answer; what has failed is never taken for a bad token."""

    class Locked:
        issuer = world.manager.issuer
        fails = False

        def validate(self, given: Any, /, **more: Any) -> Any:
            if self.fails:
                raise StoreBusy("locked")
            return world.manager.validate(given, **more)

        def recheck(self, context: Any, /, **asked: Any) -> None:
            world.manager.recheck(context, **asked)

    locked = Locked()
    server = docs_server(ClawguardTokenVerifier(locked, resource=RESOURCE), "stateless")
    session = world.manager.create("planner", scopes="docs:read")
    with serving(app_of(server, "stateless")) as port:
        docs = Docs(f"http://127.0.0.1:{port}/mcp", server, world.manager)
        assert post(docs, "tools/list", headers=session.headers()).status_code == 200
        assert post(docs, "tools/list", headers={"Authorization": "Bearer nonsense"}).status_code == 401
        locked.fails = True
        assert post(docs, "tools/list", headers=session.headers()).status_code == 500


def test_what_the_verifier_tells_the_sdk_is_what_the_row_says(world: World) -> None:
    lead = world.manager.create("lead", scopes="docs:*", subject="user:ana")
    child = world.manager.delegate(lead, "writer", scopes="docs:*", ttl=60)
    tokens = ClawguardTokenVerifier(world.manager, resource=RESOURCE, scopes="docs:read mail:send")
    told = asyncio.run(tokens.verify_token(child.token))
    assert told is not None
    assert (told.token, told.client_id, told.subject) == (child.id, "default/writer", "user:ana")
    assert told.scopes == ["docs:*", "docs:read"]
    assert told.resource == RESOURCE
    assert told.expires_at == int(child.expires_at.timestamp())
    claims = world.manager.inspect(child.token).claims
    assert claims is not None
    assert told.claims == {name: claims[name] for name in ("iss", "aud", "sub", "sid", "act")}
    assert told.claims["act"]["act"]["sub"] == "agent:lead"
    plain = asyncio.run(ClawguardTokenVerifier(world.manager).verify_token(lead.token))
    assert plain is not None
    assert plain.resource == lead.audience
    assert plain.claims is not None
    assert "act" not in plain.claims
    for refused in ("nonsense", lead.id, "x" * 100_000, "é"):
        assert asyncio.run(tokens.verify_token(refused)) is None


def test_attack_a_token_for_another_service_is_refused(world: World) -> None:
    with SessionManager.open(":memory:", issuer=world.manager.issuer, audience="mail") as other:
        session = other.create("planner", scopes="docs:*")
    asked = post(world.docs("stateless"), "tools/list", headers=session.headers())
    assert asked.status_code == 401
