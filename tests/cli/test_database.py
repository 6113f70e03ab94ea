"""Backups: a copy that was put back lets nothing live again that had ended."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from clawguard import SessionEnded, SessionManager, StoreUnavailable
from tests.cli.commands import Cli

DATABASE = Path(".clawguard/clawguard.db")


def test_attack_124_a_restored_backup_wakes_nothing(cli: Cli) -> None:
    """A session that was revoked after the backup, and a key that was rotated in an emergency, stay dead."""
    token = cli.token("planner", "--scope", "docs:read")
    session = cli.id_of("planner")
    cli("db", "backup", "copy.db")
    cli("revoke", session, "--reason", "leaked")
    cli("keys", "rotate", "--emergency", "--yes")
    told = cli.json("db", "restore", "copy.db", "--yes")
    assert (told["events"], told["lost"], told["ended"]) == (1, 2, 1)
    assert cli.json("inspect", stdin=token, code=3)["verdict"] == "invalid"
    ended = cli.json("show", session)
    assert (ended["cause"], ended["reason"]) == ("revoked", "restored from a backup")
    states = sorted(key["state"] for key in cli.json("keys", "list")["keys"])
    assert states == ["active", "compromised", "compromised", "next"]
    assert cli.json("db", "check")["whole"]
    assert cli.json("inspect", stdin=cli.token("new", "--scope", "a"))["verdict"] == "active"


def test_what_was_replaced_is_kept(cli: Cli) -> None:
    cli("db", "backup", "copy.db")
    cli.token("planner")
    kept = Path(cli.json("db", "restore", "copy.db", "--yes")["replaced"])
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not list(Path(".clawguard").glob(".*-*"))
    cli("db", "restore", str(kept), "--yes", "--keep-sessions")
    assert cli.json("events", "verify")["count"] == 1
    assert cli.id_of("planner")


def test_sessions_live_on_only_when_that_is_said(cli: Cli) -> None:
    token = cli.token("planner")
    cli("db", "backup", "copy.db")
    assert cli.json("db", "restore", "copy.db", "--yes", "--keep-sessions")["ended"] == 0
    assert cli.json("inspect", stdin=token)["verdict"] == "active"


def test_nothing_is_restored_under_a_process_that_runs(cli: Cli) -> None:
    cli("db", "backup", "copy.db")
    with SessionManager.open(DATABASE, create=False) as manager:
        session = manager.create("planner", scopes="a")
        assert "stop all of them" in cli("db", "restore", "copy.db", "--yes", code=5).err
        assert manager.validate(session.token).agent_id == "planner"
        manager.revoke(session)
        with pytest.raises(SessionEnded):
            manager.validate(session.token)
    assert cli.json("events", "verify")["holds"]


def test_nothing_is_restored_without_a_yes(cli: Cli) -> None:
    cli("db", "backup", "copy.db")
    assert "--yes" in cli("db", "restore", "copy.db", code=2).err


def test_a_copy_that_does_not_hold_is_refused(cli: Cli) -> None:
    cli.token("planner", "--subject", "user:ana")
    cli("db", "backup", "copy.db")
    before = DATABASE.read_bytes()
    copy = Path("copy.db")
    data = copy.read_bytes()
    for forged, said in (
        (data.replace(b'"subject":"user:ana"', b'"subject":"user:eve"'), "does not hold"),
        (data[: len(data) // 2], "the copy"),
        (b"nothing", "the copy"),
    ):
        copy.write_bytes(forged)
        assert said in cli("db", "restore", "copy.db", "--yes", code=6).err
        assert DATABASE.read_bytes() == before
    assert "cannot be read" in cli("db", "restore", "none.db", "--yes", code=6).err
    assert cli.id_of("planner")


def test_the_copy_of_another_database_is_refused(cli: Cli) -> None:
    cli("--url", "other/other.db", "init")
    cli("--url", "other/other.db", "db", "backup", "other.db")
    for more in ((), ("--keep-sessions",)):
        ran = cli("--url", str(DATABASE), "db", "restore", "other.db", "--yes", *more, code=6)
        assert "of another database" in ran.err


def test_a_copy_without_its_key_is_refused(cli: Cli) -> None:
    cli("db", "backup", "copy.db")
    Path(".clawguard/clawguard.db-kek").unlink()
    before = DATABASE.read_bytes()
    assert "is missing" in cli("db", "restore", "copy.db", "--yes", code=6).err
    assert DATABASE.read_bytes() == before


def test_a_lost_database_is_restored(cli: Cli) -> None:
    cli.token("planner")
    cli("db", "backup", "copy.db")
    DATABASE.unlink()
    told = cli.json("db", "restore", "copy.db", "--yes")
    assert (told["replaced"], told["lost"], told["ended"]) == (None, None, 1)
    assert cli.json("db", "check")["whole"]


def test_a_damaged_database_is_told_and_replaced(cli: Cli) -> None:
    with SessionManager.open(DATABASE, create=False) as manager:
        for _ in range(100):
            manager.create("agent", scopes="a")
    cli("db", "backup", "copy.db")
    data = bytearray(DATABASE.read_bytes())
    data[-2_000:] = bytes(2_000)
    DATABASE.write_bytes(data)
    told = cli.json("db", "check", code=7)
    assert (told["whole"], bool(told["faults"])) == (False, True)
    assert "damaged" in cli("db", "check", code=7).out
    assert cli.json("db", "restore", "copy.db", "--yes")["events"] == 100
    assert cli.json("db", "check")["whole"]


def test_a_backup_replaces_nothing(cli: Cli) -> None:
    Path("taken").write_text("somebody's", encoding="utf-8")
    assert "exists already" in cli("db", "backup", "taken", code=2).err
    assert Path("taken").read_text(encoding="utf-8") == "somebody's"


def test_nothing_is_taken_of_a_database_that_was_moved_nor_restored_over_it(cli: Cli) -> None:
    cli.token("planner")
    cli("db", "backup", "copy.db")
    cli("db", "copy", str(DATABASE), "elsewhere/new.db")
    for refused in (("db", "backup", "late.db"), ("db", "restore", "copy.db", "--yes")):
        assert "new.db" in cli(*refused, code=6).err
    DATABASE.rename("moved.db")
    assert cli.json("db", "restore", "copy.db", "--yes")["ended"] == 1


def test_a_backup_of_a_database_that_was_being_moved_notes_no_changes(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli.token("planner")
    with monkeypatch.context() as patch:
        patch.setattr("clawguard.sessions.moving._Copy._leave", broken_off)
        cli("db", "copy", str(DATABASE), "elsewhere/new.db", code=5)
    cli("db", "backup", "copy.db")
    cli("db", "restore", "copy.db", "--yes")
    assert "another copy" in cli("db", "copy", str(DATABASE), "elsewhere/new.db", code=6).err
    assert not cli.json("db", "copy", str(DATABASE), "elsewhere/new.db", "--abandon")["done"]


def broken_off(*_: object) -> None:
    raise StoreUnavailable("broken off")
