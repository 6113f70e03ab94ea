"""A server in a process of its own, over a database on disk: for signals, streams and what it prints."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

__all__ = ["KEK", "Served", "serving"]

ROOT = Path(__file__).resolve().parents[2]
KEK = bytes(range(32))
PATIENCE = 90.0
RUNNING = re.compile(r"Uvicorn running on (http://[0-9.:]+)")
PROGRAM = """
import sys
from clawguard import SessionManager
from clawguard.server import Settings, serve
path, admin_file = sys.argv[1:]
manager = SessionManager.open(path, kek=bytes(range(32)))
serve(manager, port=0, admin_file=admin_file or None, settings=Settings(heartbeat=0.2), grace=5)
print("closed", flush=True)
"""


class Served:
    """Hold a server that runs, where it is, and what it has said."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self.process = process
        self.url = ""
        self._folder = folder

    @property
    def out(self) -> str:
        """What it has printed so far."""
        return (self._folder / "out").read_text(encoding="utf-8")

    @property
    def logs(self) -> str:
        """What it has logged so far."""
        return (self._folder / "logs").read_text(encoding="utf-8")

    @property
    def token(self) -> str:
        """The admin token that it has printed."""
        return self.out.splitlines()[0].rpartition(" ")[2]

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and return how it ended."""
        self.process.send_signal(sign)
        return self.process.wait(PATIENCE)

    def wait(self) -> None:
        """Wait until it says at which port it is, and answers there."""
        end = time.monotonic() + PATIENCE
        while (found := RUNNING.search(self.logs)) is None:
            assert self.process.poll() is None, self.logs
            assert time.monotonic() < end, self.logs
            time.sleep(0.02)
        self.url = found[1]
        assert httpx.get(f"{self.url}/health/ready", timeout=PATIENCE).status_code == 200


@contextmanager
def serving(database: Path, folder: Path, *, admin_file: str = "") -> Iterator[Served]:
    """Serve a database for a block; the server is up when it begins."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", PROGRAM, str(database), admin_file]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / "out").open("w") as out, (folder / "logs").open("w") as logs:
        process = subprocess.Popen(command, stdout=out, stderr=logs, text=True, env=environ)
    served = Served(process, folder)
    try:
        served.wait()
        yield served
    finally:
        process.kill()
        process.wait()
