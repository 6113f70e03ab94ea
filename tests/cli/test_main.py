"""The command line: what is understood, what is said to anything else, and what is left without the extra."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clawguard.cli import demo, main

ROOT = Path(__file__).resolve().parents[2]
WITHOUT_EXTRA = """
import sys
sys.modules["typer"] = None
from clawguard.cli import main
sys.exit(main(sys.argv[1:]))
"""


def run_without_extra(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_EXTRA, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["nonsense"], ["demo", "--fast"], ["--keep"], ["demo", "x"], ["-v"]])
def test_what_is_not_understood_is_told_in_a_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    line, hint = err.splitlines()
    assert line.startswith("clawguard: ")
    assert hint.startswith("  hint: ")


@pytest.mark.parametrize("argument", ["-h", "--help"])
def test_help_is_no_failure(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 0
    assert "Usage: clawguard" in capsys.readouterr().out


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: clawguard" in out + err
    assert "hint:" not in err


@pytest.mark.parametrize(("arguments", "keep"), [(["demo"], False), (["demo", "--keep"], True)])
def test_the_demo_is_run(arguments: list[str], keep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(*, keep: bool) -> int:
        asked.append(keep)
        return 7

    monkeypatch.setattr(demo, "run", run)
    assert main(arguments) == 7
    assert asked == [keep]


def test_an_interrupt_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*, keep: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", run)
    assert main(["demo"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_the_arguments_are_those_of_the_process() -> None:
    command = [sys.executable, "-m", "clawguard", "nonsense"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("clawguard: ")


LAZY = """
import sys
from clawguard.cli import main
code = main(sys.argv[1:])
loaded = [name for name in ("rich.console", "pydantic_settings") if name in sys.modules]
print(code, *loaded, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--version"], ""),
        (["create", "a", "--token-only", "--ttl", "x"], ""),
        (["list"], " pydantic_settings"),
    ],
)
def test_a_command_loads_what_it_needs(arguments: list[str], loaded: str, tmp_path: Path) -> None:
    """Starting is most of what a short command takes: what draws and reads settings comes when wanted."""
    run = subprocess.run(
        [sys.executable, "-c", LAZY, *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stderr.splitlines()[-1].partition(" ")[2] == loaded.strip()


def test_without_the_extra_the_help_says_how_to_get_it() -> None:
    run = run_without_extra("--help")
    assert run.returncode == 0
    assert run.stdout.startswith("usage: clawguard demo [--keep]")
    assert "pip install 'clawguard-sessions[cli]'" in run.stdout


@pytest.mark.parametrize("arguments", [[], ["create", "planner"], ["demo", "--fast"]])
def test_without_the_extra_a_command_prints_the_install_line(arguments: list[str]) -> None:
    run = run_without_extra(*arguments)
    assert (run.returncode, run.stdout) == (2, "")
    assert "pip install 'clawguard-sessions[cli]'" in run.stderr


def test_without_the_extra_the_demo_runs() -> None:
    run = run_without_extra("demo")
    assert run.returncode == 0, run.stderr
    assert "All of it went as promised" in run.stdout
