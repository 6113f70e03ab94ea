"""The demo: that it shows what it promises, and that it fails when a promise is broken."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from clawguard import StoreBusy
from clawguard.cli import demo, demo_stage
from clawguard.cli.demo_stage import Narrator, Process, Stage, StepFailed, expect

ROOT = Path(__file__).resolve().parents[2]


TERMINAL = 80


def run_demo(folder: Path, *arguments: str, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    """Run it as a newcomer would: an empty home, a temporary folder of its own."""
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    environ = os.environ | {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, "-m", "clawguard", "demo", *arguments],
        cwd=home, env=environ, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("demo")
    run = run_demo(folder)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    assert not list((folder / "home").iterdir())
    assert not list((folder / "tmp").iterdir())
    return run.stdout


PROMISES = {
    "an allowed call": r"planner +GET /docs +200  docs for planner",
    "a delegation that asks too much": r"planner +wants docs:read files:write +refused: .* lacks files:write",
    "a delegated agent": r"summarizer +GET /docs +200  docs for summarizer",
    "a call refused for scope": r"summarizer +POST /mail +403  insufficient_scope .*\n +tool .*\"mail:send\"",
    "a refresh": r"host +refresh\(mailer\) +token generation 2",
    "the old token": r"mailer +POST /mail old token +401  invalid_token",
    "the new token": r"mailer +POST /mail new token +200  sent for mailer",
    "a revoke and its very next call": r"host +revoke\(planner\).* ms\n +planner +GET /docs +401  invalid",
    "the time it took": r"acknowledged, then refused +on the next call, after +\d+\.\d ms",
    "the child": r"summarizer +GET /docs +401  .*\n +summarizer +its session ended +cause: parent",
    "natural expiry": r"log +session\.expired, cause: ttl +recorded after its end by +\d+\.\d ms",
    "its event": r"#\d+ +session\.expired +mailer .* ttl$",
    "the audit trail": r"#\d+ +session\.expired +planner .* revoked \(laptop lost\)$",
    "a denial in it": r"#\d+ +guard\.denied +summarizer .*\(insufficient_scope\)$",
    "the chain": r"log +\d+ entries +verified, head [0-9a-f]{10}",
    "one changed byte": r"intruder +byte \d+ of a copy .*\n +log +the chain is broken +at entry \d+",
    "the end": r"^All of it went as promised, in \d\.\d s\.$",
}


def test_it_fits_a_terminal(shown: str) -> None:
    assert [line for line in shown.splitlines() if len(line) > TERMINAL] == []


@pytest.mark.parametrize("promise", PROMISES)
def test_it_shows(promise: str, shown: str) -> None:
    assert re.search(PROMISES[promise], shown, re.MULTILINE), shown


def test_it_needs_no_colours_and_no_trailing_blanks(shown: str) -> None:
    assert "\x1b" not in shown
    assert all(line == line.rstrip() for line in shown.splitlines())


def test_no_token_is_shown(shown: str) -> None:
    assert "eyJ" not in shown


def test_the_folder_can_be_kept(tmp_path: Path) -> None:
    run = run_demo(tmp_path, "--keep")
    assert run.returncode == 0, run.stdout + run.stderr
    (kept,) = (tmp_path / "tmp").iterdir()
    assert str(kept) in run.stdout
    assert (kept / ".clawguard" / "clawguard.db").exists()


def test_a_broken_promise_gives_a_sentence_and_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    def play() -> None:
        expect(True, "not this one")
        expect(False, "the old token was still accepted")

    assert demo.conduct(play) == 1
    assert capsys.readouterr().err == "\nThe demo failed: the old token was still accepted.\n"


@pytest.mark.parametrize("error", [StoreBusy("the database is locked"), OSError("no space left")])
def test_an_error_gives_a_sentence_and_a_failure(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    def play() -> None:
        raise error

    assert demo.conduct(play) == 1
    assert str(error) in capsys.readouterr().err


def test_a_play_without_a_fault_is_no_failure() -> None:
    assert demo.conduct(lambda: None) == 0


BREAKAGES = {
    "ended sessions are let in": (
        "clawguard.sessions.validating.check_alive = lambda *args, **kwargs: None",
        "mailer: POST /mail old token was answered 200, not 401",
    ),
    "scopes are not looked at": (
        "clawguard.sessions.validating.Validation._check_scopes = lambda *args, **kwargs: None",
        "summarizer: POST /mail was answered 200, not 403",
    ),
    "a revoke does nothing": (
        "clawguard.sessions.manager.SessionManager.revoke = lambda *args, **kwargs: True",
        "planner: GET /docs was answered 200, not 401",
    ),
    "a child may have more than its parent": (
        "clawguard.sessions.issuing.widened_by = lambda *args, **kwargs: ()",
        "a child was given a scope that its parent lacks",
    ),
    "natural ends are not recorded": (
        "clawguard.sessions.ending.Endings.sweep = lambda self: 0",
        "no event told of the natural end within 5 s",
    ),
    "any text fits the chain": (
        "clawguard.events.chain._fault = lambda *args, **kwargs: None",
        "the changed byte was not found",
    ),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_it_fails_when_the_library_is_broken(breakage: str, tmp_path: Path) -> None:
    """Break the library itself in every process of the run; the demo has to notice."""
    change, sentence = BREAKAGES[breakage]
    module = re.match(r"clawguard\.[a-z]+\.[a-z]+", change)
    assert module is not None
    (tmp_path / "sitecustomize.py").write_text(f"import {module[0]}\n{change}\n", encoding="utf-8")
    run = run_demo(tmp_path, path=f"{tmp_path}{os.pathsep}{ROOT}")
    assert run.returncode == 1, run.stdout + run.stderr
    assert run.stderr.endswith(f"\nThe demo failed: {sentence}.\n")
    assert "All of it went as promised" not in run.stdout
    assert not list((tmp_path / "tmp").iterdir())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_process_that_dies_is_told() -> None:
    with Stage() as stage:
        agent = stage.start("mailer", "demo_agent", CLAWGUARD_TOKEN="x", CLAWGUARD_DEMO_PORT="1")
        agent.answer()
        os.kill(agent.pid, signal.SIGKILL)
        with pytest.raises(StepFailed, match="the mailer process"):
            agent.order("take", "x" * 1_000_000)  # more than a pipe holds
    assert not alive(agent.pid)


def test_a_process_that_hangs_is_told_and_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_stage, "_PATIENCE", 0.2)
    with Stage() as stage:
        agent = stage.start("mailer", "demo_agent", CLAWGUARD_TOKEN="x", CLAWGUARD_DEMO_PORT="1")
        os.kill(agent.pid, signal.SIGSTOP)
        with pytest.raises(StepFailed, match="did not answer within"):
            agent.answer()
    assert not alive(agent.pid)


def test_a_child_sees_nothing_of_the_hosts_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a token of its own the agent does not start, whatever the host's environment holds."""
    monkeypatch.setenv("CLAWGUARD_TOKEN", "the host's")
    process = Process("mailer", "clawguard.cli.demo_agent", {"PYTHONWARNINGS": "ignore"})
    try:
        with pytest.raises(StepFailed, match="ended before it answered"):
            process.answer()
    finally:
        process.stop()


def test_lines_are_aligned() -> None:
    out = io.StringIO()
    narrator = Narrator(out)
    narrator.step("First")
    narrator.line("host", "revoke", "done", ms=1.234)
    narrator.line("summarizer", "GET /docs", "401  invalid_token", ms=12.3)
    narrator.line("host", "nothing", "")
    _, step, first, second, third = out.getvalue().split("\n")[:5]
    assert step == " 1  First"
    assert first.index("revoke") == second.index("GET") == third.index("nothing")
    assert first.endswith("     1.2 ms")
    assert len(first) == len(second)
