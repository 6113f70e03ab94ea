"""The integrations, each beside the oldest and the newest release of its library: `nox --list`.

Every row of the table is a session of its own, in an environment of its own, since their pins conflict. There
the tests of one adapter run; everything else runs once, in `make test`.
"""

from __future__ import annotations

from typing import NamedTuple

import nox

nox.options.default_venv_backend = "uv|virtualenv"

TOOLS = ("pytest>=9", "pytest-timeout", "httpx", "uvicorn", "websockets")


class Row(NamedTuple):
    """Hold one session: which extra is installed beside which pins, and which tests run."""

    name: str
    extra: str
    pins: tuple[str, ...]
    tests: tuple[str, ...]


MCP = (
    "tests/agents/test_guarded.py",
    "tests/agents/test_mcp.py",
    "tests/agents/test_mcp_security.py",
    "tests/agents/test_stdio.py",
)
FASTMCP = ("tests/agents/test_fastmcp.py", "tests/agents/test_stdio.py")

# The oldest pins are the lower bounds of the extras in pyproject.toml; no pins, the newest that there is.
ROWS = (
    Row("mcp-oldest", "mcp", ("mcp==1.27.2",), MCP),
    Row("mcp-newest-1", "mcp", ("mcp==1.*",), MCP),
    Row("mcp-newest", "mcp", (), MCP),
    Row("fastmcp-oldest", "fastmcp", ("fastmcp==3.0.*",), FASTMCP),
    Row("fastmcp-newest", "fastmcp", (), FASTMCP),
)


def add(row: Row) -> None:
    """Make a session of a row."""

    @nox.session(name=row.name)
    def run(session: nox.Session) -> None:
        session.install("-q", "-e", f".[{row.extra}]", *TOOLS, *row.pins)
        # What a library of another year warns of is its own affair.
        options = ("-q", "-W", "default", "-p", "no:cacheprovider")
        session.run("python", "-m", "pytest", *options, *row.tests, *session.posargs)


for each in ROWS:
    add(each)
