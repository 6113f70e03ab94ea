"""Every command that a server can answer says there what it says beside the database; the others say so."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import AccessDenied, InvalidArgument, SessionManager
from clawguard.cli.app import app
from clawguard.cli.remote import RemoteHost
from clawguard.errors import ClawguardError, KeyInUse, SessionNotFound
from tests.cli.commands import Cli, Ran
from tests.cli.test_serve import PATIENCE, wait_until_ready
from tests.server.hostile import Hostile, http
from tests.servers import free_port
from tests.webhooks import rough

UNKNOWN = "00000000-0000-7000-8000-000000000000"
MASKS = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00"), "INSTANT"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "TOKEN"),
    (re.compile(r"cgr1_[\w-]+"), "REFRESH"),
)


SPAN = re.compile(r"\d+[wdhms](?: \d+[wdhms])?|\d\.\ds")


class Place(NamedTuple):
    """Hold a database, the server that serves it, and what stands in it."""

    path: Path
    url: str
    admin: str
    weak: str
    foreign: str
    ids: dict[str, str]
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path = tmp_path_factory.mktemp("served") / "data" / "clawguard.db"
    with SessionManager.open(path, sweep_every=None) as manager:
        ids, tokens = _stock(manager)
        admin = manager.create("operator", scopes="*")
        weak = manager.create("operator", scopes="docs:read")
        foreign = manager.create("operator", scopes="*", workspace_id="acme")
    port = free_port()
    command = [sys.executable, "-m", "clawguard", "--url", str(path), "serve", "--port", str(port)]
    command += ["--admin-file", str(path.parent / "admin.token")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLAWGUARD_")}
    environment["PYTHONPATH"] = str(Path(__file__).resolve().parents[2])
    with (
        (path.parent / "server.log").open("wb") as logged,  # a pipe that nobody reads would stop it
        subprocess.Popen(
            command, cwd=path.parent, env=environment, stdout=logged, stderr=logged, text=True
        ) as server,
    ):
        try:
            wait_until_ready(f"http://127.0.0.1:{port}", server)
            url = f"http://127.0.0.1:{port}"
            yield Place(path, url, admin.token, weak.token, foreign.token, ids, tokens)
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=PATIENCE)


def _stock(manager: SessionManager) -> tuple[dict[str, str], dict[str, str]]:
    planner = manager.create(
        "planner", scopes="docs:* mail:send", subject="user:ana", role="r", metadata={"ticket": 17}, key="k"
    )
    reader = manager.delegate(planner, "reader", scopes="docs:read", ttl=600, max_uses=3)
    deep = manager.delegate(reader, "deep", scopes="docs:read", max_uses=1)
    ended = manager.create("ended", scopes="docs:read", idle_timeout=60)
    manager.revoke(ended, reason="laptop lost")
    superseded = manager.create("moved", scopes="docs:read")
    manager.refresh(superseded)
    foreign = manager.create("planner", scopes="docs:read", workspace_id="acme")
    for content in ("the invoice of May", "[{]; a ; hint", "and the ship"):
        manager.history.append(planner, {"role": "user", "content": content})
    manager.history.append(
        planner, {"role": "assistant", "content": [{"type": "text", "text": "the invoice"}]}
    )
    made = {"planner": planner, "reader": reader, "deep": deep, "ended": ended, "moved": superseded}
    made["foreign"] = foreign
    return {name: each.id for name, each in made.items()}, {name: each.token for name, each in made.items()}


class Both:
    """Type one command twice: beside the database, and at its server."""

    def __init__(self, cli: Cli, place: Place, patch: pytest.MonkeyPatch) -> None:
        self.cli = cli
        self.place = place
        self._patch = patch

    def beside(self, *arguments: str, stdin: str = "", code: int = 0) -> Ran:
        """Type it beside the database."""
        self._patch.delenv("CLAWGUARD_TOKEN", raising=False)
        return self.cli("--url", str(self.place.path), *arguments, stdin=stdin, code=code)

    def remote(self, *arguments: str, stdin: str = "", code: int = 0, token: str | None = None) -> Ran:
        """Type it at the server, as the admin or whoever the token is."""
        self._patch.setenv("CLAWGUARD_TOKEN", self.place.admin if token is None else token)
        return self.cli("--url", self.place.url, *arguments, stdin=stdin, code=code)


@pytest.fixture
def both(empty: Cli, place: Place, monkeypatch: pytest.MonkeyPatch) -> Both:
    return Both(empty, place, monkeypatch)


def masked(text: str) -> str:
    for pattern, name in MASKS:
        text = pattern.sub(name, text)
    return text


LOOKING = (
    "list --agent planner",
    "list --agent planner --all",
    "list --agent ended --ended",
    "list --agent planner --subject user:ana --role r --state idle",
    "list --parent {planner}",
    "list --agent nobody",
    "show {planner}",
    "show {ended}",
    "show {planner} --workspace default",
    "tree {planner}",
    "tree {deep} --root",
    "keys list",
    "keys jwks",
    "keys rotate --dry-run",
    "history tail {planner}",
    "history tail {planner} --limit 1",
    "history search invoice",
    "history search inv* --session {planner} --agent planner --since 1h",
    "history search nothing",
    "revoke {planner} --dry-run",
    "revoke --subject user:ana --dry-run",
    "revoke --agent planner --issued-before 10d --dry-run",
    "revoke --agent planner --role r --dry-run",
    "incident --session {planner}",
    "incident --session {ended}",
    "events tail --limit 3 --workspace default",
    "events tail --after 2 --limit 3 --workspace default",
    "events tail --limit 2 --session {ended}",
    "events tail --type session.created --type session.exp* --session {ended} --workspace default",
    "events export --after 2 --type session.expired --format ndjson",
)


@pytest.mark.parametrize("line", LOOKING)
def test_what_a_command_prints_is_the_same(both: Both, line: str) -> None:
    command = line.format(**both.place.ids).split()
    beside, remote = both.beside(*command, "--json"), both.remote(*command, "--json")
    assert beside.out
    assert remote.out == beside.out


FOR_PEOPLE = (
    "list --all --agent reader",
    "tree {planner}",
    "keys list",
    "history tail {planner}",
    "events tail --limit 3 --workspace default",
    "incident --session {planner} --timeline",
)


@pytest.mark.parametrize("line", FOR_PEOPLE)
def test_what_people_see_is_the_same(both: Both, line: str) -> None:
    command = line.format(**both.place.ids).split()
    assert SPAN.sub("SPAN", both.remote(*command).out) == SPAN.sub("SPAN", both.beside(*command).out)


@pytest.mark.parametrize("form", ["cloudevents", "ocsf", "cef"])
def test_events_are_exported_alike_in_every_format(both: Both, form: str) -> None:
    command = ("events", "export", "--type", "session.expired", "--format", form)
    assert both.remote(*command).out == both.beside(*command).out


@pytest.mark.parametrize("name", ["planner", "reader", "ended", "moved", "foreign", "none"])
def test_a_token_is_the_same_to_both(both: Both, name: str) -> None:
    token = both.place.tokens.get(name, "a.b.c")
    code = {"planner": 0, "reader": 0}.get(name, 3)
    remote = both.remote("inspect", "--json", stdin=token, code=code)
    if name == "foreign":  # a server knows the caller's workspace alone
        assert remote.json == {"verdict": "invalid", "session": None, "claims": None, "lineage": []}
        return
    assert remote.out == both.beside("inspect", "--json", stdin=token, code=code).out


WRONG = (
    (f"show {UNKNOWN}", 4),
    (f"tree {UNKNOWN}", 4),
    (f"refresh {UNKNOWN}", 4),
    (f"revoke {UNKNOWN}", 4),
    (f"history tail {UNKNOWN}", 4),
    ("refresh {ended}", 3),
    ("refresh {moved} --expected-generation 1", 3),
    ("create planner --scope a --key k", 3),
    ("create planner --scope NO", 2),
    ("create planner --scope a --ttl 11y", 2),
    ("delegate x --scope web:read --parent {reader}", 3),
    ("delegate x --scope docs:read --parent {ended}", 3),
    ("list --cursor abc", 2),
    ("list --limit 0", 2),
    ("list --state asleep", 2),
    ("history search invoice --limit 0", 2),
    ("events tail --type NO", 2),
)


@pytest.mark.parametrize(("line", "code"), WRONG)
def test_what_goes_wrong_has_the_same_code(both: Both, line: str, code: int) -> None:
    command = line.format(**both.place.ids).split()
    told = [
        json.loads(each(*command, "--json", code=code).err)["error"] for each in (both.beside, both.remote)
    ]
    assert told[1]["code"] == told[0]["code"]
    if code in (3, 4):
        assert told[1] == told[0]


def test_what_is_made_is_the_same_but_for_who_made_it(both: Both) -> None:
    """A session's whole life, typed twice."""

    def live(run: Callable[..., Ran]) -> list[Any]:
        told: list[Any] = []

        def note(*command: str, stdin: str = "") -> Any:
            told.append(json.loads(masked(run(*command, "--json", stdin=stdin).out)))
            return run("list", "--agent", command[1], "--ids").out.split()

        options = ["--subject", "user:bob", "--metadata", '{"a": [1, null]}', "--ttl", "15m", "--refreshable"]
        options += ["--idle-timeout", "5m", "--max-lifetime", "2h", "--name", "weekly"]
        options += ["--request-id", str(uuid.uuid4())]
        (host,) = note("create", "boss", "--scope", "docs:read clawguard:sessions:delegate", *options)
        run("create", "maker", "--scope", "docs:read clawguard:sessions:delegate", "--out", "maker.token")
        given = Path("maker.token").read_text(encoding="utf-8")
        note("delegate", "kid", "--scope", "docs:read", "--ttl", "60", stdin=given)
        note("delegate", "heir", "--scope", "docs:read", "--parent", host, "--max-uses", "2", "--no-delegate")
        told.append(json.loads(masked(run("refresh", host, "--ttl", "10m", "--json").out)))
        told.append(json.loads(masked(run("revoke", host, "--reason", "left", "--json").out)))
        told.append(json.loads(masked(run("revoke", host, "--json").out)))
        told.append(json.loads(masked(run("revoke", "--agent", "maker", "--yes", "--json").out)))
        told.append(json.loads(masked(run("show", host, "--json").out)) | {"ended_by": None})
        Path("maker.token").unlink()
        return told

    beside, remote = live(both.beside), live(both.remote)
    assert remote == beside
    assert [each["count"] for each in remote if "count" in each] == [2, 0, 2]


