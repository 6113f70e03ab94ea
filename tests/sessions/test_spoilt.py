"""A database that is not as it was written: it is said what is wrong with it, and nobody is let in by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from clawguard import SessionManager, StoreUnavailable
from clawguard.errors import ClawguardError, StoreUpgraded
from clawguard.guard import SigningKey
from tests.clocks import FakeClock
from tests.openers import open_manager, raw

POLICY = {"roles": {"clerk": {"scopes": "*"}}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


def told(call: Callable[[], object]) -> str:
    with pytest.raises(ClawguardError) as refused:
        call()
    return f"{type(refused.value).__name__}: {refused.value}"


def test_a_policy_that_is_gone_or_altered_is_none(path: Path) -> None:
    with open_manager(path, policy=POLICY) as manager:
        manager.create("a", scopes="x")
    altered = "UPDATE policies SET body = replace(body, 'clerk', 'boss')"
    for change in (altered, "DELETE FROM policies"):
        with raw(path) as database:
            database.execute(change)
        said = "StoreUnavailable: the policy in force cannot be read; restore a backup"
        assert told(lambda: open_manager(path)) == said


def test_a_line_with_an_ancestor_missing_gives_nothing(path: Path) -> None:
    with open_manager(path, policy=POLICY) as manager:
        top = manager.create("a", scopes="x")
        child = manager.delegate(manager.delegate(top, "b", scopes="x"), "c", scopes="x")
        with raw(path) as database:
            database.execute("PRAGMA foreign_keys = OFF")
            database.execute("DELETE FROM sessions WHERE id = ?", (top.id,))
        said = "StoreUnavailable: an ancestor of the session cannot be read; restore a backup"
        for call in (
            lambda: manager.validate(child.as_context()),
            lambda: manager.delegate(child, "d", scopes="x"),
        ):
            assert told(call) == said


def test_a_key_that_was_exchanged_for_another_signs_nothing(path: Path) -> None:
    open_manager(path).close()
    other = SigningKey.generate("EdDSA").verifying
    with raw(path) as database:
        database.execute("UPDATE log_keys SET public_jwk = ?", (json.dumps(other.jwk()),))
    with open_manager(path) as manager:
        assert told(manager.events.checkpoint) == (
            "ConfigError: the stored log key is not the one it is named for"
        )


def test_whoever_is_left_behind_by_a_newer_version_lets_nobody_in(path: Path) -> None:
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        with raw(path) as database:
            database.execute("UPDATE meta SET schema_version = schema_version + 1")
        with pytest.raises(StoreUpgraded) as refused:
            manager.validate(made.as_context())
        assert str(refused.value) == "a newer clawguard migrated the store; restart with that version"


def test_memory_is_not_trusted_beside_a_log_that_lost_its_end(path: Path) -> None:
    with SessionManager.open(path, clock=FakeClock(), sweep_every=None, max_staleness=3_600) as manager:
        for _ in range(3):
            manager.create("a", scopes="x")
        feed = manager._parts.feed
        assert feed is not None
        feed.follow()
        with raw(path) as database:
            database.execute("DELETE FROM events WHERE seq > 1")
        with pytest.raises(StoreUnavailable) as refused:
            feed.follow()
        assert str(refused.value) == "the log is shorter than it was; open the store again"
