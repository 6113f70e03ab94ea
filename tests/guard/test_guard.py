"""The guard: what it signs for a session, and whom it signs and verifies for."""

from __future__ import annotations

import threading
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from clawguard.clock import SECOND, to_datetime
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard import Guard, KeyRing, Policy, RingKey, SigningKey, TokenFault, load_policy
from clawguard.models import Actor, Session
from clawguard.scopes import ScopeSet
from tests.guard.forge import AUDIENCE, ISSUER, JTI, NOW, PARENT, SESSION, ring_of, signer

AT = to_datetime(NOW * SECOND)


def session(**changes: Any) -> Session:
    row: dict[str, Any] = dict.fromkeys((each.name for each in fields(Session)), None)
    row |= {
        "id": SESSION,
        "version": 1,
        "generation": 3,
        "agent_id": "planner",
        "subject": "user:ana",
        "audience": AUDIENCE,
        "scopes": ScopeSet.of("docs:read"),
        "actors": (),
        "kid": signer().kid,
        "jti": JTI,
        "issued_at": AT,
        "token_expires_at": AT + timedelta(seconds=900),
    }
    return Session(**{**row, **changes})


def guard(**changes: Any) -> Guard:
    settings: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "audiences": {AUDIENCE, "mail"},
        "ring": ring_of(signer()),
    }
    return Guard(**{**settings, **changes})


def issue(keeper: Guard, row: Session) -> str:
    return keeper.issue(row, keeper.ring.require_signer())


def test_a_token_says_what_the_row_says() -> None:
    told = guard().verify(
        issue(guard(), session(actors=(Actor("lead", PARENT),))), audience=None, now=NOW * SECOND
    )
    assert (told.session_id, told.client_id, told.subject) == (SESSION, "planner", "user:ana")
    assert (told.issuer, told.audience, told.jti, told.kid) == (ISSUER, AUDIENCE, JTI, signer().kid)
    assert (told.generation, told.scopes) == (3, ScopeSet.of("docs:read"))
    assert told.actors == (Actor("lead", PARENT),)
    assert (told.issued_at, told.not_before, told.expires_at) == (NOW, NOW, NOW + 900)


@pytest.mark.parametrize(
    ("starts", "ends", "iat", "exp"),
    [(0, 900 * SECOND, 0, 900), (1, 900 * SECOND + 1, 0, 901), (999_999, 1_000_000, 0, 1), (5, 6, 0, 1)],
)
def test_exp_rounds_up_and_iat_and_nbf_down(starts: int, ends: int, iat: int, exp: int) -> None:
    row = session(
        issued_at=to_datetime(NOW * SECOND + starts), token_expires_at=to_datetime(NOW * SECOND + ends)
    )
    told = guard().verify(issue(guard(), row), audience=None, now=NOW * SECOND)
    assert (told.issued_at - NOW, told.not_before - NOW, told.expires_at - NOW) == (iat, iat, exp)


def test_another_key_than_the_rows_signs_nothing() -> None:
    with pytest.raises(ConfigError, match="another key"):
        issue(guard(ring=ring_of(SigningKey.generate())), session())


def test_public_keys_sign_nothing_but_verify() -> None:
    token = issue(guard(), session())
    reader = guard(ring=KeyRing(1, [RingKey(signer().verifying, "active")], None))
    assert reader.verify(token, audience=None, now=NOW * SECOND).session_id == SESSION
    with pytest.raises(ConfigError, match="no signing key"):
        issue(reader, session())


def test_attack_09_74_rotation_keeps_and_emergency_stops() -> None:
    keeper = guard()
    token = issue(keeper, session())
    successor = SigningKey.generate()
    keeper.replace(ring_of(successor, signer()), Policy.empty())
    assert keeper.ring.signer is successor
    assert keeper.verify(token, audience=None, now=NOW * SECOND).kid == signer().kid
    assert keeper.verify(issue(keeper, session(kid=successor.kid)), audience=None, now=NOW * SECOND).kid == (
        successor.kid
    )
    stopped = [RingKey(successor.verifying, "active"), RingKey(signer().verifying, "compromised")]
    keeper.replace(KeyRing(3, stopped, successor), Policy.empty())
    with pytest.raises(TokenFault, match="unknown_key"):
        keeper.verify(token, audience=None, now=NOW * SECOND)


def test_attack_55_an_audience_is_taken_only_when_it_is_asked_for() -> None:
    token = issue(guard(), session(audience="mail"))
    assert guard().verify(token, audience="mail", now=NOW * SECOND).audience == "mail"
    with pytest.raises(TokenFault, match="audience"):
        guard().verify(token, audience=None, now=NOW * SECOND)
    with pytest.raises(TokenFault, match="audience"):
        guard().verify(issue(guard(), session()), audience="mail", now=NOW * SECOND)


@pytest.mark.parametrize("audience", ["", "Mail", "mail ", "other", 7, ["mail"], b"mail"])
def test_an_audience_off_the_allow_list(audience: Any) -> None:
    with pytest.raises(InvalidArgument, match="audience") as caught:
        guard().check_audience(audience)
    assert caught.value.hint
    with pytest.raises(InvalidArgument):
        guard().verify("a.b.c", audience=audience, now=NOW * SECOND)


def test_audiences_and_issuer_as_given() -> None:
    assert guard().check_audience(None) == guard().audience == AUDIENCE
    assert guard().check_audience("mail") == "mail"
    assert guard().issuer == ISSUER


def test_a_leeway_is_taken_for_the_start_only() -> None:
    token = issue(guard(), session(issued_at=AT + timedelta(seconds=60)))
    told = guard(leeway=60 * SECOND).verify(token, audience=None, now=NOW * SECOND)
    assert told.not_before == NOW + 60
    with pytest.raises(TokenFault, match="not_yet_valid"):
        guard().verify(token, audience=None, now=NOW * SECOND)


def test_a_token_too_long_is_refused_with_the_argument() -> None:
    scopes = ScopeSet(f"{n:03d}{'a' * 28}" for n in range(250))
    with pytest.raises(InvalidArgument) as caught:
        issue(guard(), session(scopes=scopes))
    assert caught.value.argument == "scopes"


def test_no_thread_puts_older_rules_back() -> None:
    """A thread that loaded them before another stored newer ones is held up in the middle of its check."""
    old, new = KeyRing(2, [], None), KeyRing(3, [], None)
    keeper = guard()
    newer = load_policy({"roles": {"a": {}}})
    late = threading.Thread(target=lambda: keeper.replace(old, Policy.empty()))
    with keeper._lock:
        late.start()
        late.join(0.05)
        assert late.is_alive()
        keeper._policy, keeper._ring = newer, new
    late.join(30)
    assert (keeper.ring, keeper.policy) == (new, newer)


@pytest.mark.parametrize("leeway", [0, 60 * SECOND])
def test_the_leeway_may_be_none_and_a_minute(leeway: int) -> None:
    keeper = guard(leeway=leeway)
    token = issue(keeper, session())
    assert keeper.verify(token, audience=None, now=NOW * SECOND - leeway).session_id == SESSION
    with pytest.raises(TokenFault, match="not_yet_valid"):
        keeper.verify(token, audience=None, now=NOW * SECOND - leeway - 1)


def test_a_token_is_bound_as_its_row_is() -> None:
    cnf = {"jkt": signer().kid}
    assert guard().verify(issue(guard(), session(cnf=cnf)), audience=None, now=NOW * SECOND).cnf == cnf
