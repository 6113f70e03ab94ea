"""The integrations, each beside the oldest and the newest release of its framework: `nox --list`.

Every row of the table is a session of its own, in an environment of its own, since their pins conflict. There
the wheel is installed, and the tests of one adapter run; everything else runs once, in `make test`.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import nox

nox.options.default_venv_backend = "uv|virtualenv"

ROOT = Path(__file__).parent
TOOLS = (
    "hypothesis",
    "httpx",
    "nats-py",
    "opentelemetry-sdk",
    "psycopg[binary]",
    "pytest>=9",
    "pytest-timeout",
    "redis",
    "uvicorn",
    "websockets",
    "werkzeug",
)


class Row(NamedTuple):
    """Hold one session: what is installed, and which tests run; `pick` chooses among them as pytest's -k.

    `beside` is installed for the tests alone, at its newest.
    """

    name: str
    extra: str
    pins: tuple[str, ...]
    tests: tuple[str, ...]
    pick: str = ""
    in_ci: bool = True
    python: str | None = None
    beside: tuple[str, ...] = ()


CONTRACT = ("tests/web/test_contract.py", "tests/web/test_contract_cookies.py")
STARLETTE = (*CONTRACT, "tests/web/test_starlette.py"), "starlette"
FASTAPI = (*CONTRACT, "tests/web/test_fastapi.py"), "fastapi"
FLASK = (*CONTRACT, "tests/web/test_flask.py"), "flask"
DJANGO = (*CONTRACT, "tests/web/test_django.py"), "django"
DRF = (*CONTRACT, "tests/web/test_drf.py"), "drf"
MCP = (
    "tests/agents/test_guarded.py",
    "tests/agents/test_mcp.py",
    "tests/agents/test_mcp_security.py",
    "tests/agents/test_stdio.py",
)
OPENAI = (
    "tests/agents/test_openai.py",
    "tests/agents/test_openai_handoffs.py",
    "tests/agents/test_openai_history.py",
    "tests/agents/test_openai_nested.py",
)
LANGGRAPH = ("tests/agents/test_langgraph.py", "tests/agents/test_langgraph_server.py")
SERVED = ("langgraph-api", "langgraph-runtime-inmem")
PYDANTIC_AI = ("tests/agents/test_pydantic_ai.py",)
FASTMCP = ("tests/agents/test_fastmcp.py", "tests/agents/test_stdio.py")


def found(python: str) -> str | None:
    """Return a newer Python where this machine has it, else None: then the one that runs nox will do."""
    at = shutil.which(f"python{python}")
    runs = at and subprocess.run([at, "-V"], check=False, capture_output=True).returncode == 0
    return python if runs else None


# The oldest pins are the lower bounds of the extras in pyproject.toml; no pins, the newest that there is.
ROWS = (
    Row("starlette-oldest", "starlette", ("starlette==0.46.*",), *STARLETTE),
    Row("starlette-newest", "starlette", (), *STARLETTE),
    Row("fastapi-oldest", "fastapi", ("fastapi==0.123.*",), *FASTAPI),
    Row("fastapi-newest", "fastapi", (), *FASTAPI),
    Row("flask-oldest", "flask", ("flask==3.0.*",), *FLASK),
    Row("flask-newest", "flask", (), *FLASK),
    Row("django-oldest", "django", ("django==5.2.*",), *DJANGO),
    Row("django-newest", "django", (), *DJANGO, python=found("3.12")),  # Django 6 wants it
    Row("drf-oldest", "drf", ("djangorestframework==3.16.*", "django==5.2.*"), *DRF),
    Row("drf-newest", "drf", (), *DRF, python=found("3.12")),
    Row("mcp-oldest", "mcp", ("mcp==1.27.2",), MCP),
    Row("mcp-newest-1", "mcp", ("mcp==1.*",), MCP),
    Row("mcp-newest", "mcp", (), MCP),
    Row("fastmcp-oldest", "fastmcp", ("fastmcp==3.0.*",), FASTMCP, in_ci=False),
    Row("fastmcp-newest", "fastmcp", (), FASTMCP, in_ci=False),
    Row("openai-agents-oldest", "openai-agents", ("openai-agents==0.19.0",), OPENAI),
    Row("openai-agents-newest", "openai-agents", (), OPENAI),
    Row("langgraph-oldest", "langgraph", ("langgraph-sdk==0.2.0",), LANGGRAPH, in_ci=False),
    Row("langgraph-newest", "langgraph", (), LANGGRAPH, in_ci=False, beside=SERVED),
    Row("pydantic-ai-oldest", "pydantic-ai", ("pydantic-ai-slim==2.20.0",), PYDANTIC_AI),
    Row("pydantic-ai-newest", "pydantic-ai", (), PYDANTIC_AI),
)


@functools.cache
def wheel() -> Path:
    """Build the wheel, once for all sessions of this process: others may be building theirs."""
    folder = ROOT / ".nox" / f"wheel-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def add(row: Row) -> None:
    """Make a session of a row."""

    @nox.session(name=row.name, python=row.python, tags=["ci"] if row.in_ci else [])
    def run(session: nox.Session) -> None:
        session.install(
            "-q", f"clawguard-sessions[{row.extra}] @ {wheel().as_uri()}", *TOOLS, *row.beside, *row.pins
        )
        picked = ("-k", row.pick) if row.pick else ()
        # What a library of another year warns of is its own affair.
        options = ("-q", "-W", "default", "-p", "no:cacheprovider")
        session.run("pytest", *options, *row.tests, *picked, *session.posargs)


for each in ROWS:
    add(each)
