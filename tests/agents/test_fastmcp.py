"""FastMCP servers: FastMCP's own client, a real server over HTTP, a process of its own over stdio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from clawguard import IssuedSession, SessionManager
from clawguard.errors import InvalidArgument
from clawguard.guard import ProofKey
from tests.web.servers import serving

fastmcp = pytest.importorskip(
    "fastmcp", reason="needs the extra fastmcp, which has an environment of its own"
)

from fastmcp.client.transports import StreamableHttpTransport  # noqa: E402
from fastmcp.server.auth import RemoteAuthProvider, require_scopes  # noqa: E402
from fastmcp.server.dependencies import get_access_token, get_http_request  # noqa: E402
from fastmcp.server.middleware import AuthMiddleware  # noqa: E402

from clawguard.agents.fastmcp import ClawguardTokenVerifier, guarded_app  # noqa: E402
from tests.agents.sdk import INITIALIZE, Docs, add_tools, ask, post  # noqa: E402

SITE = "https://mcp.example.com"
METADATA = f"{SITE}/.well-known/oauth-protected-resource/mcp"
MODES: dict[str, dict[str, Any]] = {
    "stream": {},
    "json": {"json_response": True},
    "stateless": {"stateless_http": True},
}


def make(tokens: ClawguardTokenVerifier, auth: Any = None, **options: Any) -> Any:
    """Make a server that has tools, a resource and a prompt."""
    remote = RemoteAuthProvider(tokens, ["https://issuer.example.com"], SITE)
    server = fastmcp.FastMCP("docs", auth=auth or remote, **options)
    add_tools(server)

    @server.tool(auth=tokens.requires("docs:admin"))
    def purge() -> str:
        """Remove all documents."""
        return "purged"

    @server.tool
    def inside(name: str) -> str:
        """Show whatever of its request a tool can come by."""
        request = get_http_request()
        return f"{name} {request.headers.raw} {request.scope} {get_access_token()!r}"

    return server


@contextmanager
def serving_docs(manager: SessionManager, mode: str = "stream", **options: Any) -> Iterator[Docs]:
    """Serve it, guarded."""
    tokens = ClawguardTokenVerifier(
        manager, base_url=SITE, required_scopes=options.pop("required_scopes", ())
    )
    checks = options.pop("checks", None)
    server = make(tokens, **({"middleware": [AuthMiddleware(auth=checks(tokens))]} if checks else {}))
    app = server.http_app(**MODES[mode])
    with serving(guarded_app(server, tokens, app=app, **options)) as port:
        yield Docs(f"http://127.0.0.1:{port}/mcp", server, manager)


class World:
    """Serve each mode once for the module."""

    def __init__(self, stack: ExitStack) -> None:
        self.manager = stack.enter_context(SessionManager.open(":memory:", sweep_every=None))
        self._stack = stack
        self._served: dict[str, Docs] = {}

    def docs(self, mode: str = "stream") -> Docs:
        if mode not in self._served:
            self._served[mode] = self._stack.enter_context(serving_docs(self.manager, mode))
        self._served[mode].server.ran.clear()
        return self._served[mode]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with ExitStack() as stack:
        yield World(stack)


def run(docs: Docs, session: IssuedSession, *steps: Any) -> list[Any]:
    """Let FastMCP's own client take steps; what one raises is its result."""

    async def main() -> list[Any]:
        results: list[Any] = []
        try:
            async with fastmcp.Client(StreamableHttpTransport(docs.url, headers=session.headers())) as client:
                for step in steps:
                    results.append(await outcome(step(client)))
        except Exception as error:
            results.append(error)
        return results

    return asyncio.run(asyncio.wait_for(main(), 60))


async def outcome(step: Any) -> Any:
    try:
        return await step
    except Exception as error:
        return error


def call(tool: str, **arguments: Any) -> Any:
    return lambda client: client.call_tool(tool, arguments)


