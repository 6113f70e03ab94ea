"""A terminal of 80 columns: what a command writes to it, and what a person types."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["on_a_terminal", "plain"]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
Typing = Sequence[tuple[str, str]]  # after which text, which keys; a key is pressed when nothing more comes


def on_a_terminal(folder: Path, *arguments: str, typing: Typing = (), columns: int = 80, **more: str) -> str:
    """Run the command on a terminal of its own, type, and return all that was written to it."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("CLAWGUARD_")}
    environ = {**own, "TERM": "xterm-256color", "PYTHONPATH": os.fspath(ROOT), **more}
    for name in ("COLUMNS", "LINES", *(() if "NO_COLOR" in more else ("NO_COLOR",))):
        environ.pop(name, None)
    ready, go = os.pipe()
    pid, screen = pty.fork()
    if pid == 0:
        os.close(go)
        os.read(ready, 1)  # until the terminal has its size
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-m", "clawguard", *arguments], environ)
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    os.close(ready)
    os.write(go, b"x")
    os.close(go)
    try:
        return _read(screen, list(typing))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(screen)


def _read(screen: int, typing: list[tuple[str, str]]) -> str:
    written, seen, deadline = "", 0, time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if select.select([screen], [], [], 0.3)[0]:
            try:
                data = os.read(screen, 65_536)
            except OSError:
                return written
            written += data.decode("utf-8", "replace")
        elif typing and typing[0][0] in written[seen:]:
            seen = len(written)
            os.write(screen, typing.pop(0)[1].encode())
    raise AssertionError(f"it did not end; it wrote {written!r}")


def plain(written: str) -> list[str]:
    """Return the lines without colours; of a bar drawn again and again, the last state."""
    return [line.rpartition("\r")[2] for line in ANSI.sub("", written.replace("\r\n", "\n")).splitlines()]
