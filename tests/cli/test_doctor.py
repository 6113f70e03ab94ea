"""`doctor` finds what is wrong, says how to mend it, and is content when that was done."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest

from clawguard import SessionManager
from clawguard.cli import health
from clawguard.clock import SECOND, SystemClock
from tests.cli.commands import Cli
from tests.clocks import FakeClock
from tests.openers import raw

DATABASE = Path(".clawguard/clawguard.db")
HOUR = 3_600 * SECOND


def levels(cli: Cli, *arguments: str, code: int = 0) -> dict[str, str]:
    return {each["name"]: each["level"] for each in cli.json("doctor", *arguments, code=code)["checks"]}


def test_a_new_database_is_well_but_for_its_key(cli: Cli) -> None:
    found = levels(cli)
    assert {name for name, level in found.items() if level != "ok"} == {"key-encryption key"}
    assert levels(cli, "--production", code=7) == found


def test_a_key_that_stands_apart_is_well(empty: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWGUARD_KEK", base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))
    empty("init")
    assert set(levels(empty, "--production").values()) == {"ok"}


@pytest.mark.parametrize("side", ["", "-kek", "-lock"])
def test_a_file_that_others_can_reach_is_a_fault_until_mended(side: str, cli: Cli) -> None:
    file = DATABASE.with_name(DATABASE.name + side)
    file.chmod(0o644)
    (found,) = [each for each in cli.json("doctor", code=7)["checks"] if each["name"] == "file modes"]
    assert found["level"] == "fault"
    assert found["mend"] == f"chmod 600 {file}"
    assert os.system(found["mend"]) == 0
    assert levels(cli)["file modes"] == "ok"


def test_ends_that_nobody_records_are_told_until_mended(cli: Cli) -> None:
    clock = FakeClock(at=SystemClock().now() - HOUR)
    with SessionManager.open(DATABASE, clock=clock, sweep_every=None) as manager:
        manager.create("agent", scopes="a", ttl=60)
    assert levels(cli)["sweeper"] == "warning"
    cli("sweep")
    assert levels(cli)["sweeper"] == "ok"


def test_a_clock_below_the_log_is_a_fault(cli: Cli) -> None:
    clock = FakeClock(at=SystemClock().now() + HOUR)
    with SessionManager.open(DATABASE, clock=clock, sweep_every=None) as manager:
        manager.create("agent", scopes="a")
    assert levels(cli, code=7)["clock"] == "fault"


def test_an_old_key_is_told_until_rotated(empty: Cli) -> None:
    clock = FakeClock(at=SystemClock().now() - 91 * 24 * HOUR)
    SessionManager.open(DATABASE, clock=clock, sweep_every=None).close()
    assert levels(empty)["signing key"] == "warning"
    empty("keys", "rotate")
    assert levels(empty)["signing key"] == "ok"


def test_a_subscriber_that_parked_or_fell_behind_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_FAR_BEHIND", 1)
    with SessionManager.open(DATABASE) as manager:
        for _ in range(3):
            manager.create("agent", scopes="a")
        manager.subscribers.cursor("slow", after=0)
    assert levels(cli)["subscriber slow"] == "warning"
    cli("events", "export", "--durable", "slow")
    assert levels(cli)["subscriber slow"] == "ok"


def test_an_index_that_lacks_entries_is_a_fault_until_mended(cli: Cli) -> None:
    with SessionManager.open(DATABASE) as manager:
        session = manager.create("agent", scopes="a")
        manager.history.append(session, {"role": "user", "content": "hello"})
        assert manager.history.search("hello")
    with raw(DATABASE) as connection:
        connection.execute("DELETE FROM entry_words")
    assert levels(cli, code=7)["history index"] == "fault"
    cli("history", "compact")
    assert levels(cli)["history index"] == "ok"


def test_encrypted_conversations_need_no_index(cli: Cli) -> None:
    with SessionManager.open(DATABASE) as manager:
        session = manager.create("agent", scopes="a")
        manager.history.append(session, {"role": "user", "content": "hello"})
    assert "--yes" in cli("history", "encrypt", code=2).err
    assert cli.json("history", "encrypt", "--status") == {"count": 0, "key": None, "remaining": 0}
    assert cli.json("history", "encrypt", "--yes") == {"count": 1, "key": 1, "remaining": 0}
    assert cli.json("history", "encrypt", "--rotate") == {"count": 1, "key": 2, "remaining": 0}
    assert levels(cli)["history index"] == "ok"
    assert "encrypted" in cli("history", "search", "hello", code=6).err
    assert "hello" in cli("history", "tail", session.id).out


def test_a_full_disk_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_LITTLE_ROOM", 2**62)
    assert levels(cli)["room"] == "warning"


def test_a_key_that_is_not_the_one_is_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWGUARD_KEK", base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("="))
    told = cli.json("doctor", code=7)
    assert told["fingerprint"] is None
    assert [each["name"] for each in told["checks"] if each["level"] == "fault"] == ["opening"]


def test_an_older_copy_in_its_place_is_a_fault(cli: Cli) -> None:
    before = DATABASE.read_bytes()
    cli.token("planner")
    cli("revoke", cli.id_of("planner"))
    DATABASE.write_bytes(before)
    opening = next(each for each in cli.json("doctor", code=7)["checks"] if each["name"] == "opening")
    assert "older copy" in opening["says"]
    assert opening["mend"]


def test_the_fingerprint_tells_configurations_apart(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    one = cli.json("doctor")["fingerprint"]
    assert cli.json("doctor")["fingerprint"] == one
    monkeypatch.setenv("CLAWGUARD_REFRESH_IDLE", "2h")
    assert cli.json("doctor")["fingerprint"] != one
