"""Tokens: printed once, into a private file if asked, read from where nobody looks on."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.cli.commands import Cli


def test_a_token_is_printed_once_and_nowhere_else(cli: Cli) -> None:
    token = cli.token("planner", "--scope", "docs:read")
    session = cli.id_of("planner")
    said = [
        cli(*command.format(session).split(), stdin=token)
        for command in (
            "show {}",
            "show {} --json",
            "list --json",
            "tree {} --json",
            "inspect",
            "inspect --json",
            "events tail --json",
            "incident --json",
            "doctor --json",
        )
    ]
    assert not [ran for ran in said if token in ran.out + ran.err or token.split(".")[2] in ran.out + ran.err]
    for file in Path(".clawguard").iterdir():
        assert token.encode() not in file.read_bytes()


def test_only_the_token_is_printed_for_scripts(cli: Cli) -> None:
    ran = cli("create", "planner", "--scope", "a", "--token-only")
    assert ran.out.count("\n") == 1
    assert ran.out.startswith("eyJ")
    both = cli("create", "remote", "--refreshable", "--token-only").out.split()
    assert [each[:4] for each in both] == ["eyJh", "cgr1"]
    ran = cli("create", "planner", "--out", "t", "--token-only")
    assert (ran.out, ran.err) == ("", "")


def test_a_file_holds_the_token_and_is_private(cli: Cli) -> None:
    ran = cli("create", "planner", "--scope", "a", "--refreshable", "--out", "planner.token")
    file = Path("planner.token")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    token, refresh_token = file.read_text(encoding="utf-8").splitlines()
    assert token not in ran.out
    assert refresh_token not in ran.out
    assert cli.json("inspect", stdin=file.read_text(encoding="utf-8"))["verdict"] == "active"
    cli("refresh", cli.id_of("planner"), "--out", "planner.token")
    assert cli.json("inspect", stdin=token, code=3)["verdict"] == "superseded"
    assert cli.json("inspect", stdin=file.read_text(encoding="utf-8"))["verdict"] == "active"


def test_a_file_that_holds_something_else_is_not_replaced(cli: Cli) -> None:
    file = Path("notes")
    file.write_text("dear diary", encoding="utf-8")
    file.chmod(0o600)
    assert "something else" in cli("create", "planner", "--out", "notes", code=2).err
    file.chmod(0o644)
    assert "others can reach it" in cli("create", "planner", "--out", "notes", code=6).err
    Path("link").symlink_to("notes")
    assert cli("create", "planner", "--out", "link", code=6).out == ""
    assert "does not exist" in cli("create", "planner", "--out", "none/t", code=2).err
    assert file.read_text(encoding="utf-8") == "dear diary"
    assert cli.json("list")["sessions"] == []


def test_a_session_whose_token_could_not_be_written_is_ended(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clawguard import ConfigError

    def fail(*_: object, **__: object) -> None:
        raise ConfigError("the token file t cannot be written: No space left on device")

    monkeypatch.setattr("clawguard.cli.issuing.replace_private", fail)
    assert "No space left" in cli("create", "planner", "--out", "t", code=6).err
    assert cli.json("list")["sessions"] == []


def test_a_token_must_be_given(cli: Cli) -> None:
    for command in ("inspect", "incident"):
        assert "is missing" in cli(command, stdin="", code=2).err
    assert "is missing" in cli("delegate", "a", stdin="\n", code=2).err


@pytest.mark.parametrize("text", ["nonsense", "eyJ.eyJ.x", "\x00\xff", "x" * 20_000])
def test_what_is_no_token_is_invalid_and_no_more_is_said(text: str, cli: Cli) -> None:
    assert cli.json("inspect", stdin=text, code=3) == {
        "verdict": "invalid",
        "session": None,
        "claims": None,
        "lineage": [],
    }
    assert text not in cli("incident", stdin=text, code=3).err
    assert cli("events", "tail", "--json").out == ""


def test_a_refresh_token_is_told_from_a_token(cli: Cli) -> None:
    refresh_token = cli("create", "remote", "--refreshable", "--token-only").out.split()[1]
    assert "a refresh token" in cli("inspect", stdin=refresh_token, code=3).out


def test_attack_123_what_others_wrote_cannot_drive_the_terminal(cli: Cli) -> None:
    """A name, a label, what was said: escape codes and markup in them are shown, not obeyed."""
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r[red]x[/red]"
    cli.token("planner", "--metadata", '{"note": "\\u001b[2J"}')
    session = cli.id_of("planner")
    with SessionManager.open(".clawguard/clawguard.db", create=False) as manager:
        manager.history.append(session, {"role": "user", "content": f"hello {evil}"})
        manager.create("[bold]x[/bold]", scopes="a")
    shown = ("history tail {}", "history search hello", "history wrap-up {}", "show {}", "list", "tree {}")
    as_json = [f"{each} --json" for each in shown]
    said = [cli(*command.format(session).split()) for command in (*shown, *as_json)]
    for ran in said:
        assert all(each.isprintable() or each == "\n" for each in ran.out)
    assert "[red]x[/red]" in said[0].out
    assert "[bold]x[/bold]" in said[4].out
