"""MCP servers of the SDK, over HTTP: its own client, a real server, whichever of 1.x and 2.x is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from clawguard import AsyncSessionManager, SessionContext, SessionManager, StoreBusy
from clawguard.agents.mcp import ClawguardTokenVerifier, guarded_app
from clawguard.errors import InvalidArgument
from tests.agents.sdk import (
    ACCEPT,
    INITIALIZE,
    METADATA,
    MODES,
    RESOURCE,
    Docs,
    Server,
    World,
    app_of,
    ask,
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
from tests.web.servers import serving

__all__ = ["world"]

LACKS_WRITE = (
    f'Bearer realm="clawguard", resource_metadata="{METADATA}", error="insufficient_scope", '
    'scope="docs:read docs:write"'
)
INVALID = f'Bearer realm="clawguard", resource_metadata="{METADATA}", error="invalid_token"'
SOME = ["stream", list(MODES)[-1]]
WHOAMI = {"name": "whoami", "arguments": {}}
READ_NOTES = {"name": "read", "arguments": {"name": "notes"}}


@pytest.mark.parametrize("mode", MODES)
def test_the_sdks_own_client_lists_and_calls_what_its_session_may(world: World, mode: str) -> None:
    session = world.manager.create("planner", scopes="docs:*")
    talked = run(
        world.docs(mode),
        session,
        lambda client: client.list_tools(),
        call("read", name="notes"),
        call("whoami"),
        lambda client: client.read_resource("docs://notes"),
        lambda client: client.get_prompt("summary"),
        mode=mode,
    )
    listed, read, whose, resource, prompt = talked.results
    assert {"read", "write", "whoami"} <= {tool.name for tool in listed.tools}
    assert (text_of(read), text_of(whose)) == ("notes for planner", session.id)
    assert resource.contents[0].text == "notes for planner"
    assert prompt.messages[0].content.text == "summarise for planner"


@pytest.mark.parametrize("mode", MODES)
def test_a_revoked_token_is_401_on_the_very_next_call(world: World, mode: str) -> None:
    session = world.manager.create("planner", scopes="docs:read")

    async def revoke(_: Any) -> None:
        world.manager.revoke(session, reason="leaked")

    talked = run(world.docs(mode), session, call("whoami"), revoke, call("whoami"), mode=mode)
    assert text_of(talked.results[0]) == session.id
    assert (talked.last.status, talked.last.challenge) == (401, INVALID)


@pytest.mark.parametrize("mode", MODES)
def test_a_lacking_scope_is_403_with_all_scopes_needed(world: World, mode: str) -> None:
    docs = world.docs(mode)
    talked = run(docs, world.manager.create("reader", scopes="docs:read"), call("write", name="n"), mode=mode)
    assert (talked.last.status, talked.last.challenge) == (403, LACKS_WRITE)
    assert docs.server.ran == []


@pytest.mark.parametrize("mode", SOME)
def test_resources_and_prompts_are_refused_alike(world: World, mode: str) -> None:
    steps: list[Callable[[Any], Any]] = [
        lambda client: client.read_resource("docs://notes"),
        lambda client: client.get_prompt("summary"),
    ]
    for step in steps:
        talked = run(world.docs(mode), world.manager.create("mailer", scopes="mail:send"), step, mode=mode)
        assert talked.last.status == 403
        assert 'scope="docs:read"' in (talked.last.challenge or "")


@pytest.mark.parametrize("mode", MODES)
def test_without_step_up_it_is_told_as_the_tools_error_and_the_connection_goes_on(
    world: World, mode: str
) -> None:
    session = world.manager.create("reader", scopes="docs:read")
    steps = call("write", name="notes"), call("read", name="notes")
    talked = run(world.docs(mode, step_up=False), session, *steps, mode=mode)
    refused, read = talked.results
    assert text_of(refused) == "insufficient_scope: needs docs:read docs:write"
    assert text_of(read) == "notes for reader"
    assert {answer.status for answer in talked.answers if answer.method == "POST"} <= {200, 202}


@pytest.mark.parametrize("mode", SOME)
def test_what_fails_by_itself_is_no_refusal(world: World, mode: str) -> None:
    talked = run(
        world.docs(mode), world.manager.create("reader", scopes="docs:read"), call("fail"), mode=mode
    )
    assert text_of(talked.results[0]).startswith("Error executing tool fail")
    assert talked.last.status == 200


@pytest.mark.parametrize("mode", MODES)
def test_a_call_is_cancelled_within_a_second_of_its_sessions_end(world: World, mode: str) -> None:
    docs, session = world.docs(mode), world.manager.create("planner", scopes="docs:read")

    async def main() -> Any:
        calling = talk(docs.url, call("wait", seconds=60), mode=mode, headers=session.headers())
        talking = asyncio.create_task(calling)
        while not docs.server.ran:  # noqa: ASYNC110  # a thread of the server's own
            await asyncio.sleep(0.01)
        world.manager.revoke(session)
        talked = await talking
        while len(docs.server.ran) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return talked

    talked = asyncio.run(asyncio.wait_for(main(), 30))
    assert docs.server.ran == ["wait", "cancelled"]
    assert talked.last.status == 401


def test_a_waiting_stream_ends_with_its_session(world: World) -> None:
    docs, session = world.docs(), world.manager.create("planner", scopes="docs:read")
    opened = post(docs, "initialize", INITIALIZE, headers=session.headers())
    headers = ACCEPT | session.headers() | {"mcp-session-id": opened.headers["mcp-session-id"]}

    async def listen() -> None:
        async with (
            http.AsyncClient(timeout=30, verify=False) as client,
            client.stream("GET", docs.url, headers=headers) as stream,
        ):
            assert stream.status_code == 200
            world.manager.revoke(session)
            async for _ in stream.aiter_bytes():
                pass

    with pytest.raises(http.RemoteProtocolError):
        asyncio.run(asyncio.wait_for(listen(), 30))


def test_nobody_is_told_where_to_ask_and_may_read_that_alone(world: World) -> None:
    docs = world.docs()
    asked = post(docs, "initialize", INITIALIZE, headers={})
    assert asked.status_code == 401
    assert f'resource_metadata="{METADATA}"' in asked.headers["www-authenticate"]
    site = docs.url.removesuffix("/mcp")
    metadata = ask("GET", site + "/.well-known/oauth-protected-resource/mcp")
    assert metadata.json()["resource"] == RESOURCE
    for path in ("/", "/.well-known/other", "/.well-known/oauth-protected-resource/mcp/more", "/health"):
        assert ask("GET", site + path).status_code == 401


def test_a_holder_of_a_wildcard_has_what_every_request_needs(world: World) -> None:
    docs = world.docs(auth={"required_scopes": ["docs:read"]})
    holder = run(docs, world.manager.create("holder", scopes="docs:*"), call("read", name="notes"))
    assert text_of(holder.results[0]) == "notes for holder"
    other = run(docs, world.manager.create("other", scopes="mail:*"), call("read", name="notes"))
    assert other.last.status == 403
    assert 'scope="docs:read"' in (other.last.challenge or "")


def test_one_request_is_validated_once_and_spends_one_use(world: World) -> None:
    session = world.manager.create("planner", scopes="docs:read", max_uses=3)
    for left in (2, 1):
        asked = post(world.docs("stateless"), "tools/call", READ_NOTES, headers=session.headers())
        assert asked.status_code == 200
        assert world.manager.get_session(session.id).uses_left == left
    asked = [post(world.docs("stateless"), "tools/call", WHOAMI, headers=session.headers()) for _ in range(2)]
    assert [each.status_code for each in asked] == [200, 401]  # the last use is answered too


def test_an_async_twin_checks_as_well(world: World) -> None:
    with serving_docs(world.manager, verifier=AsyncSessionManager(world.manager)) as docs:
        talked = run(docs, world.manager.create("planner", scopes="docs:read"), call("read", name="notes"))
    assert text_of(talked.results[0]) == "notes for planner"


@pytest.mark.parametrize("kind", [str, SessionContext])
def test_a_store_that_does_not_answer_is_503_before_a_tool_and_in_it(world: World, kind: type) -> None:
    class Locked:
        """Fail on tokens, or on contexts: on a request, or on what a tool asks."""

        issuer = world.manager.issuer
        recheck = world.manager.recheck

        def validate(self, given: Any, /, **more: Any) -> Any:
            if isinstance(given, kind):
                raise StoreBusy("locked")
            return world.manager.validate(given, **more)

    session = world.manager.create("planner", scopes="docs:read")
    with serving_docs(world.manager, "stateless", verifier=Locked()) as docs:
        asked = post(docs, "tools/call", READ_NOTES, headers=session.headers())
    assert (asked.status_code, asked.headers["retry-after"]) == (503, "1")
    assert asked.json()["error"] == "temporarily_unavailable"


def test_a_server_that_is_served_without_its_guard_runs_no_tool(world: World) -> None:
    session = world.manager.create("planner", scopes="docs:*")
    tokens = ClawguardTokenVerifier(world.manager, resource=RESOURCE)
    server = docs_server(tokens)
    guarded_app(server, tokens)
    with serving(app_of(server, "stream")) as port:
        docs = Docs(f"http://127.0.0.1:{port}/mcp", server, world.manager)
        talked = run(docs, session, call("write", name="notes"))
    assert text_of(talked.results[0]) == "unauthorized"
    assert server.ran == []


def test_a_server_without_auth_is_not_served() -> None:
    with SessionManager.open(":memory:") as manager, pytest.raises(InvalidArgument, match="no auth settings"):
        guarded_app(Server("docs"), ClawguardTokenVerifier(manager))
