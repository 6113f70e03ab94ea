"""On a terminal: nothing is wrapped by accident, bars and colours are for people, tokens are typed unseen."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.cli.commands import Cli
from tests.cli.terminal import on_a_terminal, plain

ROW = re.compile(r"^[│├└─ ]*[0-9a-f]{8}-")


@pytest.fixture
def busy(cli: Cli) -> Cli:
    """Prepare a tree as deep as may be, with long names and many scopes."""
    with SessionManager.open(".clawguard/clawguard.db", create=False) as manager:
        parent = manager.create(
            "a-planner-with-a-long-name", scopes=[f"docs:part-{n}" for n in range(9)], key="root"
        )
        for depth in range(8):
            parent = manager.delegate(parent, f"level-{depth}-of-the-tree", scopes="docs:part-1 docs:part-2")
        manager.history.append(parent, {"role": "user", "content": "hello " + "and so on " * 40})
        manager.revoke(parent, reason="a reason that takes a line of its own, " * 3)
    return cli


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["list --all", "tree {}", "history list", "history search hello", "events tail", "keys list"]
)
def test_rows_fit_80_columns_and_none_is_wrapped(command: str, busy: Cli) -> None:
    root = json.loads(busy("list", "--agent", "a-planner-with-a-long-name", "--json").out)["sessions"][0][
        "id"
    ]
    arguments = command.format(root).split()
    piped = busy(*arguments).out.splitlines()
    lines = plain(on_a_terminal(busy.folder, *arguments))
    assert max(map(len, lines)) <= 80
    assert len(lines) == len(piped)
    assert all(ROW.match(each) for each in lines) or not command.startswith("tree")
    assert "…" in "".join(lines) or command == "keys list"
    assert "…" not in "".join(piped) or "search" in command  # a snippet has its own


def test_colour_is_for_terminals_that_want_it(cli: Cli) -> None:
    cli.token("planner")
    assert "\x1b[" in on_a_terminal(cli.folder, "list")
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", on_a_terminal(cli.folder, "list", NO_COLOR="1"))


def test_a_bar_is_drawn_on_a_terminal_and_leaves_nothing(cli: Cli) -> None:
    cli.token("planner")
    written = on_a_terminal(cli.folder, "events", "verify")
    assert "verifying" in written
    assert "1/1" in written
    assert plain(written)[-1].startswith("1 entry holds")
    piped = cli("events", "verify")
    assert (piped.err, piped.out.count("\n")) == ("", 1)


def test_a_token_is_typed_unseen(cli: Cli) -> None:
    token = cli.token("planner", "--scope", "docs:read")
    written = on_a_terminal(cli.folder, "inspect", typing=[("token: ", f"{token}\n")])
    assert "active" in written
    assert token[:40] not in written


def test_an_incident_is_dealt_with_from_the_menu(cli: Cli) -> None:
    token = cli.token("planner", "--scope", "docs:read")
    typing = [("leaked token: ", f"{token}\n"), ("[q]uit", "t"), ("[q]uit", "r")]
    written = on_a_terminal(cli.folder, "incident", typing=typing)
    assert token[:40] not in written
    assert "1 session ended" in written
    ended = cli.json("list", "--ended")["sessions"][0]
    assert (ended["cause"], ended["reason"]) == ("revoked", "leaked")


def test_an_incident_may_be_left_alone(cli: Cli) -> None:
    token = cli.token("planner")
    on_a_terminal(cli.folder, "incident", typing=[("leaked token: ", f"{token}\n"), ("[q]uit", "q")])
    assert cli.id_of("planner")


@pytest.mark.parametrize(("answer", "live"), [("n", 1), ("y", 0)])
def test_a_mass_end_is_asked_about(answer: str, live: int, cli: Cli) -> None:
    cli.token("planner")
    written = on_a_terminal(
        cli.folder, "revoke", "--agent", "planner", typing=[("end 1 session", f"{answer}\n")]
    )
    assert ("1 session ended" in written) == (live == 0)
    assert len(cli.json("list")["sessions"]) == live


def test_a_reader_that_goes_away_is_no_traceback(cli: Cli) -> None:
    script = f"{sys.executable} -m clawguard events tail --json | true; echo ${{PIPESTATUS[0]}}"
    cli.token("planner")
    environ = {"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": "/usr/bin:/bin"}
    run = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "141"
    assert "Traceback" not in run.stderr
