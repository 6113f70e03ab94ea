"""An export under a name loses nothing: it may be killed at any line."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.cli.commands import Cli

ROOT = Path(__file__).resolve().parents[2]
EVENTS = 300


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "clawguard",
        "events",
        "export",
        "--durable",
        "siem",
        "--lease",
        "0.2s",
        *arguments,
    ]
    return subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


@pytest.mark.slow
def test_a_killed_export_loses_nothing(cli: Cli) -> None:
    with SessionManager.open(".clawguard/clawguard.db", create=False) as manager:
        for _ in range(EVENTS // 2):
            manager.revoke(manager.create("agent", scopes="a"))
    got: list[int] = []
    for lines in (1, 7, 40, 90):
        with start(cli.folder) as process:
            assert process.stdout is not None
            for _ in range(lines):
                got.append(json.loads(process.stdout.readline())["seq"])
            process.send_signal(signal.SIGKILL)
            # What stood in the pipe was written, but nobody says that it arrived.
            got += [json.loads(line)["seq"] for line in process.stdout if line.endswith("\n")]
    with start(cli.folder) as process:
        assert process.stdout is not None
        got += [json.loads(line)["seq"] for line in process.stdout]
    assert process.returncode == 0
    assert sorted(set(got)) == list(range(1, EVENTS + 1))
    assert all(later - earlier <= 1 for earlier, later in pairwise(got)), "one was passed over"
    assert cli.json("events", "subscribers")["subscribers"][0]["behind"] == 0


def test_a_line_that_could_not_be_written_comes_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        cli.token(f"agent-{number}")
    written: list[int] = []

    def emit(text: str) -> None:
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(json.loads(text)["seq"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clawguard.cli.output.emit", emit)
        cli("events", "export", "--durable", "siem", code=6)
    assert written == [1, 2]
    rest = cli("events", "export", "--durable", "siem").out.splitlines()
    assert [json.loads(each)["seq"] for each in rest] == [3, 4, 5]


@pytest.mark.parametrize("form", ["ndjson", "cloudevents", "ocsf", "cef"])
def test_each_format_is_one_line_an_event(form: str, cli: Cli) -> None:
    cli.token("planner")
    cli("revoke", cli.id_of("planner"), "--reason", "leaked | = \\")
    lines = cli("events", "export", "--format", form).out.split("\n")[:-1]
    assert len(lines) == 2
    if form == "cef":
        assert all(each.startswith("CEF:0|") for each in lines)
    else:
        key = {"ndjson": "prev_hash", "cloudevents": "specversion", "ocsf": "class_uid"}[form]
        assert all(key in json.loads(each) for each in lines)


def test_an_export_is_narrowed(cli: Cli) -> None:
    cli.token("planner")
    cli("revoke", cli.id_of("planner"))
    assert cli("events", "export", "--type", "session.expired").out.count("\n") == 1
    assert cli("events", "export", "--after", "1").out.count("\n") == 1
    assert cli("events", "export", "--since", "1h").out.count("\n") == 2
    assert cli("events", "export", "--since", "0s").out == ""


@pytest.mark.parametrize(
    "arguments",
    [("--json", "--format", "cef"), ("--durable", "a", "--since", "1h"), ("--type", "session.revoked")],
)
def test_what_does_not_go_together_is_told(arguments: tuple[str, ...], cli: Cli) -> None:
    assert "hint:" in cli("events", "export", *arguments, code=2).err or arguments[0] == "--json"


def test_one_process_at_a_time_serves_a_name(cli: Cli) -> None:
    with SessionManager.open(".clawguard/clawguard.db", create=False) as manager:
        manager.create("agent", scopes="a")
        cursor = manager.subscribers.cursor("siem", after=0, lease=600)
        assert cursor.take()
        ran = cli("events", "export", "--durable", "siem", "--lease", "0.1s", code=5)
        assert "at work" in ran.err
        assert ran.out == ""
        cursor.release()
    assert cli("events", "export", "--durable", "siem").out.count("\n") == 1
