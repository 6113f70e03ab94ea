"""The commands on a PostgreSQL database: those that need no file work, the others say so."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from clawguard import SessionManager
from tests.cli.commands import Cli
from tests.openers import KEK, open_manager, raw
from tests.schemas import schema


@pytest.fixture
def url(empty: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with schema() as found:
        monkeypatch.setenv("CLAWGUARD_URL", found)
        monkeypatch.setenv("CLAWGUARD_KEK", base64.urlsafe_b64encode(KEK).decode().rstrip("="))
        yield found


def test_sessions_are_made_listed_and_ended(empty: Cli, url: str) -> None:
    open_manager(url).close()
    made = empty.json("create", "planner", "--scope", "docs:read")
    assert [each["id"] for each in empty.json("list")["sessions"]] == [made["session"]["id"]]
    assert empty.json("revoke", made["session"]["id"])["count"] == 1
    assert empty.json("events", "verify")["count"] == 2


def test_init_makes_a_database_there_and_the_settings_that_name_it(
    empty: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = empty.json("init", "--audience", "mail")
    assert (made["audience"], made["founded"], made["config"]) == ("mail", True, "clawguard.toml")
    assert "postgres@" not in made["url"], "what is printed names no user"
    assert empty.json("init")["founded"] is False
    monkeypatch.delenv("CLAWGUARD_URL")
    assert empty.json("create", "planner", "--scope", "docs:read")["session"]["audience"] == "mail"


def test_init_wants_the_key_encryption_key(empty: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLAWGUARD_KEK")
    assert "key-encryption key" in empty("init", code=6).err
    assert not (empty.folder / "clawguard.toml").exists()


def test_doctor_looks_at_what_there_is_on_a_server(
    empty: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {each["name"]: each for each in empty.json("doctor", code=7)["checks"]}
    assert found["server"]["level"] == "fault"
    assert "init" in found["server"]["mend"]
    empty("init")
    found = {each["name"]: each for each in empty.json("doctor")["checks"]}
    assert {"server", "opening", "clock", "signing key", "sweeper", "history index"} <= set(found)
    assert not {"sqlite", "file modes", "room"} & set(found)
    monkeypatch.delenv("CLAWGUARD_KEK")
    found = {each["name"]: each for each in empty.json("doctor", code=7)["checks"]}
    assert found["key-encryption key"]["level"] == "fault"
    nowhere = ("--url", "postgresql://127.0.0.1:1/none", "doctor")
    assert "reached" in next(
        each["says"] for each in empty.json(*nowhere, code=7)["checks"] if each["name"] == "server"
    )


def test_doctor_tells_of_events_that_nobody_links(empty: Cli, url: str) -> None:
    with SessionManager.open(url, kek=KEK) as manager, raw(url) as server:
        manager.create("planner", scopes="docs:read")
        assert _log_of(empty) == ("ok", "1 events wait")
        manager.create("planner", scopes="docs:read")
        server.execute("UPDATE unlinked_events SET at = at - 90000000")
        assert _log_of(empty) == ("warning", "1 events wait")
        assert _log_of(empty) == ("ok", "every event has")  # for to look at the log was to link it


def _log_of(cli: Cli) -> tuple[str, str]:
    found = next(each for each in cli.json("doctor")["checks"] if each["name"] == "log")
    return found["level"], " ".join(found["says"].split()[:3])


def test_a_database_moves_to_a_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAWGUARD_KEK_FILE", ".clawguard/clawguard.db-kek")
    token = cli.token("planner", "--scope", "docs:read")
    old = ".clawguard/clawguard.db"
    with schema() as new:
        plan = cli.json("db", "copy", old, new, "--dry-run")
        assert (plan["dry_run"], plan["moved"], plan["refusals"]) == (True, False, [])
        assert {each["name"]: each["rows"] for each in plan["tables"]}["sessions"] == 1
        assert "sessions" in cli("db", "copy", old, new, "--dry-run").out
        done = cli.json("db", "copy", old, new)
        assert done["moved"]
        assert "moved" in cli("list", code=6).err
        assert cli.json("--url", new, "inspect", stdin=token)["verdict"] == "active"
        assert "moved" in cli("db", "copy", old, "other.db", code=6).err
        refused = cli.json("db", "copy", old, "other.db", "--dry-run", code=7)
        assert refused["refusals"][0]["code"] == "store_moved"
        assert "database now" in cli("db", "copy", old, new).out


def test_a_copy_that_was_begun_can_be_given_up(cli: Cli) -> None:
    assert cli.json("db", "copy", ".clawguard/clawguard.db", "new.db", "--abandon") == {"done": False}


@pytest.mark.parametrize("command", [("db", "backup", "copy.db"), ("db", "check")])
def test_what_works_on_a_file_says_so(empty: Cli, url: str, command: tuple[str, ...]) -> None:
    answer = empty(*command, code=6)
    assert "PostgreSQL" in answer.err
    assert url not in answer.err