def test_a_leaked_token_is_dealt_with_from_afar(both: Both) -> None:
    token = both.beside("create", "leaky", "--scope", "docs:read", "--token-only").out.strip()
    told = both.remote("incident", "--revoke", "--json", stdin=token).json
    assert (told["verdict"], told["ended"]["count"]) == ("active", 1)
    assert both.beside("inspect", "--json", stdin=token, code=3).json["session"]["reason"] == "leaked"


def test_who_ends_itself_is_told_so(both: Both) -> None:
    own = both.beside("create", "brief", "--scope", "*", "--token-only").out.strip()
    session = both.beside("list", "--agent", "brief", "--ids").out.strip()
    ended = both.remote("revoke", session, "--json", token=own).json
    assert ended["count"] == 1
    assert ended["cause_id"] in both.beside("events", "tail", "--session", session, "--json").out
    refused = both.remote("list", "--json", token=own, code=3)
    assert json.loads(refused.err)["error"]["code"] == "invalid_token"


def test_whoever_may_revoke_is_told_what_ended_and_by_what_id(both: Both) -> None:
    """What the library reads in the log afterwards, the server tells with its answer."""
    parent = both.beside("create", "fated", "--scope", "docs:read", "--token-only").out.strip()
    both.beside("delegate", "fated-too", "--scope", "docs:read", stdin=parent)
    revoker = both.beside("create", "axe", "--scope", "clawguard:sessions:revoke", "--token-only").out.strip()
    session = both.beside("list", "--agent", "fated", "--ids").out.strip()
    told = both.remote("revoke", session, "--json", token=revoker).json
    assert told["count"] == 2
    log = both.beside("events", "tail", "--cause", told["cause_id"], "--json").out.splitlines()
    assert [json.loads(each)["agent_id"] for each in log] == ["fated", "fated-too"]


