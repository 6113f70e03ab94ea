"""An MCP server over stdio, as a host starts one: token and database are in the environment."""

import os
import subprocess
import sys
from typing import Any

from clawguard import Verifier, current_session, requires

try:
    from fastmcp import FastMCP as Server

    from clawguard.agents.fastmcp import stdio_session
except ModuleNotFoundError:
    from clawguard.agents.mcp import stdio_session

    try:
        from mcp.server.mcpserver import MCPServer as Server  # type: ignore[assignment, unused-ignore]
    except ModuleNotFoundError:
        from mcp.server.fastmcp import FastMCP as Server  # type: ignore[attr-defined, no-redef, unused-ignore]

server: Any = Server("docs")


@server.tool()
@requires("docs:read")
def read(name: str) -> str:
    """Read a document."""
    return f"{name} for {current_session().agent_id}"


@server.tool()
@requires("docs:write")
def write(name: str) -> str:
    """Write a document."""
    return f"{name} written"


@server.tool()
def environ() -> str:
    """Show the environment of this process, and of a child."""
    code = "import os; print(dict(os.environ))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return f"{dict(os.environ)} {child.stdout}"


if __name__ == "__main__":
    with Verifier.open() as verifier, stdio_session(server, verifier):
        server.run("stdio")
