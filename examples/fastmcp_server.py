"""A FastMCP server over HTTP whose tools name scopes, and FastMCP's own client that calls them."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastmcp import Client, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import RemoteAuthProvider

from clawguard import SessionManager, Verifier, current_session, requires
from clawguard.agents.fastmcp import ClawguardTokenVerifier, guarded_app

SITE = "http://127.0.0.1"  # where clients reach it; here with a port of its own


def make_app(verifier: Verifier | SessionManager) -> Any:
    tokens = ClawguardTokenVerifier(verifier, base_url=SITE)
    server = FastMCP("notes", auth=RemoteAuthProvider(tokens, ["https://issuer.example.com"], SITE))

    @server.tool
    @requires("notes:read")
    def read() -> str:
        return f"notes for {current_session().agent_id}"

    @server.tool
    @requires("notes:write")
    def write(text: str) -> str:
        return f"written: {text}"

    @server.tool(auth=tokens.requires("notes:admin"))
    def purge() -> str:
        return "hidden from whoever may not"

    return guarded_app(server, tokens, step_up=False)


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


async def talk(url: str, manager: SessionManager) -> None:
    session = manager.create("planner", scopes="notes:read", ttl=60)
    async with Client(StreamableHttpTransport(url, headers=session.headers())) as client:
        print([tool.name for tool in await client.list_tools()])
        print((await client.call_tool("read")).data)
        try:
            await client.call_tool("write", {"text": "hello"})
        except ToolError as error:
            print("write:", error)
    manager.revoke(session, reason="leaked")
    async with httpx.AsyncClient() as http:
        print("afterwards:", (await http.post(url, headers=session.headers())).status_code)


if __name__ == "__main__":
    logging.disable()
    with SessionManager.open(":memory:") as manager, serving(make_app(manager)) as url:
        asyncio.run(talk(url, manager))
