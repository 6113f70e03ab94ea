"""A server that is somebody else's: whatever it says, no terminal obeys and no command goes on for ever."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from clawguard.cli.remote import RemoteHost
from clawguard.errors import ConfigError
from tests.cli.commands import Cli
from tests.openers import open_manager
from tests.server.hostile import Hostile, http
from tests.server.scene import Scene
from tests.webhooks import rough

EVIL = "\x1b]0;mine\x07\x1b[2J\x9b31m\r\b\u202e"
KEPT = (
    "scopes",
    "state",
    "role",
    "kind",
    "cause",
    "verdict",
    "algorithm",
    "token_issuer",
    "session_id",
    "root_id",
)
OBEYED = re.compile(r"[^\n -~\u00a1-\u00ac\u00ae-\u024f\u2013-\u2026\ufffd]")


class World:
    """Hold what an honest server answers, and a token."""

    def __init__(self, scene: Scene) -> None:
        lead = scene.manager.create("planner", scopes="docs:*", metadata={"a": "b"}, name="n", key="k")
        child = scene.manager.delegate(lead, "reader", scopes="docs:read")
        scene.manager.history.append(lead, {"role": "user", "content": "the invoice"})
        scene.manager.revoke(child, reason="left")
        self.id, self.token = lead.id, lead.token
        self.answers = {
            path: scene.get(path.format(id=lead.id)).json()
            for path in (
                "/v1/sessions",
                "/v1/sessions/{id}",
                "/v1/sessions/{id}/tree",
                "/v1/events",
                "/v1/keys",
                "/v1/sessions/{id}/history",
                "/v1/history/search?q=invoice",
            )
        }
        self.answers["/v1/inspect"] = scene.post("/v1/inspect", {"token": lead.token}).json()
        self.answers["/v1/sessions/revoke"] = {"count": 2, "cause_id": lead.id}
        self.answers["/v1/keys/rotate"] = {"count": 2, "cause_id": lead.id}
        self.answers["/v1/sessions/{id}/revoke"] = {"count": 2, "cause_id": lead.id}
        issued = self.answers["/v1/sessions/{id}"] | {"token": lead.token, "refresh_token": "cgr1_x"}
        self.answers["/v1/sessions/{id}/refresh"] = issued

    def told(self, path: str, query: str) -> Any:
        """Return what is answered at a path; of the log there is nothing further."""
        place = path.replace(self.id, "{id}")
        if place == "/v1/events" and "after=0" not in query:
            return {"items": [], "next_after": None}
        told = next(told for at, told in self.answers.items() if at.partition("?")[0] == place)
        limit = re.search(r"limit=(\d+)", query)
        return told | {"items": told["items"][: int(limit[1])]} if limit else told


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with open_manager() as manager:
        yield World(Scene(manager))


def spoiled(value: Any, kept: tuple[str, ...], name: str = "") -> Any:
    """Return an answer that has something for a terminal to obey in every text that may hold any."""
    if isinstance(value, dict):
        return {key: spoiled(each, kept, key) for key, each in value.items()}
    if isinstance(value, list):
        return value if name in kept else [spoiled(each, kept, name) for each in value]
    if not isinstance(value, str) or name in kept or is_instant(value):
        return value
    return value + EVIL


def is_instant(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


COMMANDS = (
    "list",
    "list --ids",
    "show {id}",
    "tree {id}",
    "inspect",
    "incident --session {id}",
    "incident --session {id} --revoke",
    "refresh {id}",
    "refresh {id} --token-only",
    "revoke {id}",
    "revoke --agent planner --yes",
    "events tail --after 0",
    "events export --after 0 --format cef",
    "events export --after 0",
    "keys list",
    "keys rotate",
    "history tail {id}",
    "history search invoice",
)


@pytest.mark.parametrize("line", COMMANDS)
def test_attack_nothing_that_a_server_says_moves_the_terminal(
    empty: Cli, world: World, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Hostile()

    def answer(_: dict[str, Any]) -> bytes:
        asked = urlsplit(server.asked[-1].path)
        return http(spoiled(world.told(asked.path, asked.query), kept))

    kept = (*KEPT, "id") if line.startswith(("incident", "inspect", "tree")) else KEPT  # asked for again
    server.answer = answer
    monkeypatch.setenv("CLAWGUARD_TOKEN", world.token)
    with rough(server.talk) as at:
        ran = empty("--url", at.url, *line.format(id=world.id).split(), stdin=world.token)
    assert re.search(r"\\x1b|\\u001b|\ufffd", ran.out), "nothing of it was printed, so nothing was tried"
    assert not OBEYED.findall(ran.out + ran.err)


def test_attack_nothing_that_a_server_refuses_with_moves_the_terminal(
    empty: Cli, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Hostile()
    problem = {"code": "config_error", "detail": f"no{EVIL} way; do{EVIL} this"}
    body = json.dumps(problem).encode()
    server.answer = lambda _: (
        b"HTTP/1.1 409 %b\r\nContent-Length: %d\r\n\r\n%b"
        % (
            b"Conflict",
            len(body),
            body,
        )
    )
    monkeypatch.setenv("CLAWGUARD_TOKEN", world.token)
    with rough(server.talk) as at:
        ran = empty("--url", at.url, "list", code=6)
    assert "way" in ran.err
    assert not OBEYED.findall(ran.out + ran.err)


# Answers that lead on and on.


def endless(world: World) -> dict[str, Callable[[RemoteHost], Any]]:
    return {
        "a line without a root": lambda host: host.sessions.lineage(world.id),
        "a log without an end": lambda host: host.events.last(),
        "a page again and again": lambda host: list(host.events.follow(timeout=0)),
    }


@pytest.mark.parametrize("kind", ["a line without a root", "a log without an end", "a page again and again"])
def test_attack_what_leads_on_without_end_is_left(world: World, kind: str) -> None:
    server = Hostile()
    session = world.answers["/v1/sessions/{id}"] | {"parent_id": world.id}
    event = world.answers["/v1/events"]["items"][0]

    def answer(_: dict[str, Any]) -> bytes:
        asked = urlsplit(server.asked[-1].path)
        if asked.path != "/v1/events":
            return http(session)
        after = int(re.findall(r"after=(\d+)", asked.query)[0])
        if kind == "a log without an end":
            return http({"items": [event | {"seq": after + 1}], "next_after": None})
        return http({"items": [event | {"seq": 5}] * 1_000, "next_after": 5})

    server.answer = answer
    with (
        rough(server.talk) as at,
        closing(RemoteHost(at.url, world.token, timeout=30)) as host,
        pytest.raises(ConfigError, match="something else"),
    ):
        endless(world)[kind](host)
    assert len(server.asked) < 200


def test_attack_a_tree_of_nothing_is_no_tree(
    empty: Cli, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Hostile()

    def answer(_: dict[str, Any]) -> bytes:
        is_tree = server.asked[-1].path.endswith("/tree")
        return http({"items": [], "next_cursor": None} if is_tree else world.answers["/v1/sessions/{id}"])

    server.answer = answer
    monkeypatch.setenv("CLAWGUARD_TOKEN", world.token)
    with rough(server.talk) as at:
        assert "something else" in empty("--url", at.url, "tree", world.id, code=6).err
