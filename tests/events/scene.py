"""A scene in which every type of event happens for real, and every cause of an end."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from clawguard import ClawguardError, Event, IssuedSession, SessionManager
from clawguard.guard import ProofKey
from tests.clocks import FakeClock
from tests.openers import open_manager

POLICY: dict[str, Any] = {
    "rules": [
        {"name": "documents", "effect": "allow", "actions": "docs:*"},
        {"name": "no-mail", "effect": "deny", "actions": "mail:send", "reason": "a=b | c\\d"},
    ],
    "grants": [{"name": "search", "scopes": "web:search", "from_agent": "planner", "to_agent": "helper"}],
}
KINDS = 8  # of refusals that the recorder tells apart here: in life it is many more


class Scene:
    """One open manager on a clock of its own, and what the parts of the scene share."""

    def __init__(self, url: str) -> None:
        self.clock = FakeClock()
        self.manager: SessionManager = open_manager(
            url, clock=self.clock, refresh_grace=0, max_sessions_per_agent=2, at_limit="evict_oldest"
        )

        self.secrets: set[str] = set()

    def keep_secrets(self, made: IssuedSession) -> IssuedSession:
        """Note what of a session may stand in no event."""
        self.secrets |= {made.token, *made.token.split("."), made.jti, made.refresh_token or made.jti}
        return made

    def play(self) -> list[Event]:
        """Play all of it, and return the log."""
        with self.manager as manager:
            manager.on("session.purged", _fail)
            manager.on("session.purged", _fail, durable="broken", tries=1)
            parts = (
                self.issue,
                self.change,
                self.talk,
                self.refuse,
                self.end_each_way,
                self.switch,
                self.clean_up,
            )
            for part in parts:
                part()
                manager.prune_expired()
                manager._parts.recorder.flush()
            return self.archive()

    def issue(self) -> None:
        manager = self.manager
        self.keep_secrets(manager.create("plain", scopes="docs:read"))
        manager.create("bound", scopes="docs:read", cnf=ProofKey.generate().cnf)
        manager.create("reported", scopes="docs:read", cnf={"x5t#S256": "A" * 43})
        manager.reload_policy(POLICY | {"rules": []})
        self.planner = manager.create(
            "planner", scopes="docs:* mail:send", subject="user:ana", role="lead", task_type="t", max_uses=9
        )
        manager.delegate(self.planner, "helper", scopes="docs:read web:search", grant="search", max_uses=3)

    def change(self) -> None:
        manager, planner = self.manager, self.planner
        manager.reload_policy(POLICY)
        manager.refresh(planner)
        manager.activity.set_name(planner, "Größe = 1 | 2 \\ 3")
        token = self.keep_secrets(manager.refresh(planner)).token
        for source in ("192.0.2.1", "192.0.2.2 = elsewhere"):
            manager.validate(token, source=source)
            manager._parts.recorder.flush()

    def talk(self) -> None:
        """Hold a conversation, of which no word may stand in an event."""
        history = self.manager.history
        said = {"role": "user", "content": "a word in confidence"}
        self.secrets.add("in confidence")
        talker, listener = (self.manager.create(each, scopes="a") for each in ("talker", "listener"))
        history.append(talker, said)
        with TemporaryDirectory() as folder:
            history.export_jsonl(talker, Path(folder) / "talk.jsonl")
            history.import_jsonl(listener, Path(folder) / "talk.jsonl")
        history.clear(talker)
        history.delete(listener, actor="user:ana")
        history.encryption.enable(actor="user:ana")

    def refuse(self) -> None:
        manager = self.manager
        asker = manager.create("asker", scopes="docs:read mail:send")
        context = manager.validate(asker.token)
        for action in ("mail:send", "web:search"):
            manager.authorize(context, action)
        with suppress(ClawguardError):
            manager.validate(asker.token, require="docs:write")
        with patch("clawguard.sessions.recorder._MANY_KINDS", KINDS):
            for number in range(KINDS + 1):
                with suppress(ClawguardError):
                    manager.validate("no.such.token", source=f"host {number}")
        for limit in ("_KINDS_OF_ONE", "_MOST_DENIALS"):
            with patch(f"clawguard.sessions.recorder.{limit}", 0), suppress(ClawguardError):
                manager.validate(asker.token, require="docs:delete")
        with patch("clawguard.sessions.recorder._MANY_KINDS", 0):
            manager.on("session.updated", _fail)
            manager.activity.set_name(asker, "asks a lot")

    def end_each_way(self) -> None:
        manager = self.manager
        for agent_id in ("ttl", "limit", "limit", "limit"):
            manager.create(agent_id, scopes="docs:read", ttl=60)
        manager.create("idle", scopes="docs:read", idle_timeout=30)
        manager.validate(manager.create("uses", scopes="docs:read", max_uses=1).token)
        manager.end(manager.create("finished", scopes="docs:read"))
        manager.invalidate(manager.create("invalidated", scopes="docs:read"))
        manager.revoke(self.planner, reason="leaked", actor="user:ana")
        family = self.keep_secrets(manager.create("family", scopes="docs:read", refreshable=True))
        self.keep_secrets(manager.redeem(family.refresh_token or ""))
        with suppress(ClawguardError):
            manager.redeem(family.refresh_token or "")
        self.clock.advance(61)

    def switch(self) -> None:
        manager = self.manager
        manager.create("rogue", scopes="docs:read")
        manager.agents.disable("rogue", reason="sends mail")
        manager.agents.enable("rogue", actor="ana")
        manager.keys.rotate()
        manager.create("signed", scopes="docs:read")
        manager.keys.rotate(emergency=True)

    def clean_up(self) -> None:
        self.clock.advance(86_400)
        self.manager.prune_expired()
        self.clock.advance(86_400)
        self.manager.sessions.purge(3_600)
        while not self.manager.subscribers.parked("broken"):
            time.sleep(0.005)
        self.manager.subscribers.remove("broken")

    def archive(self) -> list[Event]:
        """Move the log into a file, and return all there was of it."""
        log = self.manager.events
        before = log.read(limit=1_000)
        self.clock.advance(1)
        with TemporaryDirectory() as folder:
            log.archive(self.clock.datetime, Path(folder) / "log = 1.ndjson")
        return [*before, *(each for each in log.read(after=log.archived) if each.seq > before[-1].seq)]


def _fail(event: Event) -> None:
    raise OSError(event.id)
