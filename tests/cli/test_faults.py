"""What is told of an error: one line, a hint, the right code, and never a secret."""

from __future__ import annotations

import json
import re

import pytest

from clawguard import errors
from clawguard.cli import app as app_module
from clawguard.cli import faults, host
from clawguard.cli.faults import MEANINGS, Exit, exit_of, redacted
from tests.cli.commands import Cli

TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
REFRESH = "cgr1_abcdefgh_0123456789abcdef"


def test_every_code_has_a_meaning_and_each_is_another() -> None:
    assert set(MEANINGS) == set(Exit)
    assert len({int(code) for code in Exit}) == len(Exit)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidToken(), Exit.REFUSED),
        (errors.SessionEnded("ttl"), Exit.REFUSED),
        (errors.DelegationRefused("a lacks b"), Exit.REFUSED),
        (errors.KeyInUse("k", "s"), Exit.REFUSED),
        (errors.LimitReached("a", 1), Exit.REFUSED),
        (errors.SessionNotFound("s"), Exit.NOT_FOUND),
        (errors.InvalidArgument("a", "is bad"), Exit.USAGE),
        (errors.EventsArchived(7), Exit.USAGE),
        (errors.ConfigError("x"), Exit.CONFIG),
        (errors.StoreUpgraded("x"), Exit.CONFIG),
        (errors.StoreMoved("x"), Exit.CONFIG),
        (errors.StoreUnavailable("x"), Exit.UNAVAILABLE),
        (errors.StoreBusy("x"), Exit.UNAVAILABLE),
        (errors.ClockError("x"), Exit.UNAVAILABLE),
        (errors.OutcomeUnknown("x"), Exit.UNKNOWN),
        (errors.ClawguardError("x"), Exit.FAULT),
    ],
)
def test_each_kind_of_error_has_its_code(error: errors.ClawguardError, code: Exit) -> None:
    assert exit_of(error) is code


def test_attack_121_a_token_in_an_argument_is_not_repeated(cli: Cli) -> None:
    for arguments in (
        ("inspect", TOKEN),
        ("inspect", "-", TOKEN),
        ("show", TOKEN),
        ("show", REFRESH),
        ("revoke", TOKEN),
        (TOKEN,),
        ("list", f"--{TOKEN}"),
        ("create", "a", "--scope", TOKEN),
        ("create", "a", "--ttl", REFRESH),
        ("create", "a", "--max-uses", TOKEN),
        ("events", "tail", "--after", TOKEN),
        ("--config", TOKEN, "list"),
        ("keys", "rotate", "--algorithm", TOKEN),
    ):
        for more in ((), ("--json",)):
            ran = cli(*arguments, *more, code=6 if arguments[0] == "--config" else 2)
            assert ran.out == ""
            assert TOKEN not in ran.err
            assert TOKEN.partition(".")[2] not in ran.err
            assert REFRESH not in ran.err


def test_attack_122_an_error_cannot_write_to_the_terminal(cli: Cli) -> None:
    evil = "x\x1b]0;owned\x07\x9b31m\u202e"
    for arguments, code in (
        (("show", evil), 2),
        ((evil,), 2),
        (("--config", evil, "list"), 6),
        (("--url", evil, "list"), 6),
        (("db", "restore", evil, "--yes"), 6),
    ):
        err = cli(*arguments, code=code).err
        assert all(each.isprintable() or each == "\n" for each in err)
    assert redacted(evil).isprintable()


def test_a_token_on_the_command_line_is_not_taken(cli: Cli) -> None:
    token = cli.token("planner")
    assert "not taken from the command line" in cli("inspect", token, stdin=token, code=2).err


def test_an_error_is_a_line_and_a_hint(cli: Cli) -> None:
    err = cli("create", "planner", "--scope", "Bad Scope", code=2).err
    assert re.fullmatch(r"clawguard: --scope: .+\n  hint: .+\n", err)


def test_an_error_is_an_object_with_json(cli: Cli) -> None:
    ran = cli("show", "01a1ffbf-d1ce-737f-ac61-5cc44c0ef4c6", "--json", code=4)
    assert ran.out == ""
    told = json.loads(ran.err)["error"]
    assert told["code"] == "session_not_found"
    assert set(told) == {"code", "message", "hint"}


def test_what_should_not_happen_is_told_by_its_place_alone(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"holds {TOKEN}")

    monkeypatch.setattr(host, "file_or_server", fail)
    err = cli("list", code=1).err
    assert re.match(r"clawguard: RuntimeError at test_faults\.py:\d+\n", err)
    assert TOKEN not in err


def test_what_is_redacted_is_told() -> None:
    assert redacted(f"a {TOKEN} b {REFRESH} c") == "a (a token) b (a token) c"


def test_every_fault_of_a_store_that_is_gone_is_told(cli: Cli) -> None:
    database = cli.folder / ".clawguard" / "clawguard.db"
    data = database.read_bytes()
    database.write_bytes(b"")
    assert "is empty" in cli("list", code=6).err
    database.write_bytes(b"nothing of ours" * 100)
    assert "not a whole SQLite database" in cli("list", code=6).err
    database.write_bytes(data)
    database.chmod(0o644)
    assert "chmod 600" in cli("list", code=6).err
    database.unlink()
    assert "clawguard init" in cli("list", code=6).err


def test_the_modules_say_what_they_export() -> None:
    for module in (app_module, faults, host):
        assert all(hasattr(module, name) for name in module.__all__)
