"""Keys: published, rotated with an overlap, stopped at once, pruned."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from clawguard import InvalidArgument, InvalidToken, SessionEnded, SessionManager, StoreBusy
from clawguard.models import Ended
from tests.clocks import FakeClock
from tests.openers import open_manager


def states(manager: SessionManager) -> list[str]:
    return sorted(key.state for key in manager.keys.list())


def kids(manager: SessionManager) -> set[str]:
    return {each["kid"] for each in manager.keys.jwks()["keys"]}


def test_rotation_keeps_old_tokens_valid_until_they_end(manager: SessionManager, clock: FakeClock) -> None:
    old = manager.create("a", scopes="x", ttl=100)
    following = next(key for key in manager.keys.list() if key.state == "next")
    assert manager.keys.rotate().count == 0
    now_active = manager.keys.active()
    assert now_active.kid == following.kid
    new = manager.create("a", scopes="x", ttl=1_000)
    assert new.kid == now_active.kid != old.kid
    manager.validate(old.token)
    manager.validate(new.token)
    assert states(manager) == ["active", "next", "retiring"]
    clock.advance(99)
    manager.prune_expired()
    manager.validate(old.token)
    clock.advance(1)
    with pytest.raises(SessionEnded, match="ttl"):
        manager.validate(old.token)
    manager.prune_expired()
    assert states(manager) == ["active", "next", "retired"]
    assert old.kid not in kids(manager)
    manager.validate(new.token)


def test_a_session_refreshed_after_a_rotation_outlives_the_old_key(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = manager.create("a", scopes="x", ttl=100)
    manager.keys.rotate()
    renewed = manager.refresh(made, ttl=500)
    clock.advance(200)
    manager.prune_expired()
    manager.validate(renewed.token)


def test_an_emergency_stops_the_key_at_once_and_ends_what_it_signed(manager: SessionManager) -> None:
    signed = manager.create("a", scopes="x")
    child = manager.delegate(signed, "b", scopes="x")
    context = manager.validate(signed.token)
    following = next(key for key in manager.keys.list() if key.state == "next")
    assert manager.keys.rotate(emergency=True, dry_run=True) == Ended(2, None)
    manager.validate(child.token)
    ended = manager.keys.rotate(emergency=True)
    assert ended.count == 2
    told = manager.events.read(cause_id=ended.cause_id)
    assert [each.type for each in told] == ["key.rotated", "session.expired", "session.expired"]
    fresh = manager.keys.active()
    assert fresh.kid not in {signed.kid, following.kid}
    for token in (signed.token, child.token):
        with pytest.raises(InvalidToken):
            manager.validate(token)
    with pytest.raises(SessionEnded, match="key"):
        manager.validate(context)
    assert [manager.get_session(each).cause for each in (signed, child)] in (
        ["key", "key"],
        ["key", "parent"],
    )
    assert len(manager.events.read(types="session.expired")) == 2
    assert kids(manager).isdisjoint({signed.kid, following.kid})
    manager.validate(manager.create("a", scopes="x").token)
    assert states(manager) == ["active", "compromised", "compromised", "next"]


def test_an_emergency_spares_what_another_key_signed(manager: SessionManager) -> None:
    before = manager.create("a", scopes="x")
    manager.keys.rotate()
    after = manager.create("a", scopes="x")
    manager.keys.rotate(emergency=True)
    manager.validate(before.token)
    assert manager.get_session(after.id).cause == "key"


def test_rotations_are_events(manager: SessionManager) -> None:
    first = next(key for key in manager.keys.list() if key.state == "active")
    assert manager.keys.rotate(dry_run=True) == Ended(0, None)
    manager.keys.rotate()
    second = manager.keys.active()
    manager.keys.rotate(emergency=True)
    third = manager.keys.active()
    told = manager.events.read(types="key.rotated")
    assert [each.data for each in told] == [
        {"kid": second.kid, "previous": first.kid},
        {"kid": third.kid, "previous": second.kid},
    ]
    assert [each.cause for each in told] == [None, "key"]
    assert [each.actor for each in told] == ["host", "host"]


def test_who_rotated_stands_in_the_event_and_in_the_ends_that_follow(manager: SessionManager) -> None:
    session = manager.create("a", scopes="x")
    with manager.use(session.token):
        manager.keys.rotate()
    assert manager.events.read(types="key.rotated")[0].actor == f"session:{session.id}"
    manager.create("b", scopes="x")
    ended = manager.keys.rotate(emergency=True, actor="ana")
    told = manager.events.read(cause_id=ended.cause_id)
    assert [(each.type, each.actor) for each in told] == [("key.rotated", "ana"), ("session.expired", "ana")]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_every_algorithm_signs_and_its_public_key_verifies_elsewhere(
    manager: SessionManager, algorithm: Any
) -> None:
    old = manager.create("a", scopes="x")
    manager.keys.rotate(algorithm=algorithm)
    assert manager.keys.active().algorithm == algorithm
    made = manager.create("a", scopes="x")
    manager.validate(made.token)
    manager.validate(old.token)
    keys = jwt.PyJWKSet.from_dict(manager.keys.jwks())
    payload = jwt.decode(
        made.token,
        keys[made.kid],
        algorithms=[algorithm],
        audience="clawguard",
        options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
    )
    assert payload["sid"] == made.id


def test_the_published_keys_hold_public_members_only(manager: SessionManager) -> None:
    for algorithm in ("ES256", "EdDSA", "RS256"):
        manager.keys.rotate(algorithm=algorithm)
    for key in manager.keys.jwks()["keys"]:
        assert set(key) <= {"kty", "crv", "x", "y", "n", "e", "kid", "use", "alg"}
    assert json.dumps(manager.keys.jwks())


def test_an_unknown_algorithm_changes_nothing(manager: SessionManager) -> None:
    before = manager.keys.list()
    with pytest.raises(InvalidArgument, match="algorithm"):
        manager.keys.rotate(algorithm="HS256")  # type: ignore[arg-type]
    assert manager.keys.list() == before


def test_an_emergency_that_the_store_cuts_short_has_happened_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was asked for is in force, so it is no error: the ends that are missing are recorded later."""
    with open_manager(tmp_path / "data" / "a.db") as manager:
        made = [manager.create("a", scopes="x") for _ in range(3)]

        def busy(kid: str, actor: str, cause_id: str) -> Iterator[int]:
            raise StoreBusy("the write lock was not had")

        monkeypatch.setattr(manager.keys, "_end_signed", busy)
        assert manager.keys.rotate(emergency=True).count == 0
        monkeypatch.undo()
        assert manager.keys.active().kid not in {each.kid for each in made}
        for each in made:
            with pytest.raises(InvalidToken):
                manager.validate(each.token)
        assert manager.events.read(types="session.expired") == []
        manager.prune_expired()
        assert [event.cause for event in manager.events.read(types="session.expired")] == ["key"] * 3