@pytest.mark.parametrize("mode", MODES)
def test_fastmcps_own_client_lists_and_calls_what_its_session_may(world: World, mode: str) -> None:
    session = world.manager.create("planner", scopes="docs:read")
    listed, read, whose, resource, prompt, revoked, after = run(
        world.docs(mode),
        session,
        lambda client: client.list_tools(),
        call("read", name="notes"),
        call("whoami"),
        lambda client: client.read_resource("docs://notes"),
        lambda client: client.get_prompt("summary"),
        lambda _: asyncio.to_thread(world.manager.revoke, session),
        call("whoami"),
    )[:7]
    assert {tool.name for tool in listed} == {"read", "write", "whoami", "wait", "fail", "inside"}
    assert (read.data, whose.data) == ("notes for planner", session.id)
    assert resource[0].text == "notes for planner"
    assert prompt.messages[0].content.text == "summarise for planner"
    assert not isinstance(revoked, Exception)
    assert isinstance(after, Exception)
    assert ask("POST", world.docs(mode).url, headers=session.headers()).status_code == 401


def test_a_revoked_token_is_401_on_the_very_next_call(world: World) -> None:
    session, docs = world.manager.create("planner", scopes="docs:read"), world.docs("stateless")
    wanted = {"name": "whoami", "arguments": {}}
    assert post(docs, "tools/call", wanted, headers=session.headers()).status_code == 200
    world.manager.revoke(session)
    asked = post(docs, "tools/call", wanted, headers=session.headers())
    challenge = f'Bearer realm="clawguard", resource_metadata="{METADATA}", error="invalid_token"'
    assert (asked.status_code, asked.headers["www-authenticate"]) == (401, challenge)


@pytest.mark.parametrize("mode", MODES)
def test_a_lacking_scope_is_403_with_all_scopes_needed(world: World, mode: str) -> None:
    docs, session = world.docs(mode), world.manager.create("reader", scopes="docs:read")
    opened = post(docs, "initialize", INITIALIZE, headers=session.headers())
    handle = {"mcp-session-id": opened.headers.get("mcp-session-id", "")} if mode != "stateless" else {}
    wanted = {"name": "write", "arguments": {"name": "notes"}}
    asked = post(docs, "tools/call", wanted, headers=session.headers() | handle)
    assert (asked.status_code, asked.headers["www-authenticate"]) == (
        403,
        f'Bearer realm="clawguard", resource_metadata="{METADATA}", error="insufficient_scope", '
        'scope="docs:read docs:write"',
    )
    assert docs.server.ran == []


@pytest.mark.parametrize("mode", MODES)
def test_a_call_is_cancelled_within_a_second_of_its_sessions_end(world: World, mode: str) -> None:
    docs, session = world.docs(mode), world.manager.create("planner", scopes="docs:read")

    async def main() -> None:
        calling = asyncio.create_task(asyncio.to_thread(run, docs, session, call("wait", seconds=60)))
        while not docs.server.ran:  # noqa: ASYNC110  # a thread of the server's own
            await asyncio.sleep(0.01)
        world.manager.revoke(session)
        while len(docs.server.ran) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert isinstance((await calling)[0], Exception)

    asyncio.run(asyncio.wait_for(main(), 30))
    assert docs.server.ran == ["wait", "cancelled"]


def test_a_component_that_requires_is_hidden_and_a_holder_of_a_wildcard_has_it(world: World) -> None:
    reader, admin = (world.manager.create("planner", scopes=scopes) for scopes in ("docs:read", "docs:*"))
    steps = [lambda client: client.list_tools(), call("purge")]
    listed, refused = run(world.docs(), reader, *steps)
    assert "purge" not in {tool.name for tool in listed}
    assert isinstance(refused, Exception)
    listed, purged = run(world.docs(), admin, *steps)
    assert "purge" in {tool.name for tool in listed}
    assert purged.data == "purged"


def test_what_requires_gives_is_fastmcps_own_check_and_its_step_up_is_a_403(world: World) -> None:
    tokens = ClawguardTokenVerifier(world.manager)
    assert type(tokens.requires("docs:read")) is type(require_scopes("docs:read"))
    if not hasattr(fastmcp.exceptions, "InsufficientScopeError"):
        pytest.skip("this FastMCP does not say which scope is lacking")
    session = world.manager.create("reader", scopes="docs:read")
    with serving_docs(world.manager, "stateless", checks=lambda tokens: tokens.requires("docs:call")) as docs:
        asked = post(docs, "tools/call", {"name": "whoami", "arguments": {}}, headers=session.headers())
    assert asked.status_code == 403
    assert 'error="insufficient_scope", scope="docs:call"' in asked.headers["www-authenticate"]


