"""Run the command in this process, as its script does, in a folder of its own."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clawguard.cli import main

__all__ = ["Cli", "Ran"]


class Ran(NamedTuple):
    """Hold what a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that it printed."""
        return json.loads(self.out)


class Cli:
    """Type commands; each must end well unless another code is wanted."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._capsys = capsys
        self._patch = patch

    def __call__(self, *arguments: str, stdin: str = "", code: int = 0) -> Ran:
        """Run one command and return what it said."""
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        self._capsys.readouterr()
        ended = main(arguments)
        out, err = self._capsys.readouterr()
        assert ended == code, f"{arguments} ended with {ended}: {out}{err}"
        assert "Traceback" not in err
        return Ran(ended, out, err)

    def json(self, *arguments: str, stdin: str = "", code: int = 0) -> Any:
        """Run one command with `--json` and return its document."""
        return self(*arguments, "--json", stdin=stdin, code=code).json

    def token(self, agent: str, *arguments: str) -> str:
        """Create a session and return its token."""
        return self("create", agent, *arguments, "--token-only").out.strip()

    def id_of(self, agent: str, *arguments: str) -> str:
        """Return the id of an agent's one session."""
        (found,) = self("list", "--agent", agent, "--ids", *arguments).out.split()
        return found