def test_keys_are_rotated_from_afar(both: Both) -> None:
    told = both.remote("keys", "rotate", "--json").json
    assert told["active"] in [each["kid"] for each in both.beside("keys", "list", "--json").json["keys"]]
    assert told["ended"] == 0


# Who calls.


def test_a_caller_is_held_to_its_scopes_and_its_workspace(both: Both) -> None:
    place = both.place
    for command in (("list",), ("show", place.ids["planner"]), ("create", "x", "--scope", "docs:read")):
        told = json.loads(both.remote(*command, "--json", token=place.weak, code=3).err)["error"]
        assert told["code"] == "insufficient_scope"
        assert "clawguard:sessions:" in told["message"]
    assert both.remote("show", place.ids["planner"], token=place.foreign, code=4)
    assert "own" in both.remote("list", "--workspace", "acme", code=2).err
    assert len(both.remote("list", "--json", token=place.foreign).json["sessions"]) == 2
    assert "--actor" in both.remote("revoke", place.ids["planner"], "--actor", "me", code=2).err


def test_the_token_comes_from_the_environment_or_a_private_file(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, cli, file = both.place.url, both.cli, Path("caller.token")
    assert "CLAWGUARD_TOKEN" in cli("--url", url, "list", code=6).err
    monkeypatch.setenv("CLAWGUARD_TOKEN_FILE", "caller.token")
    assert "there is no file" in cli("--url", url, "list", code=6).err
    file.write_text("nothing\n", encoding="utf-8")
    file.chmod(0o600)
    assert "there is no token" in cli("--url", url, "list", code=6).err
    file.write_text(f"{both.place.admin}\n", encoding="utf-8")
    assert cli("--url", url, "list", "--ids").out
    file.chmod(0o644)
    assert "others can reach it" in cli("--url", url, "list", code=6).err
    file.chmod(0o600)
    monkeypatch.delenv("CLAWGUARD_TOKEN_FILE")
    Path("clawguard.toml").write_text(f'url = "{url}"\ntoken_file = "caller.token"\n', encoding="utf-8")
    Path("clawguard.toml").chmod(0o600)
    assert cli("list", "--ids").out
    Path("clawguard.toml").write_text(f'url = "{url}"\ntoken = "x"\n', encoding="utf-8")
    assert "holds a token" in cli("list", code=6).err


@pytest.mark.parametrize("url", ["http://example.com", "http://localhost:1", "https://", "https://h/?q"])
def test_attack_the_callers_token_is_not_sent_in_the_clear(
    empty: Cli, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWGUARD_TOKEN", "eyJ.a.b")
    assert "url" in empty("--url", url, "list", code=2).err


def test_a_server_that_is_not_there_is_unavailable(both: Both) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    both.remote("keys", "list")  # sets the token
    assert "no valid answer" in both.cli("--url", url, "list", code=5).err
    assert "no valid answer" in both.cli("--url", url, "create", "x", "--scope", "a", code=5).err


# What goes wrong on the way.


def test_whether_it_was_done_is_told_where_nobody_knows(
    empty: Cli, monkeypatch: pytest.MonkeyPatch, place: Place
) -> None:
    """The server reads the request, and the line is cut: a create may have been made, a list was not."""
    server = Hostile()
    monkeypatch.setenv("CLAWGUARD_TOKEN", place.admin)
    with rough(server.talk) as at:
        told = empty("--url", at.url, "create", "x", "--scope", "a", "--json", code=8)
        assert json.loads(told.err)["error"]["code"] == "outcome_unknown"
        assert len(server.asked) == 1
        assert empty("--url", at.url, "list", code=5)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3),
    max_leaves=6,
)
TASTE = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def hostile(place: Place) -> Iterator[tuple[Hostile, RemoteHost]]:
    server = Hostile()
    with rough(server.talk) as at, closing(RemoteHost(at.url, place.admin, timeout=PATIENCE)) as host:
        yield server, host


