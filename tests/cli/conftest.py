"""A folder with a database in it, and the command."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.cli.commands import Cli


@pytest.fixture
def empty(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Stand in an empty folder, with nothing set."""
    for name in [name for name in os.environ if name.startswith("CLAWGUARD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return Cli(tmp_path, capsys, monkeypatch)


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a database once: each test has a copy of it, which costs less."""
    folder = tmp_path_factory.mktemp("founded") / ".clawguard"
    SessionManager.open(folder / "clawguard.db", sweep_every=None).close()
    return folder


@pytest.fixture
def cli(empty: Cli, founded: Path) -> Cli:
    """Stand in a folder with a new database."""
    shutil.copytree(founded, empty.folder / ".clawguard")
    return empty
