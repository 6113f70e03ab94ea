"""An MCP server over stdio, started with a token in its environment; the session is checked at every call."""

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from mcp import Client, StdioServerParameters, stdio_client
from mcp.server.mcpserver import MCPServer

from clawguard import SessionManager, Verifier, current_session, requires
from clawguard.agents.mcp import stdio_session

server = MCPServer("notes", log_level="CRITICAL")


@server.tool()
@requires("notes:read")
def read() -> str:
    return f"notes for {current_session().agent_id}, token here: {'CLAWGUARD_TOKEN' in os.environ}"


@server.tool()
@requires("notes:write")
def write() -> str:
    return "written"


def serve() -> None:
    """What the child runs: it was given a token, and the database's address to check it with."""
    with Verifier.open() as verifier, stdio_session(server, verifier):  # CLAWGUARD_URL, CLAWGUARD_TOKEN
        server.run("stdio")


async def talk(url: str, manager: SessionManager) -> None:
    session = manager.create("planner", scopes="notes:read", ttl=60)
    environ = {**os.environ, **session.environ(), "CLAWGUARD_URL": url}
    child = StdioServerParameters(command=sys.executable, args=[__file__, "serve"], env=environ)
    async with Client(stdio_client(child)) as client:
        for tool in ("read", "write", "read"):
            result = await client.call_tool(tool)
            print(tool, [part.text for part in result.content if part.type == "text"])
            if tool == "write":
                manager.revoke(session, reason="leaked")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = str(Path(folder) / "clawguard.db")
        with SessionManager.open(url) as manager:
            asyncio.run(talk(url, manager))


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
