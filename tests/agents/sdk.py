"""The MCP SDK that is installed, 1.x or 2.x: a small server, and its own client to talk to it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from clawguard import IssuedSession, SessionManager, current_session, requires
from tests.web.servers import serving

mcp = pytest.importorskip("mcp", reason="needs the extra mcp")

from mcp.client.streamable_http import streamable_http_client  # noqa: E402
from mcp.server.auth.middleware.auth_context import get_access_token  # noqa: E402
from mcp.server.auth.settings import AuthSettings  # noqa: E402

from clawguard.agents.mcp import ClawguardTokenVerifier, guarded_app  # noqa: E402

IS_NEW = hasattr(mcp, "MCPError")
SDKError: Any = mcp.MCPError if IS_NEW else mcp.McpError
if IS_NEW:
    import httpx2 as http
    from mcp.server.mcpserver import Context
    from mcp.server.mcpserver import MCPServer as Server
else:
    import httpx as http  # type: ignore[no-redef, unused-ignore]
    from mcp.server.fastmcp import Context  # type: ignore[attr-defined, no-redef, unused-ignore]
    from mcp.server.fastmcp import FastMCP as Server  # type: ignore[attr-defined, no-redef, unused-ignore]

__all__ = [
    "ACCEPT", "INITIALIZE", "METADATA", "MODES", "RESOURCE", "Docs", "SDKError", "Server", "Talk", "World",
    "add_tools", "app_of", "ask", "call", "docs_server", "http", "mcp", "outcome", "post", "run",
    "serving_docs", "talk", "text_of", "world",
]  # fmt: skip

RESOURCE = "https://mcp.example.com/mcp"
METADATA = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp"
ANYWHERE = {"host": "0.0.0.0"} if IS_NEW else {}

# How a server can be set to answer, and for 2.x how its client can speak.
MODES: dict[str, dict[str, Any]] = {
    "stream": {},
    "json": {"json_response": True},
    "stateless": {"stateless_http": True},
    **({"modern": {}, "modern json": {"json_response": True}} if IS_NEW else {}),
}

Step = Callable[[Any], Awaitable[Any]]


def docs_server(tokens: Any, mode: str = "stream", **auth: Any) -> Any:
    """Make a server that has tools, a resource and a prompt."""
    options = {} if IS_NEW else MODES[mode]
    told = {"issuer_url": "https://issuer.example.com", "resource_server_url": RESOURCE}
    settings = AuthSettings.model_validate({**told, "validate_token_resource": True, **auth})
    server: Any = Server("docs", token_verifier=tokens, auth=settings, **options)
    add_tools(server)

    @server.tool()
    def inside(name: str, ctx: Context) -> str:
        """Show whatever of its request a tool can come by."""
        request: Any = ctx.request_context.request
        return f"{name} {request.headers.raw} {request.scope} {get_access_token()!r} {dict(os.environ)}"

    return server


def add_tools(server: Any) -> None:
    """Give a server of the SDK or of FastMCP what the tests ask for; `ran` is what its tools did."""
    server.ran = []

    @server.tool()
    @requires("docs:read")
    def read(name: str) -> str:
        """Read a document."""
        return f"{name} for {current_session().agent_id}"

    @server.tool()
    @requires("docs:write", "docs:read")
    async def write(name: str) -> str:
        """Write a document."""
        server.ran.append("write")
        return f"{name} written"

    @server.tool()
    def whoami() -> str:
        """Say whose session it is."""
        return current_session().session_id

    @server.tool()
    async def wait(seconds: float) -> str:
        """Take a while."""
        server.ran.append("wait")
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            server.ran.append("cancelled")
            raise
        return "waited"

    @server.tool()
    @requires("docs:read")
    def fail() -> str:
        """Fail for a reason of its own."""
        raise ValueError("no such document")

    @server.resource("docs://notes")
    @requires("docs:read")
    def notes() -> str:
        """Return the notes."""
        return f"notes for {current_session().agent_id}"

    @server.prompt()
    @requires("docs:read")
    def summary() -> str:
        """Ask for a summary."""
        return f"summarise for {current_session().agent_id}"


def app_of(server: Any, mode: str) -> Any:
    """Return the SDK's own app, in a mode, for whatever host it is asked as."""
    return server.streamable_http_app(**(MODES[mode] | ANYWHERE if IS_NEW else {}))


@dataclass
class Docs:
    """Be a guarded server at its URL, and the manager whose sessions may call it."""

    url: str
    server: Any
    manager: SessionManager


