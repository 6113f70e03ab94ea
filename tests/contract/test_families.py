"""Refresh families: each refresh token is redeemed once, and one that comes back ends the family."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from clawguard import (
    DelegationRefused,
    InvalidArgument,
    InvalidToken,
    IssuedSession,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
)
from clawguard.clock import to_datetime
from clawguard.guard import RefreshToken
from tests.clocks import FakeClock
from tests.openers import open_manager, raw


def family(manager: SessionManager, **given: Any) -> IssuedSession:
    return manager.create("a", **{"scopes": "x y", "refreshable": True, **given})


def redeem(manager: SessionManager, session: IssuedSession) -> IssuedSession:
    assert session.refresh_token is not None
    return manager.redeem(session.refresh_token)


def test_a_refresh_token_gives_the_next_token_and_the_next_refresh_token(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = family(manager, role="lead", subject="user:una", ttl=60, metadata={"a": 1})
    assert made.refresh_token is not None
    assert made.refresh_token.startswith("cgr1_")
    clock.advance(30)
    renewed = redeem(manager, made)
    assert renewed.id == made.id
    assert renewed.generation == 2
    assert renewed.refresh_token not in (None, made.refresh_token)
    for name in ("agent_id", "subject", "audience", "role", "scopes", "workspace_id", "metadata"):
        assert getattr(renewed, name) == getattr(made, name)
    with pytest.raises(TokenSuperseded):
        manager.validate(made.token)
    assert manager.validate(renewed.token, require="x y").session_id == made.id
    events = manager.events.read(types="session.refreshed")
    assert [each.data["generation"] for each in events] == [2]


def test_a_family_lives_an_hour_after_its_last_redeem_and_never_past_its_absolute_end(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = family(manager, ttl=60, max_lifetime=6_000)
    start = to_datetime(clock.at)
    assert made.token_expires_at == start + timedelta(seconds=60)
    assert made.expires_at == start + timedelta(seconds=3_600)
    clock.advance(61)
    with pytest.raises(SessionEnded, match="ttl"):
        manager.validate(made.token)
    clock.advance(3_000)
    renewed = redeem(manager, made)
    assert renewed.token_expires_at == to_datetime(clock.at) + timedelta(seconds=60)
    assert renewed.expires_at == start + timedelta(seconds=6_000)
    clock.advance(6_000 - 3_061)
    with pytest.raises(SessionEnded, match="ttl"):
        redeem(manager, renewed)
    assert manager.get_session(made.id).cause == "ttl"


def test_a_family_that_nobody_redeems_ends(manager: SessionManager, clock: FakeClock) -> None:
    made = family(manager, ttl=60)
    clock.advance(3_600)
    assert manager.prune_expired() == 1
    with pytest.raises(SessionEnded, match="ttl"):
        redeem(manager, made)


def test_attack_62_within_the_grace_the_same_token_gives_the_same_again_and_moves_nothing(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = family(manager)
    first = redeem(manager, made)
    before = manager.get_session(made.id)
    clock.advance(9)
    again = redeem(manager, made)
    assert again.refresh_token == first.refresh_token
    assert again.generation == first.generation
    assert manager.get_session(made.id) == before
    manager.validate(first.token)
    manager.validate(again.token)
    third = redeem(manager, again)
    assert third.generation == 3


def test_within_the_grace_a_rotated_key_changes_nothing_for_those_who_have_the_answer(
    manager: SessionManager,
) -> None:
    made = family(manager)
    first = redeem(manager, made)
    manager.keys.rotate()
    again = redeem(manager, made)
    assert (again.refresh_token, again.generation) == (first.refresh_token, first.generation)
    assert again.kid == manager.keys.active().kid
    manager.validate(first.token)
    manager.validate(again.token)


Replay = Callable[[SessionManager, FakeClock, IssuedSession], object]


def after_the_grace(manager: SessionManager, clock: FakeClock, made: IssuedSession) -> None:
    redeem(manager, made)
    clock.advance(10)


def after_its_successor(manager: SessionManager, clock: FakeClock, made: IssuedSession) -> None:
    redeem(manager, redeem(manager, made))


def after_a_wipe(manager: SessionManager, clock: FakeClock, made: IssuedSession) -> None:
    redeem(manager, made)
    clock.advance(11)
    manager.prune_expired()


@pytest.mark.parametrize("replay", [after_the_grace, after_its_successor, after_a_wipe])
def test_attack_61_a_spent_token_that_comes_back_ends_the_family(
    manager: SessionManager, clock: FakeClock, replay: Replay
) -> None:
    made = family(manager)
    child = manager.delegate(made, "b", scopes="x")
    replay(manager, clock, made)
    with pytest.raises(SessionEnded, match="reuse"):
        redeem(manager, made)
    assert manager.get_session(made.id).cause == "reuse"
    assert manager.get_session(child).cause == "parent"
    (event,) = manager.events.read(types="token.reuse_detected")
    assert event.session_id == made.id
    assert [each.type for each in manager.events.read(cause_id=event.cause_id)] == [
        "token.reuse_detected", "session.expired", "session.expired",
    ]  # fmt: skip
    with pytest.raises(SessionEnded, match="reuse"):
        redeem(manager, made)
    assert len(manager.events.read(types="token.reuse_detected")) == 1


def test_without_a_grace_every_second_redeem_is_a_replay(url: str, clock: FakeClock) -> None:
    with open_manager(url, clock=clock, refresh_grace=0) as manager:
        made = family(manager)
        redeem(manager, made)
        with pytest.raises(SessionEnded, match="reuse"):
            redeem(manager, made)


def test_attack_67_a_wrong_secret_ends_nothing(manager: SessionManager) -> None:
    made, other = family(manager), family(manager)
    assert made.refresh_token is not None
    assert other.refresh_token is not None
    head, tail = made.refresh_token[:28], other.refresh_token[28:]
    for forged in (head + tail, head + "A" * 43, other.refresh_token[:27] + "_" + "A" * 43):
        with pytest.raises(InvalidToken):
            manager.redeem(forged)
    redeem(manager, made)
    redeem(manager, other)
    manager.prune_expired()
    rejected = manager.events.read(types="token.rejected")
    assert [(each.reason, each.data["count"]) for each in rejected] == [("refresh_unknown", 3)]


@pytest.mark.parametrize(
    "mutate",
    [
        lambda text: "",
        lambda text: text + "=",
        lambda text: text + "A",
        lambda text: text[:-1],
        lambda text: text.upper(),
        lambda text: " " + text,
        lambda text: text + "\n",
        lambda text: text.replace("cgr1", "cgr2"),
        lambda text: text[:-1] + chr(ord(text[-1]) + 1),
        lambda text: text[:-1] + "é",
        lambda text: "cgr1_" + "x" * 1_000_000,
    ],
)
def test_what_is_no_refresh_token_is_refused_alike(
    manager: SessionManager, mutate: Callable[[str], str]
) -> None:
    made = family(manager)
    assert made.refresh_token is not None
    with pytest.raises(InvalidToken) as refusal:
        manager.redeem(mutate(made.refresh_token))
    assert made.refresh_token[28:] not in str(refusal.value)
    redeem(manager, made)


def test_attack_53_each_kind_of_token_is_taken_in_its_place_only(manager: SessionManager) -> None:
    made = family(manager)
    assert made.refresh_token is not None
    with pytest.raises(InvalidToken, match="goes to redeem"):
        manager.validate(made.refresh_token)
    with pytest.raises(InvalidToken, match="goes to redeem"):
        manager.delegate(made.refresh_token, "b", scopes="x")
    assert manager.inspect(made.refresh_token).verdict == "invalid"
    with pytest.raises(InvalidToken, match="refresh_token"):
        manager.redeem(made.token)
    for verb in (manager.refresh, manager.revoke, manager.get_session):
        with pytest.raises(InvalidArgument, match="is a token"):
            verb(made.refresh_token)
    with pytest.raises(InvalidArgument, match="refresh_token"):
        manager.redeem(made)  # type: ignore[arg-type]
    redeem(manager, made)


def test_the_hosts_refresh_leaves_the_refresh_token_and_a_revoke_ends_it(manager: SessionManager) -> None:
    made = family(manager)
    renewed = manager.refresh(made)
    assert renewed.refresh_token is None
    later = redeem(manager, made)
    assert later.generation == 3
    manager.refresh(made.id)
    again = redeem(manager, made)  # within the grace: the generation of the moment
    assert again.generation == 4
    manager.validate(again.token)
    manager.revoke(made, reason="leaked")
    for spent in (made, later):
        with pytest.raises(SessionEnded, match=r"revoked \(leaked\)"):
            redeem(manager, spent)
    assert manager.events.read(types="token.reuse_detected") == []


@pytest.mark.parametrize("end", ["idle", "disabled", "parent", "emergency"])
def test_attack_69_an_end_of_any_kind_ends_the_family(
    manager: SessionManager, clock: FakeClock, end: str
) -> None:
    parent = family(manager, idle_timeout=60)
    made = manager.delegate(parent, "b", scopes="x", refreshable=True)
    if end == "idle":
        clock.advance(61)
    elif end == "disabled":
        manager.agents.disable("b")
    elif end == "parent":
        manager.end(parent)
    else:
        manager.keys.rotate(emergency=True)
    with pytest.raises(SessionEnded):
        redeem(manager, made)


def test_only_a_refreshable_parent_has_refreshable_children_and_none_outlives_it(
    manager: SessionManager, clock: FakeClock
) -> None:
    plain = manager.create("a", scopes="x", ttl=100)
    assert plain.refresh_token is None
    with pytest.raises(DelegationRefused, match="no refresh token"):
        manager.delegate(plain, "b", scopes="x", refreshable=True)
    parent = family(manager, ttl=60)
    clock.advance(10)
    child = manager.delegate(parent, "b", scopes="x", ttl=30, refreshable=True)
    assert child.expires_at == parent.expires_at
    assert child.token_expires_at == to_datetime(clock.at) + timedelta(seconds=30)
    assert manager.delegate(parent, "c", scopes="x").refresh_token is None
    clock.advance(1_000)
    assert redeem(manager, child).expires_at == parent.expires_at
    later = redeem(manager, parent)
    clock.advance(1)
    assert later.expires_at > parent.expires_at


def test_a_repeated_request_has_a_refresh_token_that_works(manager: SessionManager) -> None:
    lost = family(manager, request_id="one")
    found = family(manager, request_id="one")
    assert (found.id, found.generation) == (lost.id, 1)
    with pytest.raises(InvalidToken):
        redeem(manager, lost)
    redeem(manager, found)


def test_a_purge_takes_the_family_along(database: str, clock: FakeClock) -> None:
    with open_manager(database, clock=clock) as manager:
        made, kept = family(manager), family(manager)
        redeem(manager, made)
        manager.revoke(made)
        clock.advance(10)
        manager.sessions.purge(5)
        with raw(database) as inside:
            assert inside.execute("SELECT DISTINCT session_id FROM refresh_tokens").fetchall() == [(kept.id,)]
        with pytest.raises(InvalidToken):
            redeem(manager, made)


def test_a_refresh_token_shows_nowhere_but_where_it_is_handed_on(manager: SessionManager) -> None:
    made = family(manager)
    secret = str(made.refresh_token)
    assert made.environ()["CLAWGUARD_REFRESH_TOKEN"] == secret
    for shown in (repr(made), str(made), str(made.to_dict()), str(made.headers()), repr(pickle.dumps(made))):
        assert secret not in shown
    assert not hasattr(copy.copy(made), "refresh_token")
    redeem(manager, made)
    assert all(secret[28:] not in str(each.to_dict()) for each in manager.events.read())


@pytest.mark.parametrize("grace", [-1, 61, "10", None, True])
def test_the_grace_is_0_to_60_seconds(grace: Any) -> None:
    with pytest.raises(InvalidArgument, match="refresh_grace"):
        open_manager(refresh_grace=grace)


@pytest.mark.parametrize("given", [{"refreshable": 1}, {"refreshable": None}])
def test_refreshable_is_true_or_false(manager: SessionManager, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match="refreshable"):
        manager.create("a", scopes="x", **given)


def test_an_altered_seal_is_refused(database: str, clock: FakeClock) -> None:
    with open_manager(database, clock=clock) as manager:
        made = family(manager)
        redeem(manager, made)
        with raw(database) as inside:
            inside.execute("UPDATE refresh_tokens SET sealed = ? WHERE sealed IS NOT NULL", (bytes(60),))
        with pytest.raises(InvalidToken):
            redeem(manager, made)


def test_a_repeat_within_the_grace_that_meets_the_successors_redeem_gets_nothing_newer(
    database: str, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_manager(database, clock=clock) as thief, open_manager(database, clock=clock) as holder:
        made = family(holder)
        second = redeem(holder, made)
        unseal = RefreshToken.unseal

        def unseal_late(self: RefreshToken, sealed: bytes) -> RefreshToken:
            monkeypatch.undo()
            redeem(holder, second)
            return unseal(self, sealed)

        monkeypatch.setattr(RefreshToken, "unseal", unseal_late)
        with pytest.raises(SessionEnded, match="reuse"):
            redeem(thief, made)


def test_a_repeated_request_leaves_no_way_to_the_token_it_replaced(manager: SessionManager) -> None:
    lost = family(manager, request_id="one")
    redeem(manager, lost)
    found = family(manager, request_id="one")
    assert found.generation == 2
    with pytest.raises(SessionEnded, match="reuse"):
        redeem(manager, lost)  # its answer was the token that has been replaced


def test_a_repeated_request_asks_for_the_same(manager: SessionManager) -> None:
    manager.create("a", scopes="x", request_id="one")
    for more in ({"max_uses": 1}, {"refreshable": True}):
        with pytest.raises(InvalidArgument, match="different request"):
            manager.create("a", scopes="x", request_id="one", **more)  # type: ignore[arg-type]


def test_each_process_keeps_to_the_grace_that_was_given(database: str, clock: FakeClock) -> None:
    with (
        open_manager(database, clock=clock, refresh_grace=60) as patient,
        open_manager(database, clock=clock, refresh_grace=0) as strict,
    ):
        made = family(patient)
        first = redeem(patient, made)
        clock.advance(30)
        strict.prune_expired()
        assert redeem(strict, made).refresh_token == first.refresh_token


def test_the_hosts_refresh_does_not_make_a_family_live_longer_than_a_redeem(
    manager: SessionManager, clock: FakeClock
) -> None:
    made = family(manager, ttl=86_400)
    clock.advance(60)
    assert manager.refresh(made).expires_at == to_datetime(clock.at) + timedelta(seconds=3_600)