ASKED: tuple[Callable[[RemoteHost], Any], ...] = (
    lambda host: host.create("x", scopes="a"),
    lambda host: host.inspect("x"),
    lambda host: host.revoke_where(everything=True),
    lambda host: host.sessions.page(),
    lambda host: host.sessions.tree("x"),
    lambda host: host.events.read(),
    lambda host: host.events.archived,
    lambda host: host.keys.list(),
    lambda host: host.history.tail("x", 1),
    lambda host: host.history.search("x"),
)


@TASTE
@given(value=VALUES | st.fixed_dictionaries({"items": st.lists(VALUES, max_size=2)}))
def test_attack_an_answer_of_any_kind_is_read_or_refused(
    hostile: tuple[Hostile, RemoteHost], value: Any
) -> None:
    server, host = hostile
    server.answer = lambda _: http(value)
    for ask in ASKED:
        with suppress(ClawguardError):
            ask(host)


@TASTE
@given(text=st.text(max_size=20))
def test_a_text_of_any_kind_is_found_or_refused(place: Place, text: str) -> None:
    """What the database would take or refuse, the server does, and never by a fault of its own."""
    with closing(RemoteHost(place.url, place.admin, timeout=PATIENCE)) as host:
        for ask in (
            lambda: host.sessions.get(text),
            lambda: host.sessions.page(agent_id=text),
            lambda: host.sessions.page(cursor=text),
            lambda: host.history.search(text),
            lambda: host.events.read(types=text),
            lambda: host.events.read(session_id=text),
            lambda: host.inspect(text),
            lambda: host.delegate(text, "x", scopes=""),
            lambda: host.create(text, scopes="a", key="k"),
        ):
            try:
                ask()
            except (AccessDenied, InvalidArgument, KeyInUse, SessionNotFound):
                continue


