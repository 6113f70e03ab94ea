"""The reference is what the code says, every command explains itself, and shells can complete it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main

from clawguard.cli.app import app
from clawguard.cli.shapes import PRINTS
from tests.cli.reference import PAGE, commands, page

COMMANDS = dict(commands(typer.main.get_command(app)))


def test_the_page_is_as_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make reference"


def test_a_stale_page_is_found() -> None:
    stale = PAGE.read_text(encoding="utf-8").replace("`--older-than", "`--older", 1)
    assert stale != page()


def test_every_command_has_a_shape() -> None:
    assert COMMANDS.keys() == PRINTS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_explains_itself_and_each_option(name: str) -> None:
    command = COMMANDS[name]
    assert len(command.help or "") > 20
    assert all(each.help for each in command.params if each.name != "help")
    assert any("--json" in getattr(each, "opts", ()) for each in command.params)


@pytest.mark.parametrize("name", COMMANDS)
def test_no_option_takes_a_token(name: str) -> None:
    def takes_a_value(option: Any) -> bool:
        return option.param_type_name == "argument" or not option.is_flag

    named = [each.name for each in COMMANDS[name].params if takes_a_value(each)]
    assert not [each for each in named if "token" in each or "secret" in each]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_completion(shell: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "clawguard", "--show-completion", shell]
    environ = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    shown = subprocess.run(command, env=environ, capture_output=True, text=True, check=True).stdout
    assert "_CLAWGUARD_COMPLETE" in shown
    if shutil.which(shell) is not None:
        script = tmp_path / "completion"
        script.write_text(shown, encoding="utf-8")
        subprocess.run([shell, "-n", str(script)], check=True)


def test_commands_are_completed() -> None:
    environ = os.environ | {
        "_CLAWGUARD_COMPLETE": "complete_bash",
        "COMP_WORDS": "clawguard re",
        "COMP_CWORD": "1",
    }
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'clawguard'; from clawguard.cli import main; main()",
    ]
    shown = subprocess.run(command, env=environ, capture_output=True, text=True, check=False).stdout
    assert set(shown.split()) == {"refresh", "revoke"}
