"""Refresh: the next token, and whom the verbs know by an id or a record."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from clawguard import InvalidArgument, SessionEnded, SessionManager, SessionNotFound, TokenSuperseded
from tests.clocks import FakeClock
from tests.refusing import UNKNOWN


def test_refresh_gives_the_next_token_and_keeps_the_rest(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("a", scopes="x y", role="r", ttl=100, metadata={"a": 1})
    clock.advance(50)
    renewed = manager.refresh(made)
    assert (renewed.id, renewed.generation, renewed.version) == (made.id, 2, 2)
    assert (renewed.scopes, renewed.role, renewed.metadata) == (made.scopes, "r", {"a": 1})
    assert renewed.expires_at == clock.datetime + timedelta(seconds=100)
    assert renewed.to_dict() == manager.get_session(made.id).to_dict()
    assert manager.validate(renewed.token).generation == 2


@pytest.mark.parametrize("form", ["id", "record", "context", "uuid"])
def test_verbs_take_an_id_or_a_record(manager: SessionManager, form: str) -> None:
    made = manager.create("a", scopes="x")
    forms: dict[str, Any] = {
        "id": made.id,
        "record": manager.get_session(made.id),
        "context": made.as_context(),
        "uuid": uuid.UUID(made.id),
    }
    session = forms[form]
    assert manager.refresh(session).generation == 2
    assert manager.get_session(session).id == made.id
    assert manager.revoke(session) is True


def test_verbs_refuse_a_token_in_the_place_of_an_id(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    verbs = (manager.refresh, manager.revoke, manager.end, manager.invalidate, manager.get_session)
    for verb in (*verbs, manager.sessions.tree, manager.sessions.lineage, manager.sessions.children):
        with pytest.raises(InvalidArgument, match="is a token") as refusal:
            verb(made.token)
        assert made.token not in str(refusal.value)
    manager.validate(made.token)


def test_verbs_do_not_know_an_unknown_id(manager: SessionManager) -> None:
    verbs = (manager.refresh, manager.revoke, manager.end, manager.invalidate, manager.get_session)
    for verb in (*verbs, manager.sessions.tree, manager.sessions.lineage, manager.sessions.children):
        with pytest.raises(SessionNotFound):
            verb(UNKNOWN)


def test_refresh_is_a_compare_and_set_where_asked(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    assert manager.refresh(made, expected_generation=1).generation == 2
    with pytest.raises(TokenSuperseded):
        manager.refresh(made, expected_generation=1)
    assert manager.get_session(made.id).generation == 2


def test_refresh_with_a_ttl_moves_the_end_by_it_within_the_absolute_end(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", ttl=100, max_lifetime=200)
    clock.advance(10)
    assert manager.refresh(made, ttl=120).expires_at == clock.datetime + timedelta(seconds=120)
    assert manager.refresh(made, ttl=1).expires_at == clock.datetime + timedelta(seconds=120)
    assert manager.refresh(made, ttl=10_000).expires_at == made.created_at + timedelta(seconds=200)


@pytest.mark.parametrize("given", [{"ttl": 0}, {"ttl": "1h"}, {"expected_generation": "1"}])
def test_refresh_names_the_bad_argument_and_changes_nothing(
    manager: SessionManager, given: dict[str, Any]
) -> None:
    made = manager.create("a", scopes="x")
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        manager.refresh(made, **given)
    assert manager.validate(made.token).generation == 1


def test_an_ended_session_is_not_refreshed(manager: SessionManager, clock: FakeClock) -> None:
    revoked = manager.create("a", scopes="x")
    manager.revoke(revoked, reason="leaked")
    with pytest.raises(SessionEnded, match="leaked"):
        manager.refresh(revoked)
    due = manager.create("a", scopes="x", ttl=10)
    clock.advance(10)
    with pytest.raises(SessionEnded, match="ttl"):
        manager.refresh(due)
    assert manager.get_session(due.id).cause == "ttl"