def test_without_step_up_it_is_told_as_the_tools_error(world: World) -> None:
    session = world.manager.create("reader", scopes="docs:read")
    with serving_docs(world.manager, step_up=False) as docs:
        refused, read = run(docs, session, call("write", name="notes"), call("read", name="notes"))
    assert str(refused) == "insufficient_scope: needs docs:read docs:write"
    assert read.data == "notes for reader"


def test_a_holder_of_a_wildcard_has_what_every_request_needs(world: World) -> None:
    with serving_docs(world.manager, "stateless", required_scopes="docs:read") as docs:
        for scopes, status in (("docs:*", 200), ("mail:*", 403)):
            session = world.manager.create("planner", scopes=scopes)
            assert post(docs, "tools/list", headers=session.headers()).status_code == status


@pytest.mark.parametrize("mode", MODES)
def test_attack_no_credential_reaches_a_fastmcp_tool_a_result_or_a_log(
    world: World, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    for name in ("mcp", "httpx", "httpx2", "uvicorn", "clawguard", "fastmcp"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    session = world.manager.create("planner", scopes="docs:read")
    results = run(
        world.docs(mode), session, call("inside", name="look"), call("fail"), call("write", name="n")
    )
    told = f"{results!r} {caplog.text} {[(each.message, each.args) for each in caplog.records]!r}"
    assert session.id in told
    secrets = [session.token, session.token.rpartition(".")[2], session.token.split(".")[1]]
    assert not [secret for secret in secrets if secret in told]


@pytest.mark.parametrize("mode", ["stream", "json"])
def test_attack_a_fastmcp_transport_session_lends_nobody_what_its_first_caller_may(
    world: World, mode: str
) -> None:
    docs, write = world.docs(mode), {"name": "write", "arguments": {"name": "notes"}}
    first = world.manager.create("planner", scopes="docs:*")
    opened = post(docs, "initialize", INITIALIZE, headers=first.headers())
    handle = {"mcp-session-id": opened.headers["mcp-session-id"]}
    second = world.manager.create("planner", scopes="docs:read")
    other = world.manager.create("other", scopes="docs:*")
    assert post(docs, "tools/call", write, headers=second.headers() | handle).status_code == 403
    assert post(docs, "tools/call", write, headers=other.headers() | handle).status_code == 404
    world.manager.revoke(first)
    assert post(docs, "tools/call", write, headers=first.headers() | handle).status_code == 401
    whose = post(docs, "tools/call", {"name": "whoami", "arguments": {}}, headers=second.headers() | handle)
    assert second.id in whose.text
    assert docs.server.ran == []


def test_attack_58_a_bound_token_is_no_bearer_token_at_a_fastmcp_server(world: World) -> None:
    key = ProofKey.generate()
    session, docs = world.manager.create("planner", scopes="docs:*", cnf=key.cnf), world.docs("stateless")
    bearer = {"Authorization": f"Bearer {session.token}"}
    assert post(docs, "tools/list", headers=bearer).status_code == 401
    proven = key.headers(session.token, method="POST", url=docs.url)
    assert post(docs, "tools/list", headers=proven).status_code == 200
    assert asyncio.run(ClawguardTokenVerifier(world.manager).verify_token(session.token)) is None


def test_nobody_is_told_where_to_ask(world: World) -> None:
    docs = world.docs()
    asked = post(docs, "initialize", INITIALIZE, headers={})
    assert asked.status_code == 401
    assert f'resource_metadata="{METADATA}"' in asked.headers["www-authenticate"]
    metadata = ask("GET", docs.url.removesuffix("/mcp") + "/.well-known/oauth-protected-resource/mcp")
    assert metadata.json()["resource"] == f"{SITE}/mcp"


def test_a_server_without_auth_is_not_served(world: World) -> None:
    with pytest.raises(InvalidArgument, match="has no auth"):
        guarded_app(fastmcp.FastMCP("docs"), ClawguardTokenVerifier(world.manager))
