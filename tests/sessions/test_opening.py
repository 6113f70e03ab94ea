"""What cannot be opened, and in which words: the argument, what is wrong with it, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard import ConfigError, InvalidArgument, SessionManager, Verifier
from clawguard.errors import ClawguardError
from clawguard.sessions.moving import copy_database
from tests.clocks import FakeClock
from tests.openers import open_manager

WRONG: Any = 7


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda: SessionManager.open(WRONG), "InvalidArgument: url: must be a path or a URL"),
        (
            lambda: SessionManager.open(":memory:", audiences="mail"),
            "InvalidArgument: audiences: must be a list of names; write audiences=['mail']",
        ),
        (
            lambda: SessionManager.open(":memory:", create=WRONG),
            "InvalidArgument: create: must be True or False",
        ),
        (
            lambda: SessionManager.open(":memory:", max_staleness=0.1),
            "InvalidArgument: max_staleness: must be 0, or at least 0.25 seconds",
        ),
        (
            lambda: SessionManager.open(":memory:", max_sessions_per_agent=0),
            "InvalidArgument: max_sessions_per_agent: must be an integer of at least 1, or None",
        ),
        (
            lambda: SessionManager.open(":memory:", at_limit=WRONG),
            "InvalidArgument: at_limit: must be 'deny' or 'evict_oldest'",
        ),
        (
            lambda: SessionManager.open(":memory:", refresh_grace=61),
            "InvalidArgument: refresh_grace: must be 0 to 60 seconds",
        ),
        (
            lambda: SessionManager.open(":memory:", create=False),
            "ConfigError: ':memory:' is private to its manager; share a file, or the manager itself",
        ),
        (
            lambda: Verifier.open(":memory:"),
            "ConfigError: ':memory:' is private to its manager; share a file, or the manager itself",
        ),
        (
            lambda: Verifier.open("https://auth.example.com"),
            (
                "ConfigError: a server answers only whom it knows; give token=, the verifier's own with "
                "the scope clawguard:introspect, or a callable"
            ),
        ),
        (
            lambda: Verifier.open("http://auth.example.com", token="a"),
            (
                "InvalidArgument: url: must begin with https: tokens would be readable on their way; "
                "http is for 127.0.0.1 and [::1] only"
            ),
        ),
        (
            lambda: Verifier.open("https://", token="a"),
            "InvalidArgument: url: is not the URL of a server; write https://auth.example.com",
        ),
        (
            lambda: Verifier.open("/nonexistent/clawguard.db", token="a"),
            "InvalidArgument: token: goes with the URL of a server",
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_how_to_mend_it(asked: Callable[[], object], told: str) -> None:
    with pytest.raises((ClawguardError, TypeError, ValueError)) as refused:
        asked()
    assert f"{type(refused.value).__name__}: {refused.value}" == told


# what a database is founded with, and held to


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


def test_a_database_is_founded_with_the_names_it_is_given(path: Path) -> None:
    with open_manager(path, issuer="https://auth.example.com", audience="mail") as manager:
        assert (manager.issuer, manager.audience) == ("https://auth.example.com", "mail")
        made = manager.create("a", scopes="x")
    with open_manager(path, audiences=["docs"]) as again:
        assert (again.issuer, again.audience) == ("https://auth.example.com", "mail")
        assert again.validate(made.token).audience == "mail"
        assert again.create("a", scopes="x", audience="docs").audience == "docs"
    with Verifier.open(path, audience="docs", clock=FakeClock()) as verifier:
        assert (verifier.issuer, verifier.audience) == ("https://auth.example.com", "docs")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"issuer": "urn:other"},
            "the database belongs to another issuer; leave issuer= out, or name another path",
        ),
        (
            {"audience": "docs"},
            (
                "the database was founded for another audience; "
                "leave audience= out, and name further ones in audiences="
            ),
        ),
    ],
)
def test_a_database_of_another_issuer_or_audience_is_not_opened(
    path: Path, settings: dict[str, Any], told: str
) -> None:
    open_manager(path, audience="mail").close()
    with pytest.raises(ConfigError) as refused:
        open_manager(path, **settings)
    assert str(refused.value) == told


@pytest.mark.parametrize("argument", ["issuer", "audience"])
def test_a_name_that_will_not_do_founds_nothing(path: Path, argument: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        SessionManager.open(path, **{argument: "a\nb"})  # type: ignore[arg-type]
    assert refused.value.argument == argument
    with pytest.raises(ConfigError) as unfounded:
        Verifier.open(path)
    assert str(unfounded.value) == (
        "the database has not been founded; open it once with SessionManager.open()"
    )


def test_the_policy_in_force_holds_from_the_first_call_of_whoever_opens_next(path: Path) -> None:
    policy = {"roles": {"clerk": {"scopes": "docs:*"}}}
    with open_manager(path, policy=policy) as first:
        made, in_force = first.create("a", scopes="docs:read", role="clerk"), first.policy
    with open_manager(path) as manager:
        assert manager.policy == in_force
        with pytest.raises(InvalidArgument, match="role"):
            manager.create("a", scopes="docs:read", role="boss")
    with Verifier.open(path, clock=FakeClock()) as verifier:
        assert verifier.validate(made.token).role == "clerk"
        assert verifier._parts.guard.policy == in_force


def test_a_fault_in_a_policy_shows_before_anything_is_made(path: Path) -> None:
    with pytest.raises(ConfigError):
        open_manager(path, policy={"rules": "none"})
    assert not path.exists()


@pytest.mark.parametrize("name", ["encrypt_history", "create"])
def test_a_flag_that_is_none_is_named(path: Path, name: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        SessionManager.open(path, **{name: "yes"})  # type: ignore[arg-type]
    assert refused.value.argument == name


def test_by_default_the_environment_says_the_path_and_the_key_is_a_file_at_its_side(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLAWGUARD_URL", str(path))
    monkeypatch.delenv("CLAWGUARD_KEK", raising=False)
    with SessionManager.open(sweep_every=None) as manager:
        made = manager.create("a", scopes="x")
    key = path.with_name(f"{path.name}-kek")
    assert path.exists()
    assert key.stat().st_mode & 0o777 == 0o600
    with Verifier.open() as verifier:
        assert verifier.validate(made.token).session_id == made.id
    target = path.parent.parent / "other" / "clawguard.db"
    assert copy_database(path, target).moved
    key.rename(target.with_name(f"{target.name}-kek"))
    with SessionManager.open(target, sweep_every=None) as manager:
        assert manager.validate(made.token).session_id == made.id
