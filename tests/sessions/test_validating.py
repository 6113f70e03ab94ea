"""A token seen here for the first time, or whose row moves while it waits, is answered like any other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clawguard import Event, InsufficientScope, InvalidToken, SessionEnded, SessionManager
from clawguard.errors import ClockError
from clawguard.events.log import CLOCK_TOLERANCE
from clawguard.guard import DPoPProof, ProofKey
from clawguard.sessions import proofs, validating
from clawguard.sessions.change import RevisionMoved
from tests.clocks import FakeClock
from tests.openers import open_manager

URL = "https://api.example.com/docs"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clawguard.db"


@pytest.fixture
def manager(path: Path, clock: FakeClock) -> Iterator[SessionManager]:
    with open_manager(path, clock=clock, audiences=["mail"]) as opened:
        yield opened


@pytest.fixture
def elsewhere(path: Path, manager: SessionManager, clock: FakeClock) -> Iterator[SessionManager]:
    """Return the manager of another process, which has seen no token yet."""
    with open_manager(path, clock=clock, audiences=["mail"]) as opened:
        yield opened


def told(manager: SessionManager, event_type: str) -> list[Event]:
    manager.prune_expired()
    return list(manager.events.read(types=event_type))


def test_where_a_token_comes_from_the_first_time_is_noted(
    manager: SessionManager, elsewhere: SessionManager
) -> None:
    made = manager.create("a", scopes="x")
    elsewhere.validate(made.token, source="192.0.2.1")
    elsewhere.prune_expired()
    assert manager.get_session(made).last_source == "192.0.2.1"


def test_a_genuine_token_that_comes_too_late_is_a_denial_of_its_session(
    manager: SessionManager, elsewhere: SessionManager
) -> None:
    made = manager.create("a", scopes="x", subject="user:ana", workspace_id="acme")
    manager.revoke(made)
    with pytest.raises(SessionEnded):
        elsewhere.validate(made.token)
    (denied,) = told(elsewhere, "guard.denied")
    assert (denied.session_id, denied.agent_id, denied.subject) == (made.id, "a", "user:ana")
    assert (denied.workspace_id, denied.reason) == ("acme", "ended: revoked")
    assert denied.data["action"] == "validate"


def test_a_key_that_another_process_has_just_made_is_looked_up_once(
    manager: SessionManager, elsewhere: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        manager.keys.rotate()
    made = manager.create("a", scopes="x")
    assert elsewhere.validate(made.token).session_id == made.id
    reloads: list[None] = []
    monkeypatch.setattr(type(elsewhere._parts.keychain), "reload", lambda _: reloads.append(None))
    for text in (made.token[:-4] + "AAAA", "a.b.c", "none"):
        with pytest.raises(InvalidToken):
            elsewhere.validate(text)
    assert reloads == []


def test_what_moves_while_it_waits_is_asked_again_with_all_that_was_given(
    manager: SessionManager, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = ProofKey.generate(clock=clock)
    made = manager.create("a", scopes="x y", audience="mail", max_uses=3, cnf=key.cnf)
    tries: list[Any] = []
    plain: Callable[..., None] = proofs.take

    def take(*given: Any) -> None:
        tries.append(given[2])
        if len(tries) == 1:
            raise RevisionMoved
        plain(*given)

    monkeypatch.setattr(validating, "take", take)
    proof = DPoPProof(key.proof(method="GET", url=URL, token=made.token), method="GET", url=URL)
    asked: dict[str, Any] = {"require": "x", "any_of": "y z", "audience": "mail", "source": "192.0.2.7"}
    assert manager.validate(made.token, proof=proof, **asked).audience == "mail"
    assert len(tries) == 2
    assert tries[0] == tries[1]
    assert manager.get_session(made).uses_left == 2
    manager.prune_expired()
    assert manager.get_session(made).last_source == "192.0.2.7"


@pytest.mark.parametrize("lacking", [{"require": "z"}, {"any_of": "v w"}])
def test_what_is_lacking_after_it_moved_is_lacking(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch, lacking: dict[str, str]
) -> None:
    """Whatever it was asked for is asked for again, though the first look found it."""
    made = manager.create("a", scopes="x y", max_uses=3)
    looks: list[Any] = []

    def check(context: Any, **asked: Any) -> None:
        looks.append(asked)
        if len(looks) > 1:
            raise InsufficientScope("a", ("z",), ("z",))

    def take(*_: Any) -> None:
        raise RevisionMoved

    monkeypatch.setattr(validating, "check_scopes", check)
    monkeypatch.setattr(validating, "take", take)
    with pytest.raises(InsufficientScope):
        manager.validate(made.token, **lacking)  # type: ignore[arg-type]
    assert looks[0] == looks[1]
    assert manager.get_session(made).uses_left == 3


def test_a_token_without_its_proof_is_a_denial_of_its_validation(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", cnf=ProofKey.generate(clock=clock).cnf)
    with pytest.raises(InvalidToken):
        manager.validate(made.token)
    (denied,) = told(manager, "guard.denied")
    assert (denied.session_id, denied.data["action"]) == (made.id, "validate")


@pytest.mark.parametrize(("length", "reason"), [(8_192, "segments"), (8_193, "too_long")])
def test_a_token_may_have_so_many_characters_and_no_more(
    manager: SessionManager, length: int, reason: str
) -> None:
    with pytest.raises(InvalidToken):
        manager.validate("a" * length)
    (rejected,) = told(manager, "token.rejected")
    assert rejected.reason == reason


def test_a_clock_that_was_set_back_decides_nothing(manager: SessionManager, clock: FakeClock) -> None:
    made = manager.create("a", scopes="x")
    clock.at -= CLOCK_TOLERANCE
    manager.validate(made.token)
    clock.at -= 1
    with pytest.raises(ClockError) as refused:
        manager.validate(made.token)
    assert str(refused.value) == "the clock was set back; set the clock right"
