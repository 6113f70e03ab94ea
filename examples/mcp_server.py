"""An MCP server over HTTP whose tools name scopes, and the MCP SDK's own client that calls them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import uvicorn
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

from clawguard import SessionManager, Verifier, current_session, requires
from clawguard.agents.mcp import ClawguardTokenVerifier, guarded_app

URL = "http://127.0.0.1/mcp"  # where clients reach it; here with a port of its own


def make_app(verifier: Verifier | SessionManager) -> Any:
    tokens = ClawguardTokenVerifier(verifier, resource=URL)
    told = {"issuer_url": "https://issuer.example.com", "resource_server_url": URL}
    auth = AuthSettings.model_validate({**told, "validate_token_resource": True})
    server = MCPServer("notes", token_verifier=tokens, auth=auth, log_level="CRITICAL")

    @server.tool()
    @requires("notes:read")
    def read() -> str:
        return f"notes for {current_session().agent_id}"

    @server.tool()
    @requires("notes:write")
    def write(text: str) -> str:
        return f"written: {text}"

    return guarded_app(server, tokens)


@contextmanager
def serving(app: Any) -> Iterator[str]:
    config = uvicorn.Config(app, port=0, log_level="critical")
    server, listener = uvicorn.Server(config), config.bind_socket()
    listener.listen()  # so that who connects before the server runs is not turned away
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
    finally:
        server.should_exit = True
        thread.join()


async def tell(response: httpx2.Response) -> None:
    if response.is_error:
        _, _, reason = response.headers["www-authenticate"].rpartition('", error=')
        print(f"  {response.status_code} error={reason}")


async def talk(url: str, manager: SessionManager) -> None:
    session = manager.create("planner", scopes="notes:read", ttl=60)
    hooks = {"response": [tell]}
    async with (
        httpx2.AsyncClient(headers=session.headers(), event_hooks=hooks) as http,
        Client(streamable_http_client(url, http_client=http)) as client,
    ):
        print([tool.name for tool in (await client.list_tools()).tools])
        print((await client.call_tool("read")).structured_content)
        for tool, arguments in (("write", {"text": "hello"}), ("read", {})):
            try:
                await client.call_tool(tool, arguments)
            except MCPError as error:
                print(f"{tool}: {error}")
            manager.revoke(session, reason="leaked")


if __name__ == "__main__":
    with SessionManager.open(":memory:") as manager, serving(make_app(manager)) as url:
        asyncio.run(talk(url, manager))
