"""MCP servers over stdio: a process of their own, started with a token by the SDK's own client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clawguard import ConfigError, IssuedSession, SessionEnded, SessionManager
from clawguard.agents.callers import use_environ
from tests.agents.sdk import SDKError, call, mcp, outcome, text_of

ROOT = Path(__file__).resolve().parents[2]
SERVER = Path(__file__).with_name("stdio_server.py")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[SessionManager]:
    with SessionManager.open(tmp_path / "clawguard.db", sweep_every=None) as opened:
        yield opened


def run(manager: SessionManager, session: IssuedSession, *steps: Any, folder: Path) -> list[Any]:
    """Start the server as a child of the SDK's client, and let that take steps."""
    url = {"CLAWGUARD_URL": str(folder / "clawguard.db"), "PYTHONPATH": str(ROOT)}
    environ = {**os.environ, **url, **session.environ()}
    given = mcp.StdioServerParameters(
        command=sys.executable,
        args=[str(SERVER)],
        env=environ,
        cwd=folder,
    )

    async def main() -> list[Any]:
        with (folder / "stderr").open("w") as errors:
            async with (
                mcp.stdio_client(given, errlog=errors) as (read, write),
                mcp.ClientSession(read, write) as client,
            ):
                await client.initialize()
                return [await outcome(step(client)) for step in steps]

    return asyncio.run(asyncio.wait_for(main(), 60))


def test_a_session_over_stdio_is_checked_at_every_call(manager: SessionManager, tmp_path: Path) -> None:
    session = manager.create("planner", scopes="docs:read", refreshable=True)

    async def revoke(_: Any) -> None:
        manager.revoke(session, reason="leaked")

    steps = [
        lambda client: client.list_tools(),
        call("read", name="notes"),
        call("write", name="notes"),
        call("environ"),
        revoke,
        call("environ"),
        call("read", name="notes"),
        lambda client: client.list_tools(),
    ]
    listed, read, written, environ, _, environ_after, read_after, listed_after = run(
        manager, session, *steps, folder=tmp_path
    )
    assert {tool.name for tool in listed.tools} == {"read", "write", "environ"}
    assert text_of(read) == "notes for planner"
    assert text_of(written) == "insufficient_scope: needs docs:write"
    assert [text_of(each) for each in (environ_after, read_after)] == ["invalid_token"] * 2
    assert isinstance(listed_after, SDKError)
    told = f"{listed!r} {text_of(environ)} {listed_after!r} {(tmp_path / 'stderr').read_text()}"
    assert "CLAWGUARD_URL" in told
    secrets = [session.token, session.token.rpartition(".")[2], session.refresh_token or ""]
    assert not [secret for secret in secrets if secret in told]
    assert not {"CLAWGUARD_TOKEN", "CLAWGUARD_REFRESH_TOKEN"} & set(told.replace("'", " ").split())


def test_the_token_is_taken_out_of_the_environment_whatever_comes_of_it(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = manager.create("planner", scopes="docs:read", refreshable=True)
    manager.revoke(session)
    for name, value in session.environ().items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SessionEnded), use_environ(manager):
        pass
    assert not {"CLAWGUARD_TOKEN", "CLAWGUARD_REFRESH_TOKEN"} & set(os.environ)
    with pytest.raises(ConfigError, match=r"CLAWGUARD_TOKEN is not set; start this process with"):
        use_environ(manager)
