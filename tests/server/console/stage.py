"""A workspace with something of everything in it, for the pictures and for what holds on every page."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from clawguard import InsufficientScope, IssuedSession, SessionManager
from tests.clocks import FakeClock
from tests.openers import KEK

__all__ = ["PAGES", "fill", "live_through"]

PAGES = {
    "sessions": "/sessions?live=true",
    "session": "/sessions/{lead}",
    "agents": "/agents",
    "events": "/events",
    "charts": "/charts",
    "keys": "/keys",
    "revoke": "/revoke?agent_id=support-bot",
    "nothing": "/sessions?live=true&agent_id=nobody",
    "problem": "/sessions/00000000-0000-7000-8000-000000000000",
}
"""Every page of the console, by its name; `{lead}` is the session at the head of the delegation."""

_ASKED = "Write the weekly report, please, and send it to the team."
_SAID = "I will have the documents summarized, write the report, and ask before anything is sent."


def live_through(database: Path, *, minutes: int = 56) -> None:
    """Write the last hour of a busy workspace into a new database, so that there is something to draw."""
    clock = FakeClock(time.time_ns() // 1_000 - minutes * 60_000_000)
    with SessionManager.open(database, kek=KEK, clock=clock, sweep_every=None) as manager:
        living: list[IssuedSession] = []
        for minute in range(minutes - 1):
            for _ in range(2 + (minute * 7) % 5 + minute // 12):
                living.append(manager.create("support-bot", scopes="tickets:read", ttl=900))
            for ended in [living.pop(0) for _ in range(min(len(living), (minute * 5) % 4))]:
                manager.revoke(ended, reason="done")
            if minute % 9 == 4:
                with contextlib.suppress(InsufficientScope):
                    manager.validate(living[-1].token, require="tickets:delete")
            clock.advance(60)
            manager.prune_expired()


def fill(manager: SessionManager) -> IssuedSession:
    """Bring agents to life in a database, and return the session at the head of a delegation."""
    lead = manager.create(
        "planner",
        subject="user:ana",
        scopes="calendar:* docs:read docs:write mail:send tools:search",
        name="weekly report",
        metadata={"ticket": 17, "model": "large"},
        channel_id="chat:ops",
    )
    reader = manager.delegate(lead, "summarizer", scopes="docs:read", ttl=600)
    writer = manager.delegate(lead, "writer", scopes="docs:read docs:write", ttl=1_500)
    manager.delegate(writer, "fact-checker", scopes="docs:read", ttl=600)
    translator = manager.delegate(writer, "translator", scopes="docs:read", ttl=600)
    manager.revoke(translator, reason="no longer needed")
    for name in ("ben", "carla", "dmitri", "elif"):
        manager.create("support-bot", subject=f"user:{name}", scopes="tickets:read tickets:reply", ttl=1_800)
    manager.create(
        "nightly-reconciliation-of-all-accounts-and-ledgers",
        subject="service:accounting-and-controlling",
        scopes="ledger:*",
        ttl=28_800,
    )
    crawler = manager.create("crawler", scopes="web:fetch", ttl=900)
    manager.revoke(crawler, reason="laptop lost")
    manager.agents.disable("crawler", reason="fetched what it must not", actor="user:ana")
    with contextlib.suppress(InsufficientScope):
        manager.validate(reader.token, require="docs:write", source="10.0.0.7")
    for role, said in (("user", _ASKED), ("assistant", _SAID), ("tool", '{"documents": 12}')):
        manager.history.append(lead, {"role": role, "content": said})
    manager.keys.rotate()
    return lead
