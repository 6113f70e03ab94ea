"""Every command does what its verb says, and prints the JSON that the reference tells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from clawguard import SessionManager
from clawguard.cli.shapes import PRINTS, Record
from tests.cli.commands import Cli
from tests.cli.reference import LEFT_OUT, RECORDS

# A command and its arguments; `{...}` is filled in from a prepared database.
SAID = {
    "init": "",
    "create": "new --scope docs:read --refreshable",
    "inspect": "",
    "list": "--all --limit 1",
    "show": "{session}",
    "tree": "{session} --root",
    "delegate": "child --scope docs:read --parent {session}",
    "refresh": "{session}",
    "revoke": "{session} --reason done",
    "incident": "--session {session} --revoke",
    "events tail": "",
    "events export": "--durable siem",
    "events verify": "",
    "events checkpoint": "",
    "events archive": "--before 0s --to log.ndjson",
    "events subscribers": "",
    "events replay": "siem",
    "events forget": "siem --yes",
    "keys list": "",
    "keys rotate": "",
    "keys jwks": "",
    "history list": "",
    "history tail": "{session}",
    "history search": "hello",
    "history wrap-up": "{session}",
    "history export": "{session} out.jsonl",
    "history import": "{session} in.jsonl",
    "history delete": "{session} --yes",
    "history cleanup": "--idle-for 30d --dry-run",
    "history compact": "",
    "history encrypt": "--yes",
    "sweep": "",
    "purge": "--older-than 30d",
    "doctor": "",
    "bench": "--for 0.3s",
    "db backup": "copy.db",
    "db restore": "before.db --yes",
    "db check": "",
    "db copy": ".clawguard/clawguard.db moved.db --dry-run",
}
NOT_HERE = {"serve", "demo"}  # one serves until it is stopped; the other has tests of its own


@pytest.fixture
def session(cli: Cli) -> str:
    """Prepare a session with a conversation, a file to import, a backup and a subscriber."""
    cli("create", "planner", "--scope", "docs:*", "--out", "planner.token")
    found = cli.id_of("planner")
    with SessionManager.open(".clawguard/clawguard.db", create=False) as manager:
        manager.history.append(found, {"role": "user", "content": "hello there"})
        manager.subscribers.cursor("siem", after=0)
    Path("in.jsonl").write_text('{"role": "user", "content": "from before"}\n', encoding="utf-8")
    cli("db", "backup", "before.db")
    return found


def records(annotation: Any) -> Record | None:
    """Return the record that a type holds, directly or in a list."""
    if get_origin(annotation) is Annotated:
        return next((each for each in get_args(annotation) if isinstance(each, Record)), None)
    return next((found for each in get_args(annotation) if (found := records(each))), None)


def check(shape: Any, document: Any) -> None:
    """Hold a document against its shape, and each record in it against the members it is to have."""
    if isinstance(shape, Record):
        wanted = {each.name for each in fields(RECORDS[shape.name])} - LEFT_OUT.get(shape.name, set())
        assert set(document) == wanted
        return
    assert issubclass(shape, BaseModel)
    shape.model_validate(document)
    assert set(document) == set(shape.model_fields)
    for name, field in shape.model_fields.items():
        record = next((each for each in field.metadata if isinstance(each, Record)), None)
        record = record or records(field.annotation)
        value = document[name]
        if record is not None and value is not None:
            for each in value if isinstance(value, list) else [value]:
                check(record, each)


def arguments_of(name: str, session: str) -> list[str]:
    return [*name.split(), *(part.replace("{session}", session) for part in SAID[name].split())]


@pytest.mark.parametrize("name", SAID)
def test_the_json_of_a_command_is_as_the_reference_tells(name: str, cli: Cli, session: str) -> None:
    stdin = Path("planner.token").read_text(encoding="utf-8")
    ran = cli(*arguments_of(name, session), "--json", stdin=stdin)
    shape = PRINTS[name]
    if name in ("events tail", "events export"):
        lines = ran.out.splitlines()
        assert lines
        for line in lines:
            check(Record("event"), json.loads(line))
    elif name == "keys jwks":
        assert {key["kty"] for key in ran.json["keys"]} == {"EC"}
        assert "d" not in ran.out.replace('"kid"', "").replace('"keys"', "").split('"')
    else:
        check(shape, ran.json)


@pytest.mark.parametrize("name", SAID)
def test_a_command_says_something_to_people(name: str, cli: Cli, session: str) -> None:
    stdin = Path("planner.token").read_text(encoding="utf-8")
    ran = cli(*arguments_of(name, session), stdin=stdin)
    assert ran.out.strip()
    assert all(line == line.rstrip() for line in ran.out.splitlines())
    assert "\x1b" not in ran.out


def test_every_command_is_tried_here() -> None:
    assert SAID.keys() | NOT_HERE == PRINTS.keys()


def test_the_demo_has_a_document_too(empty: Cli) -> None:
    check(PRINTS["demo"], empty.json("demo"))


def walked(cli: Cli, *arguments: str) -> Iterator[str]:
    cursor: list[str] = []
    while True:
        page = cli.json("list", *arguments, *cursor)
        yield from (each["agent_id"] for each in page["sessions"])
        if page["next_cursor"] is None:
            return
        cursor = ["--cursor", page["next_cursor"]]


def test_a_listing_is_walked_by_its_cursor(cli: Cli) -> None:
    for number in range(5):
        cli.token(f"agent-{number}")
    assert list(walked(cli, "--limit", "2")) == [f"agent-{number}" for number in range(5)][::-1]


def test_scopes_may_be_repeated_or_stand_in_one_text(cli: Cli) -> None:
    one = cli.json("create", "a", "--scope", "docs:read mail:send")["session"]["scopes"]
    two = cli.json("create", "b", "--scope", "docs:read", "-s", "mail:send")["session"]["scopes"]
    assert one == two == ["docs:read", "mail:send"]
    assert cli.json("create", "c")["session"]["scopes"] == []


def test_a_child_has_less_and_ends_with_its_parent(cli: Cli) -> None:
    token = cli.token("planner", "--scope", "docs:*")
    parent = cli.id_of("planner")
    assert "lacks mail:send" in cli("delegate", "m", "--scope", "mail:send", stdin=token, code=3).err
    child = cli.json("delegate", "reader", "--scope", "docs:read", stdin=token)["session"]
    assert child["parent_id"] == parent
    told = cli.json("revoke", parent, "--reason", "leaked")
    assert told["count"] == 2
    events = cli("events", "tail", "--cause", told["cause_id"], "--json").out.splitlines()
    assert [json.loads(each)["cause"] for each in events] == ["revoked", "parent"]
    assert cli.json("revoke", parent) == {"count": 0, "cause_id": None, "dry_run": False}


def test_a_dry_run_changes_nothing(cli: Cli) -> None:
    cli.token("planner", "--subject", "user:ana")
    one = cli.id_of("planner")
    for picked in ((one,), ("--subject", "user:ana"), ("--agent", "planner"), ("--everything",)):
        assert cli.json("revoke", *picked, "--dry-run")["count"] == 1
    assert cli.json("keys", "rotate", "--emergency", "--dry-run")["ended"] == 1
    assert cli.id_of("planner") == one
    assert cli.json("events", "verify")["count"] == 1


@pytest.mark.parametrize("picked", [("--everything",), ("--agent", "planner"), ("--issued-before", "0s")])
def test_a_mass_end_wants_a_yes_where_nobody_can_be_asked(picked: tuple[str, ...], cli: Cli) -> None:
    cli.token("planner")
    assert "--yes" in cli("revoke", *picked, code=2).err
    assert cli.id_of("planner")
    assert cli.json("revoke", *picked, "--yes")["count"] == 1


@pytest.mark.parametrize(
    "arguments", [(), ("x", "--agent", "a"), ("x", "--everything"), ("--agent", "a", "--everything")]
)
def test_what_to_revoke_is_said_in_one_way(arguments: tuple[str, ...], cli: Cli) -> None:
    assert "one of these" in cli("revoke", *arguments, "--yes", code=2).err


def test_a_workspace_keeps_what_is_its_own(cli: Cli) -> None:
    cli.token("planner", "--workspace", "acme")
    assert cli.json("list")["sessions"] == []
    found = cli.id_of("planner", "--workspace", "acme")
    assert cli("show", found, "--workspace", "globex", code=4).out == ""
    assert cli.json("revoke", "--agent", "planner", "--yes")["count"] == 0
    assert cli.json("revoke", found, "--workspace", "acme")["count"] == 1


def test_nothing_but_init_makes_a_database(empty: Cli) -> None:
    assert "clawguard init" in empty("create", "planner", code=6).err
    assert "clawguard init" in empty("list", code=6).err
    assert not list(empty.folder.iterdir())
    assert empty.json("init")["founded"] is True
    again = empty.json("init")
    assert (again["founded"], again["config"]) == (False, None)


def test_serving_says_what_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clawguard.cli.running.find_spec", lambda _: None)
    assert "pip install 'clawguard-sessions[server]'" in cli("serve", code=6).err