def test_below_a_compromised_key_nothing_is_valid_before_its_ends_are_recorded_either(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_manager(database) as manager, open_manager(database) as other:
        root = manager.create("a", scopes="x")
        child = manager.delegate(root, "b", scopes="x")
        free = manager.delegate(manager.create("c", scopes="x"), "d", scopes="x")
        contexts = [each.validate(child.token) for each in (manager, other)]
        manager.keys.rotate()
        manager.refresh(root)  # of the new key now; its child goes on with a token of the key before

        def busy(kid: str, actor: str, cause_id: str) -> Iterator[int]:
            raise StoreBusy("the write lock was not had")

        monkeypatch.setattr(manager.keys, "_end_signed", busy)
        manager.keys.rotate(emergency=True)
        monkeypatch.undo()
        assert manager.get_session(child).cause is None
        for each, context in zip((manager, other), contexts, strict=True):
            for shown in (child.token, context):
                with pytest.raises(SessionEnded, match="parent"):
                    each.validate(shown)
            assert each.validate(free.token)
        manager.prune_expired()
        assert manager.get_session(child).cause == "parent"
        assert not other.keys.rotate(dry_run=True).count
        assert other.validate(free.token)
        assert not other._guard.ring.ends_pending


def test_many_rotations_in_a_row_keep_every_live_token(manager: SessionManager) -> None:
    made = []
    for _ in range(6):
        made.append(manager.create("a", scopes="x"))
        manager.keys.rotate()
    assert len({each.kid for each in made}) == 6
    for each in made:
        assert manager.validate(each.token).session_id == each.id


def test_a_rotation_that_cannot_be_taken_up_at_once_has_happened_all_the_same(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were it an error, the caller would rotate again, and distrust the fresh key."""
    session = manager.create("a", scopes="x")

    def fail() -> None:
        raise StoreBusy("no reader was free")

    monkeypatch.setattr(manager._parts.keychain, "reload", fail)
    manager.keys.rotate(emergency=True)
    monkeypatch.undo()
    assert [key.state for key in manager.keys.list()].count("compromised") == 2
    with pytest.raises(InvalidToken):
        manager.validate(session.token)
    assert manager.validate(manager.create("b", scopes="x").token).agent_id == "b"


def test_keys_tell_when_they_were_made_and_began_to_sign(manager: SessionManager, clock: FakeClock) -> None:
    made = clock.datetime
    first = manager.keys.active()
    assert first.created_at == first.activated_at == made
    following = next(key for key in manager.keys.list() if key.state == "next")
    assert following.activated_at is None
    clock.advance(60)
    manager.keys.rotate()
    assert manager.keys.active().kid == following.kid
    assert manager.keys.active().activated_at == clock.datetime
    assert manager.keys.active().created_at == following.created_at
