"""The coverage gate has teeth: what it must catch is planted here, under the project's own settings."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "pyproject.toml"

COVERED = """
def sign(number: int) -> str:
    word = "plus"
    if number < 0:
        word = "minus"
    return word
"""
RUN = "from clawguard import code; code.sign(1); code.sign(-1)"


def gate(folder: Path, source: str, program: str) -> subprocess.CompletedProcess[str]:
    """Measure `program` over a package of one module, as `make test` measures the project."""
    (folder / "clawguard").mkdir()
    (folder / "clawguard" / "__init__.py").touch()
    (folder / "clawguard" / "code.py").write_text(source, encoding="utf-8")
    (folder / "program.py").write_text(program, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}

    def coverage(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "coverage", command[0], f"--rcfile={SETTINGS}", *command[1:]],
            cwd=folder, env=clean, capture_output=True, text=True, check=False,
        )  # fmt: skip

    for step in (("run", "program.py"), ("combine",)):
        done = coverage(*step)
        assert done.returncode == 0, done.stdout + done.stderr
    return coverage("report")


def test_the_gate_is_as_strict_as_promised() -> None:
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["tool"]["coverage"]
    assert settings["run"]["branch"] is True
    assert settings["run"]["source"] == ["clawguard"]
    assert settings["report"]["fail_under"] >= 95


def test_full_coverage_passes(tmp_path: Path) -> None:
    report = gate(tmp_path, COVERED, RUN)
    assert report.returncode == 0, report.stdout + report.stderr


def test_an_uncovered_line_fails(tmp_path: Path) -> None:
    report = gate(tmp_path, COVERED + "\ndef never() -> int:\n    return 1\n", RUN)
    assert report.returncode == 2
    assert "fail-under" in report.stdout + report.stderr


def test_an_uncovered_branch_fails_although_every_line_ran(tmp_path: Path) -> None:
    report = gate(tmp_path, COVERED, RUN.replace("code.sign(1); ", ""))
    assert report.returncode == 2
    assert "fail-under" in report.stdout + report.stderr


PROCESSES = {
    "subprocess": f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {RUN!r}], check=True)\n",
    "multiprocessing, spawn": """
import multiprocessing
from clawguard import code
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.map(code.sign, [1, -1])
        pool.close()
        pool.join()
""",
    "multiprocessing, fork": """
import multiprocessing
from clawguard import code
for number in (1, -1):
    process = multiprocessing.get_context("fork").Process(target=code.sign, args=(number,))
    process.start()
    process.join()
""",
    "os.fork": """
import os
from clawguard import code
if pid := os.fork():
    os.waitpid(pid, 0)
else:
    code.sign(1), code.sign(-1)
    os._exit(0)
""",
    "thread": f"""
import threading
thread = threading.Thread(target=exec, args=({RUN!r},))
thread.start()
thread.join()
""",
}


@pytest.mark.parametrize("kind", PROCESSES)
def test_what_other_processes_and_threads_run_counts(kind: str, tmp_path: Path) -> None:
    report = gate(tmp_path, COVERED, PROCESSES[kind])
    assert report.returncode == 0, report.stdout + report.stderr
