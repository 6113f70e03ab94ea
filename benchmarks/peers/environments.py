"""An environment for each peer, made once from its pins and kept in a folder that git ignores."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .catalogue import Peer

__all__ = ["CACHE", "NotInstalled", "environment", "pins", "reason"]

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "peers"
_SECONDS = 900
_PLACE = re.compile(r"\S*(?:://|/)\S*")


class NotInstalled(RuntimeError):
    """A peer's environment cannot be made."""


def pins(peer: Peer) -> Path:
    """Return the file of a peer's pins: all that is installed for it, each at one version."""
    return Path(__file__).parent / f"{peer.module}.txt"


def environment(peer: Peer, cache: Path = CACHE) -> Path:
    """Return the Python of a peer's environment, made if it is not there as its pins say.

    Raises NotInstalled with what the installer said.
    """
    folder = cache / peer.module
    made_of = hashlib.sha256(pins(peer).read_bytes() + sys.version.encode()).hexdigest()
    mark, python = folder / "made-of", folder / "bin" / "python"
    if not (mark.exists() and mark.read_text(encoding="utf-8") == made_of):
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)])
        install = ["-m", "pip", "-qq", "--disable-pip-version-check", "--no-input", "install"]
        _run([str(python), *install, "--requirement", str(pins(peer))])
        mark.write_text(made_of, encoding="utf-8")
    return python


def reason(said: str) -> str:
    """Return the last line of what a program said, without addresses and places of this machine."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return (
        _PLACE.sub("...", lines[-1].removeprefix("ERROR: ")).replace("|", "/") if lines else "no word of why"
    )


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"not installed within {_SECONDS} s") from None
    if done.returncode:
        raise NotInstalled(f"not installed: {reason(done.stderr or done.stdout)}")
