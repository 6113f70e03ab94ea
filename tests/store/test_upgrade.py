"""Filled databases of earlier schemas: each opens, and says of everything in it what it said before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clawguard import PolicyDenied, SessionEnded, SessionManager, TokenSuperseded, Verifier
from clawguard.store.migrate import migrations_of
from tests.clocks import START, FakeClock
from tests.openers import open_manager, raw, rows

FILLED = sorted(Path(__file__).with_name("filled").glob("schema_*.sql"))
MINUTE = 60_000_000


@pytest.fixture(params=FILLED, ids=lambda each: each.stem)
def earlier(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Return a database of an earlier schema, and what was handed out from it."""
    path = tmp_path / "data" / "clawguard.db"
    path.parent.mkdir(mode=0o700)
    path.touch(mode=0o600)
    with raw(path) as database:
        database.executescript(request.param.read_text(encoding="utf-8"))
    return path, json.loads(request.param.with_suffix(".json").read_text(encoding="utf-8"))


def opened(path: Path) -> SessionManager:
    return open_manager(path, clock=FakeClock(START + MINUTE))


def test_everything_in_it_is_what_it_was(earlier: tuple[Path, dict[str, Any]]) -> None:
    path, held = earlier
    with opened(path) as manager:
        lead, child = (manager.validate(held[name]) for name in ("lead", "child"))
        assert (lead.agent_id, lead.subject, str(lead.scopes)) == (
            "planner",
            "user:ana",
            "docs:read docs:write",
        )
        assert [actor.agent_id for actor in child.actors] == ["planner"]
        assert manager.validate(held["old"]).agent_id == "old"  # of a key that was rotated
        assert manager.validate(held["family"]).agent_id == "family"
        with pytest.raises(SessionEnded, match="leaked"):
            manager.validate(held["gone"])
        assert manager.policy.roles.keys() == {"lead"}
        with pytest.raises(PolicyDenied):
            manager.create("rogue", scopes="docs:read")
        found = manager.sessions.find(key="k")
        assert found is not None
        assert (found.id, found.metadata, found.cnf) == (lead.session_id, {"a": 1}, None)


def test_what_is_done_with_it_goes_on(earlier: tuple[Path, dict[str, Any]]) -> None:
    path, held = earlier
    with opened(path) as manager:
        for _ in range(2):
            manager.validate(held["counted"])
        with pytest.raises(SessionEnded, match="uses"):
            manager.validate(held["counted"])
        renewed = manager.redeem(held["refresh_token"])
        with pytest.raises(TokenSuperseded):
            manager.validate(held["family"])
        with pytest.raises(SessionEnded, match="reuse"):
            manager.redeem(held["spent"])
        with pytest.raises(SessionEnded):
            manager.validate(renewed.token)
        manager.revoke(manager.validate(held["lead"]))
        with pytest.raises(SessionEnded, match="parent"):
            manager.validate(held["child"])


def test_its_log_goes_on_from_where_it_was(earlier: tuple[Path, dict[str, Any]]) -> None:
    path, held = earlier
    with opened(path) as manager:
        before = manager.events.verify()
        assert (before.count, before.head) == (held["events"], held["head"])
        manager.create("new", scopes="docs:read")
        assert manager.events.verify(manager.events.checkpoint()).count == held["events"] + 1
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert rows(path, "PRAGMA user_version") == [(len(migrations_of("sqlite")),)]


def test_its_conversations_are_what_they_were_and_go_on(earlier: tuple[Path, dict[str, Any]]) -> None:
    path, held = earlier
    said = held.get("said", [])  # schemas before 6 had none
    with opened(path) as manager:
        lead = manager.validate(held["lead"])
        assert [each.agent_id for each in manager.history.page().items] == ["planner"] * bool(said)
        assert [each.to_dict() for each in manager.history.load_with_timestamps(lead)] == said
        assert manager.history.count(lead) == len(said)
        assert manager.history.append(lead, {"role": "user", "content": "still here"}) == len(said) + 1
        assert manager.history.search("still")[0].session_id == lead.session_id
        assert [each.agent_id for each in manager.history.page().items] == ["planner"]


def test_a_verifier_may_be_the_first_to_open_it(earlier: tuple[Path, dict[str, Any]]) -> None:
    path, held = earlier
    with Verifier.open(path, clock=FakeClock(START + MINUTE)) as verifier:
        assert verifier.validate(held["lead"]).agent_id == "planner"
