"""A token handed on to a child process through its environment; the child checks it with public keys only."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from clawguard import AccessDenied, SessionManager, Verifier, current_session, requires


@requires("reports:read")
def read_report() -> str:
    return f"{current_session().agent_id} reads the report"


@requires("reports:write")
def write_report() -> str:
    return f"{current_session().agent_id} writes the report"


def tool() -> None:
    """What the child runs: it was given a token, and the database's address to check it with."""
    token = os.environ.pop("CLAWGUARD_TOKEN")  # its own children do not inherit it
    with Verifier.open() as verifier:  # CLAWGUARD_URL
        for action in (read_report, write_report):
            try:
                with verifier.use(token):
                    print(f"tool: {action()}", flush=True)
            except AccessDenied as refusal:
                print(f"tool: refused: {refusal}", flush=True)


def run_tool(url: str, token_environ: dict[str, str]) -> None:
    environ = os.environ | token_environ | {"CLAWGUARD_URL": url}
    subprocess.run([sys.executable, __file__, "tool"], env=environ, check=True)  # noqa: S603


def host(url: str) -> None:
    with SessionManager.open(url) as manager:
        session = manager.create("reporter", scopes="reports:read", ttl=60)
        run_tool(url, session.environ())
        manager.revoke(session, reason="done with it")
        print("host: revoked", flush=True)
        run_tool(url, session.environ())


if __name__ == "__main__":
    if sys.argv[1:] == ["tool"]:
        tool()
    else:
        with tempfile.TemporaryDirectory() as folder:
            host(os.environ.get("CLAWGUARD_URL") or str(Path(folder) / "clawguard.db"))
