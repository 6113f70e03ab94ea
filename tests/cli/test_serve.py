"""`clawguard serve`: a database of the settings behind HTTP, until it is told to stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

PATIENCE = 30.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_until_ready(url: str, server: subprocess.Popen[str]) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert server.poll() is None, server.communicate()[1]
        try:
            if httpx.get(f"{url}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the server was not ready in time")


def test_it_serves_the_database_of_the_settings_until_it_is_told_to_stop(tmp_path: Path) -> None:
    port, token_file = free_port(), tmp_path / "admin.token"
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "clawguard", "--url", str(tmp_path / "data" / "clawguard.db"), "serve"]
    options = ["--port", str(port), "--admin-file", str(token_file)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with subprocess.Popen(
        [*command, *options],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            wait_until_ready(url, server)
            token = token_file.read_text(encoding="utf-8").strip()
            assert token_file.stat().st_mode & 0o777 == 0o600
            headers = {"Authorization": f"Bearer {token}"}
            made = httpx.post(
                f"{url}/v1/sessions", json={"agent_id": "planner", "scopes": ["docs:read"]}, headers=headers
            )
            assert made.status_code == 201
            assert httpx.get(f"{url}/v1/sessions").status_code == 401
        finally:
            server.send_signal(signal.SIGTERM)
        told, logged = server.communicate(timeout=PATIENCE)
    assert server.returncode == 0
    assert token not in told + logged
    assert made.json()["token"] not in told + logged
