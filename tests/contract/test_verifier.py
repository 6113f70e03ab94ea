"""The verifier: the manager's verdicts, from a process that holds public keys only."""

from __future__ import annotations

from pathlib import Path

import pytest

from clawguard import (
    ConfigError,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
    Verifier,
    current_session,
)
from tests.clocks import FakeClock
from tests.contract.conftest import on_a_file
from tests.openers import open_manager, raw


def test_a_verifier_answers_as_the_manager_does(database: str) -> None:
    clock = FakeClock()
    with open_manager(database, clock=clock) as manager, Verifier.open(database, clock=clock) as verifier:
        made = manager.create("a", scopes="x", ttl=100)
        for _ in range(2):
            assert verifier.validate(made.token, require="x") == manager.validate(made.token)
        assert verifier.inspect(made.token) == manager.inspect(made.token)
        with pytest.raises(InsufficientScope):
            verifier.validate(made.token, require="y")
        with verifier.use(made.token, require="x"):
            assert current_session().session_id == made.id
        renewed = manager.refresh(made)
        with pytest.raises(TokenSuperseded):
            verifier.validate(made.token)
        assert verifier.validate(renewed.token).generation == 2
        manager.revoke(made, reason="leaked")
        with pytest.raises(SessionEnded, match="leaked"):
            verifier.validate(renewed.token)
        with pytest.raises(InvalidToken):
            verifier.validate("rubbish")
        due = manager.create("a", scopes="x", ttl=10)
        verifier.validate(due.token)
        clock.advance(10)
        with pytest.raises(SessionEnded, match="ttl"):
            verifier.validate(due.token)


def test_a_verifier_follows_every_rotation(database: str) -> None:
    with open_manager(database) as manager, Verifier.open(database, clock=FakeClock()) as verifier:
        first = manager.create("a", scopes="x")
        verifier.validate(first.token)
        manager.keys.rotate()
        second = manager.create("a", scopes="x")
        verifier.validate(second.token)
        verifier.validate(first.token)
        manager.keys.rotate(emergency=True)
        third = manager.create("a", scopes="x")
        verifier.validate(third.token)
        verifier.validate(first.token)
        with pytest.raises(InvalidToken):
            verifier.validate(second.token)


@on_a_file
def test_a_verifier_needs_no_key_encryption_key(database: str) -> None:
    path = Path(database)
    with open_manager(path, kek=None) as manager:
        token = manager.create("a", scopes="x").token
        (path.parent / "clawguard.db-kek").unlink()
        with Verifier.open(path, clock=FakeClock()) as verifier:
            verifier.validate(token)


def test_a_verifier_reads_and_verifies_the_log(database: str) -> None:
    with open_manager(database) as manager, Verifier.open(database, clock=FakeClock()) as verifier:
        manager.create("a", scopes="x")
        assert verifier.events.read() == manager.events.read()
        assert verifier.events.verify() == manager.events.verify()


def test_what_a_verifier_denies_is_in_the_log_when_it_closes(database: str) -> None:
    with open_manager(database) as manager:
        token = manager.create("a", scopes="x").token
        with Verifier.open(database, clock=FakeClock()) as verifier, pytest.raises(InsufficientScope):
            verifier.validate(token, require="y")
        assert [each.reason for each in manager.events.read(types="guard.denied")] == ["insufficient_scope"]


def test_a_verifier_stands_for_its_own_audience(database: str) -> None:
    with open_manager(database, audiences={"mail"}) as manager:
        own = manager.create("a", scopes="x").token
        mail = manager.create("a", scopes="x", audience="mail").token
    with Verifier.open(database, audience="mail", clock=FakeClock()) as verifier:
        verifier.validate(mail)
        with pytest.raises(InvalidToken):
            verifier.validate(own)
        with pytest.raises(InvalidArgument):
            verifier.validate(own, audience="clawguard")


@on_a_file
def test_a_verifier_makes_no_database(database: str) -> None:
    path = Path(database)
    with pytest.raises(ConfigError, match="no database"):
        Verifier.open(path)
    assert not path.parent.exists()
    path.parent.mkdir()
    with pytest.raises(ConfigError, match="no database"):
        Verifier.open(path)
    assert list(path.parent.iterdir()) == []


def test_a_verifier_of_another_issuer_is_refused(database: str) -> None:
    with open_manager(database, issuer="urn:mine"):
        pass
    with pytest.raises(ConfigError, match="another issuer"):
        Verifier.open(database, issuer="urn:other")
    with Verifier.open(database, issuer="urn:mine") as verifier:
        verifier.close()


def test_an_empty_audience_is_no_audience(database: str) -> None:
    with open_manager(database) as manager:
        made = manager.create("a", scopes="x")
        with pytest.raises(InvalidArgument, match="audience"):
            manager.validate(made.token, audience="")


def test_an_empty_audience_is_none_for_a_remembered_token_either(database: str) -> None:
    with open_manager(database) as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token)
        with pytest.raises(InvalidArgument, match="audience"):
            manager.validate(made.token, audience="")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "\n",
        5,
    ],
)
def test_a_bad_source_never_changes_the_refusal_of_a_bad_token(database: str, source: str) -> None:
    with open_manager(database) as manager, pytest.raises((InvalidToken, InvalidArgument)):
        manager.validate("rubbish", source=source)


def test_a_context_of_a_key_that_another_process_gave_up_is_refused(database: str) -> None:
    """The other process stopped the key and died before it had ended what the key signed."""
    with open_manager(database) as manager:
        context = manager.validate(manager.create("a", scopes="x").token)
        with raw(database) as inside:
            inside.execute("UPDATE signing_keys SET state='compromised', ends_pending=1 WHERE state='active'")
            inside.execute("UPDATE signing_keys SET state='active' WHERE state='next'")
            inside.execute("UPDATE meta SET revision = revision + 1")
        with pytest.raises(SessionEnded, match="key"):
            manager.validate(context)


def test_a_key_that_fell_takes_remembered_tokens_with_it(database: str) -> None:
    """The ring may have been loaded anew for another call: what was remembered under the old one is void."""
    with open_manager(database) as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token)
        with raw(database) as inside:
            inside.execute("UPDATE signing_keys SET state='compromised' WHERE state='active'")
            inside.execute("UPDATE signing_keys SET state='active' WHERE state='next'")
            inside.execute("UPDATE meta SET revision = revision + 1")
        manager.create("b", scopes="x")
        with pytest.raises(InvalidToken):
            manager.validate(made.token)


def test_an_emergency_cut_short_is_finished_by_the_next_sweep(database: str) -> None:
    with open_manager(database) as manager:
        made = manager.create("a", scopes="x")
        with raw(database) as inside:
            inside.execute("UPDATE signing_keys SET state='compromised', ends_pending=1 WHERE state='active'")
            inside.execute("UPDATE signing_keys SET state='active' WHERE state='next'")
            inside.execute("UPDATE meta SET revision = revision + 1")
        with pytest.raises(SessionEnded, match="key"):
            manager.refresh(made)
        with pytest.raises(InvalidToken):
            manager.validate(made.token)
        manager.prune_expired()
        assert manager.get_session(made.id).cause == "key"
        manager.validate(manager.create("a", scopes="x").token)


def test_a_manager_is_a_context_manager_of_itself(database: str) -> None:
    manager: SessionManager = open_manager(database)
    with manager as same:
        assert same is manager
