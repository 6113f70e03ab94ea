"""Validate and inspect: what a token or context proves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clawguard import InsufficientScope, InvalidArgument, InvalidToken, SessionManager, TokenSuperseded
from tests.clocks import FakeClock
from tests.openers import open_manager
from tests.refusing import UNKNOWN, refused

# validate


def test_validate_says_what_the_row_says(manager: SessionManager) -> None:
    made = manager.create("a", scopes="docs:*", role="lead", task_type="plan", subject="user:ana")
    for _ in range(3):
        context = manager.validate(made.token)
        assert context == made.as_context()
        assert context.has_scope("docs:read")
        assert not context.has_scope("docs")


def test_validate_checks_the_scopes_it_is_asked_for(manager: SessionManager) -> None:
    token = manager.create("a", scopes="docs:read mail:*").token
    manager.validate(token, require="docs:read mail:send", any_of=["none", "mail:x"])
    with pytest.raises(InsufficientScope) as refusal:
        manager.validate(token, require="docs:read docs:write")
    assert (refusal.value.required, refusal.value.missing) == (("docs:read", "docs:write"), ("docs:write",))
    with pytest.raises(InsufficientScope):
        manager.validate(token, any_of="other else")
    with pytest.raises(InvalidArgument, match="require"):
        manager.validate(token, require="NO")


def test_validate_takes_a_token_for_the_asked_audience_only(manager: SessionManager) -> None:
    own = manager.create("a", scopes="x").token
    mail = manager.create("a", scopes="x", audience="mail").token
    for _ in range(2):
        assert manager.validate(own).audience == "clawguard"
        assert manager.validate(mail, audience="mail").audience == "mail"
        with pytest.raises(InvalidToken):
            manager.validate(mail)
        with pytest.raises(InvalidToken):
            manager.validate(own, audience="mail")
        with pytest.raises(InvalidArgument, match="audience"):
            manager.validate(own, audience="elsewhere")


def test_a_context_is_held_against_its_row_again(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    context = manager.validate(made.token)
    assert manager.validate(context) == context
    manager.refresh(made)
    with pytest.raises(TokenSuperseded):
        manager.validate(context)
    manager.revoke(made)
    assert refused(manager, context) == "revoked"


def test_a_forged_context_gains_nothing(manager: SessionManager) -> None:
    made = manager.create("a", scopes="docs:read")
    context = manager.validate(made.token)
    wide = replace(context, scopes=manager.create("b", scopes="*").scopes, agent_id="root", role="boss")
    seen = manager.validate(wide)
    assert (str(seen.scopes), seen.agent_id, seen.role) == ("docs:read", "a", None)
    for forged in (replace(context, session_id=UNKNOWN), replace(context, generation=2)):
        with pytest.raises(InvalidToken):
            manager.validate(forged)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "x" * 10_000, "\ud800", "a" * 43])
def test_what_is_no_token_is_refused_alike(manager: SessionManager, token: str) -> None:
    with pytest.raises(InvalidToken, match="the token is not valid"):
        manager.validate(token)
    assert manager.inspect(token).verdict == "invalid"


@pytest.mark.parametrize("token", [None, 5, b"a.b.c"])
def test_what_is_not_even_text_is_a_bad_argument(manager: SessionManager, token: Any) -> None:
    with pytest.raises(InvalidArgument):
        manager.validate(token)


def test_a_token_of_another_database_is_refused(manager: SessionManager) -> None:
    with open_manager() as other:
        foreign = other.create("a", scopes="*").token
    with pytest.raises(InvalidToken):
        manager.validate(foreign)


# inspect


def test_inspect_tells_what_a_token_is_and_never_raises(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("a", scopes="x", ttl=100)
    seen = manager.inspect(made.token)
    assert seen.verdict == "active"
    assert seen.session is not None
    assert seen.session.id == made.id
    assert seen.claims is not None
    assert (seen.claims["sid"], seen.claims["gen"]) == (made.id, 1)
    renewed = manager.refresh(made)
    assert manager.inspect(made.token).verdict == "superseded"
    clock.advance(100)
    assert manager.inspect(renewed.token).verdict == "ended"
    unsigned = renewed.token.rpartition(".")[0] + ".AAAA"
    assert manager.inspect(unsigned) == manager.inspect("rubbish")
    assert manager.inspect(unsigned).claims is None