def test_what_comes_is_followed(place: Place) -> None:
    with (
        closing(RemoteHost(place.url, place.admin, timeout=PATIENCE)) as host,
        SessionManager.open(place.path, sweep_every=None) as manager,
    ):
        events = host.events.follow(after=host.events.last()[0], types="session.created")
        for number in range(2):
            made = manager.create(f"late-{number}", scopes="a")
            assert next(events).session_id == made.id


def test_a_tree_that_fills_several_pages_is_whole(place: Place) -> None:
    with (
        closing(RemoteHost(place.url, place.admin, timeout=PATIENCE)) as host,
        SessionManager.open(place.path, sweep_every=None) as manager,
    ):
        top = manager.create("wide", scopes="a")
        for _ in range(1_000):
            manager.delegate(top, "leaf", scopes="a")
        beside = manager.sessions.tree(top)
        assert [each.id for each in host.sessions.tree(top.id)] == [each.id for each in beside]
        manager.revoke(top)


def test_of_a_session_that_there_never_was_the_log_has_nothing(both: Both) -> None:
    for run in (both.beside, both.remote):
        assert run("events", "tail", "--session", UNKNOWN).out == ""


# What needs the database.

AT_A_SERVER = {
    "create", "inspect", "list", "show", "tree", "delegate", "refresh", "revoke", "incident",
    "events tail", "events export", "keys list", "keys rotate", "keys jwks", "history tail", "history search",
}  # fmt: skip
ALONE = {"demo", "bench", "db copy"}  # no database, or two that are named otherwise
NEEDED = {
    "events archive": ["--before", "1d", "--to", "f"],
    "events export": ["--durable", "siem"],
    "events replay": ["siem"],
    "events forget": ["siem", "--yes"],
    "history cleanup": ["--idle-for", "1d"],
    "history delete": [UNKNOWN, "--yes"],
    "history export": [UNKNOWN, "f"],
    "history import": [UNKNOWN, "f"],
    "history wrap-up": [UNKNOWN],
    "purge": ["--older-than", "1d"],
    "db backup": ["f"],
    "db restore": ["f", "--yes"],
}


def commands() -> Iterator[str]:
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        yield from [name] if below is None else (f"{name} {each}" for each in below)


def test_each_other_command_says_that_it_needs_the_database(both: Both) -> None:
    others = [*sorted({*commands()} - AT_A_SERVER - ALONE), "events export"]
    assert {*commands()} > AT_A_SERVER | ALONE
    for name in others:
        command = [*name.split(), *NEEDED.get(name, [])]
        told = json.loads(both.remote(*command, "--json", code=6).err)["error"]
        assert told["code"] == "config_error", name
        assert told["message"].startswith(f"{name} needs the database itself")
        assert "CLAWGUARD_URL" in told["hint"]
    assert list(both.cli.folder.iterdir()) == []
