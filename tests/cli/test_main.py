"""The command line: what is understood, and what is said to anything else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clawguard.cli import demo, main


@pytest.mark.parametrize(
    "arguments", [[], ["create"], ["demo", "--fast"], ["--keep"], ["demo", "demo"], ["-v"]]
)
def test_another_command_prints_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("usage: clawguard demo [--keep]")
    assert "later release" in err


@pytest.mark.parametrize("argument", ["-h", "--help"])
def test_help_is_no_failure(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([argument]) == 0
    assert "usage:" in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "keep"), [(["demo"], False), (["demo", "--keep"], True)])
def test_the_demo_is_run(arguments: list[str], keep: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def run(*, keep: bool) -> int:
        asked.append(keep)
        return 7

    monkeypatch.setattr(demo, "run", run)
    assert main(arguments) == 7
    assert asked == [keep]


def test_an_interrupt_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*, keep: bool) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", run)
    assert main(["demo"]) == 130


def test_the_arguments_are_those_of_the_process() -> None:
    command = [sys.executable, "-m", "clawguard", "nonsense"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("usage:")