@contextmanager
def serving_docs(
    manager: SessionManager, mode: str = "stream", *, verifier: Any = None, auth: Any = None, **options: Any
) -> Iterator[Docs]:
    """Serve it, guarded."""
    tokens = ClawguardTokenVerifier(verifier or manager, resource=RESOURCE)
    server = docs_server(tokens, mode, **(auth or {}))
    with serving(guarded_app(server, tokens, app=app_of(server, mode), **options)) as port:
        yield Docs(f"http://127.0.0.1:{port}/mcp", server, manager)


class World:
    """Serve each kind of server that is asked for once, for a whole module of tests."""

    def __init__(self, stack: ExitStack) -> None:
        self.manager = stack.enter_context(SessionManager.open(":memory:", sweep_every=None))
        self._stack = stack
        self._served: dict[str, Docs] = {}

    def docs(self, mode: str = "stream", **options: Any) -> Docs:
        """Return the server of a mode and its options."""
        name = f"{mode} {options}"
        if name not in self._served:
            self._served[name] = self._stack.enter_context(serving_docs(self.manager, mode, **options))
        self._served[name].server.ran.clear()
        return self._served[name]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    """Serve for a module of tests."""
    with ExitStack() as stack:
        yield World(stack)


@dataclass
class Answer:
    """Hold an HTTP answer to the client."""

    method: str
    status: int
    challenge: str | None


@dataclass
class Talk:
    """Hold what a client was given: the result of each step or what it raised, and every HTTP answer."""

    results: list[Any] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def last(self) -> Answer:
        """The answer to the last request that called something."""
        return [answer for answer in self.answers if answer.method == "POST"][-1]


async def talk(
    url: str, *steps: Step, mode: str = "stream", headers: dict[str, str] | None = None, auth: Any = None
) -> Talk:
    """Let the SDK's own client take steps, until its connection is over.

    That of 1.x ends with any answer of 400 or more; that of 2.x raises for the one request.
    """
    talked = Talk()

    async def note(response: Any) -> None:
        challenge = response.headers.get("www-authenticate")
        talked.answers.append(Answer(response.request.method, response.status_code, challenge))

    options: dict[str, Any] = {"event_hooks": {"response": [note]}, "timeout": 30, "verify": False}
    async with http.AsyncClient(headers=headers, auth=auth, **options) as client:
        try:
            async with session(url, client, mode) as speaker:
                for step in steps:
                    talked.results.append(await outcome(step(speaker)))
        except BaseExceptionGroup as group:
            talked.results.append(group)
            _, rest = group.split((http.HTTPStatusError, SDKError))
            if rest is not None:
                raise
        except SDKError as error:
            talked.results.append(error)
    return talked


async def outcome(step: Awaitable[Any]) -> Any:
    """Return what a step gives, or the SDK's own error."""
    try:
        return await step
    except SDKError as error:
        return error


@asynccontextmanager
async def session(url: str, client: Any, mode: str) -> AsyncIterator[Any]:
    """Connect as the protocol that a mode is of."""
    if mode.startswith("modern"):
        async with mcp.Client(streamable_http_client(url, http_client=client)) as speaker:
            yield speaker
        return
    async with (
        streamable_http_client(url, http_client=client) as (read, write, *_),
        mcp.ClientSession(read, write) as speaker,
    ):
        await speaker.initialize()
        yield speaker


def text_of(result: Any) -> str:
    """Return the text of a tool's result."""
    text: str = result.content[0].text
    return text


def ask(method: str, url: str, *, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """Ask without the SDK."""
    with http.Client(timeout=30, verify=False) as client:
        return client.request(method, url, headers=headers, **more)


def call(tool: str, **arguments: Any) -> Step:
    """Return the step that calls a tool."""
    return lambda client: client.call_tool(tool, arguments)


def run(docs: Docs, session: IssuedSession, *steps: Step, mode: str = "stream") -> Talk:
    """Let the SDK's own client take steps with a session's token."""
    return asyncio.run(asyncio.wait_for(talk(docs.url, *steps, mode=mode, headers=session.headers()), 60))


ACCEPT = {"accept": "application/json, text/event-stream"}
INITIALIZE = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


def post(docs: Docs, method: str, params: Any = None, *, headers: dict[str, str]) -> Any:
    """Send one request without the SDK's client, and return the HTTP answer."""
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
    return ask("POST", docs.url, json=body, headers=ACCEPT | headers)
