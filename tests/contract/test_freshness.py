"""Bounded staleness: after a change memory answers for the bound at most, and then the row does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import (
    AccessDenied,
    InvalidArgument,
    IssuedSession,
    SessionEnded,
    SessionManager,
    StoreUnavailable,
)
from clawguard.guard import DPoPProof, ProofKey
from clawguard.sessions import feed as feed_module
from tests.clocks import FakeClock
from tests.openers import open_manager, raw

BOUND = 3.0


class Pair:
    """Hold two managers of one database: `here` answers from memory, `elsewhere` changes things."""

    def __init__(self, database: str) -> None:
        self.clock = FakeClock()
        self.elsewhere = open_manager(database, clock=self.clock)
        self.here = open_manager(database, clock=self.clock, max_staleness=BOUND)
        self.here._following.stop()  # type: ignore[union-attr]  # the test says when the log is looked at
        self.look()

    def look(self) -> None:
        feed = self.here._parts.feed
        assert feed is not None
        feed.follow()

    def known(self, **wanted: Any) -> IssuedSession:
        """Return a session whose token `here` remembers, and may answer for."""
        session = self.elsewhere.create("planner", scopes="docs:read", **wanted)
        self.look()
        self.here.validate(session.token)
        return session

    def accepts(self, token: str, **wanted: Any) -> bool:
        try:
            self.here.validate(token, **wanted)
        except AccessDenied:
            return False
        return True

    def close(self) -> None:
        self.here.close()
        self.elsewhere.close()


@pytest.fixture
def pair(database: str) -> Iterator[Pair]:
    made = Pair(database)
    yield made
    made.close()


def no_store(*_: object, **__: object) -> Any:
    raise StoreUnavailable("the store does not answer")


def test_without_a_bound_there_is_no_memory_to_speak_of(manager: SessionManager) -> None:
    assert manager.freshness is None


def test_within_the_bound_memory_answers_and_afterwards_the_row(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pair.known()
    with monkeypatch.context() as cut_off:
        cut_off.setattr(pair.here._store, "read", no_store)
        pair.clock.advance(BOUND - 0.001)
        assert pair.accepts(session.token, require="docs:read")
        assert not pair.accepts(session.token, require="docs:write")
        with pytest.raises(StoreUnavailable):
            pair.here.validate(session.token, consistency="linearizable")
        pair.clock.advance(0.001)
        with pytest.raises(StoreUnavailable):
            pair.here.validate(session.token)
    assert pair.accepts(session.token)


def child_of(pair: Pair, parent: IssuedSession) -> IssuedSession:
    child = pair.elsewhere.delegate(parent, agent_id="helper", scopes="docs:read")
    pair.look()
    pair.here.validate(child.token)
    return child


CHANGES: dict[str, Callable[[SessionManager, IssuedSession], object]] = {
    "revoke": lambda manager, session: manager.revoke(session),
    "refresh": lambda manager, session: manager.refresh(session),
    "disable": lambda manager, _: manager.agents.disable("planner"),
    "revoke_where": lambda manager, _: manager.revoke_where(agent_id="planner"),
    "rotate": lambda manager, _: manager.keys.rotate(emergency=True),
    "policy": lambda manager, _: manager.reload_policy({"roles": {"reader": {"scopes": "mail:read"}}}),
}
LEARNING: dict[str, Callable[[Pair], object]] = {
    "by looking": lambda pair: pair.look(),
    "by the bound": lambda pair: pair.clock.advance(BOUND),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("learn", LEARNING)
@pytest.mark.parametrize("is_child", [False, True])
def test_what_another_process_changed_is_heard_of(
    pair: Pair, change: str, learn: str, is_child: bool
) -> None:
    parent = pair.known(role="reader")
    session = child_of(pair, parent) if is_child else parent
    CHANGES[change](pair.elsewhere, session if change == "refresh" else parent)
    assert pair.accepts(session.token, require="docs:read"), "memory did not answer: this shows nothing"
    LEARNING[learn](pair)
    assert not pair.accepts(session.token, require="docs:read")


@pytest.mark.parametrize("change", CHANGES)
def test_what_this_process_changed_is_heard_of_at_once(pair: Pair, change: str) -> None:
    session = pair.known(role="reader")
    CHANGES[change](pair.here, session)
    assert not pair.accepts(session.token, require="docs:read")


def test_the_row_is_read_where_it_is_asked_for(pair: Pair) -> None:
    session = pair.known()
    pair.elsewhere.revoke(session)
    assert not pair.accepts(session.token, consistency="linearizable")


def test_the_row_is_read_where_uses_are_counted(pair: Pair) -> None:
    spent, narrowed = pair.known(max_uses=3), pair.known(max_uses=3, role="reader")
    assert pair.accepts(spent.token)
    pair.elsewhere.validate(spent.token)
    assert not pair.accepts(spent.token)
    CHANGES["policy"](pair.elsewhere, narrowed)
    assert not pair.accepts(narrowed.token, require="docs:read")


def test_the_row_is_read_where_a_token_is_bound(pair: Pair) -> None:
    key = ProofKey.generate(clock=pair.clock)
    session = pair.elsewhere.create("planner", scopes="docs:read", cnf=key.cnf)

    def proof() -> DPoPProof:
        url = "https://api.example.com/docs"
        return DPoPProof(key.proof(method="GET", url=url, token=session.token), method="GET", url=url)

    pair.here.validate(session.token, proof=proof())
    pair.elsewhere.activity.set_name(session, "other")
    assert pair.accepts(session.token, proof=proof())
    pair.elsewhere.revoke(session)
    assert not pair.accepts(session.token, proof=proof())


def test_what_concerns_a_session_without_changing_it_costs_one_look_at_the_row(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pair.known()
    assert not pair.accepts(session.token, require="mail:send")
    pair.here.prune_expired()  # writes the denial, an event of the session
    pair.look()
    read, names = pair.here._store.read, []

    def noted(name: str, *args: Any, **params: Any) -> Any:
        names.append(name)
        return read(name, *args, **params)

    monkeypatch.setattr(pair.here._store, "read", noted)
    assert [pair.accepts(session.token) for _ in range(3)] == [True] * 3
    assert names == ["validate.pulse"]


def test_what_is_heard_of_late_does_not_hide_what_came_after_it(pair: Pair) -> None:
    session = pair.known()
    pair.here.revoke(session)
    feed = pair.here._parts.feed
    assert feed is not None
    feed._note([session.id])  # by a thread that was slow to tell
    assert not pair.accepts(session.token)


def test_a_natural_end_needs_no_news(pair: Pair) -> None:
    session, idle = pair.known(ttl=1), pair.known(idle_timeout=1)
    pair.clock.advance(1)
    assert not pair.accepts(session.token)
    assert not pair.accepts(idle.token)


def test_activity_keeps_an_idle_session_alive(pair: Pair) -> None:
    session = pair.known(idle_timeout=1)
    for _ in range(10):
        pair.clock.advance(0.75)
        assert pair.accepts(session.token)
        pair.here.prune_expired()


def test_what_was_archived_before_it_was_read_vouches_for_nothing(pair: Pair, tmp_path: Path) -> None:
    session = pair.known()
    pair.elsewhere.revoke(session)
    pair.elsewhere.create("other", scopes="x")
    pair.clock.advance(1)
    pair.elsewhere.events.archive(pair.clock.datetime, tmp_path / "log.jsonl")
    assert pair.accepts(session.token), "memory did not answer: this shows nothing"
    pair.look()
    assert not pair.accepts(session.token)


def test_more_changes_than_are_remembered_vouch_for_nothing(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "_MOST_CHANGED", 3)
    monkeypatch.setattr(feed_module, "_PAGE", 2)
    session, living = pair.known(), pair.known()
    pair.elsewhere.revoke(session)
    for _ in range(9):
        pair.elsewhere.create("other", scopes="x")
    pair.look()
    feed = pair.here._parts.feed
    assert feed is not None
    assert len(feed._changed) <= 3
    assert not pair.accepts(session.token)
    assert pair.accepts(living.token)


def test_a_log_that_is_shorter_than_it_was_gives_no_lease(pair: Pair, database: str) -> None:
    session = pair.known()
    pair.elsewhere.events.link()
    pair.look()
    pair.here.validate(session.token)
    with raw(database) as inside:
        inside.execute("UPDATE sessions SET ended_at = 1, cause = 'revoked', version = version + 1")
        inside.execute("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)")
    with pytest.raises(StoreUnavailable, match="shorter"):
        pair.look()
    pair.clock.advance(BOUND)
    assert not pair.accepts(session.token)


def test_a_log_of_another_server_is_heard_of_anew(postgres: str, clock: FakeClock) -> None:
    """A standby that took over may lack what the primary had: its numbers then stand for other events."""
    with open_manager(postgres, clock=clock) as elsewhere:
        session, other = elsewhere.create("planner", scopes="x"), elsewhere.create("other", scopes="x")
        assert elsewhere.events.last()[0] == 2
        with open_manager(postgres, clock=clock, max_staleness=BOUND) as here:
            here._following.stop()  # type: ignore[union-attr]
            feed, store = here._parts.feed, here._parts.store
            assert feed is not None
            feed.follow()
            here.validate(session.token)
            with raw(postgres) as inside:
                inside.execute("DELETE FROM sessions WHERE id = ?", (other.id,))
                inside.execute("DELETE FROM events WHERE seq = 2")
            elsewhere.revoke(session)  # its end gets the number that was heard of already
            assert elsewhere.events.last()[0] == 2
            feed.follow()
            assert here.validate(session.token), "memory did not answer: this shows nothing"
            store._follower.drop_idle()  # type: ignore[attr-defined]
            feed.follow()
            with pytest.raises(SessionEnded):
                here.validate(session.token)
            assert here.freshness is not None
            assert here.freshness.position == 2


def test_a_read_that_took_long_gives_a_short_lease(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    read = pair.here._store.read

    def slow(name: str, *args: Any, **params: Any) -> Any:
        if name == "feed.head":
            pair.clock.advance(BOUND - 1)
        return read(name, *args, **params)

    monkeypatch.setattr(pair.here._store, "read", slow)
    pair.look()
    freshness = pair.here.freshness
    assert freshness is not None
    assert (freshness.bound, freshness.lease) == (BOUND, 1.0)
    assert freshness.position == pair.elsewhere.events.last()[0]


@pytest.mark.parametrize("name_of_read", ["validate.standing", "validate.pulse"])
def test_what_comes_between_row_and_memory_is_not_passed_over(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, name_of_read: str
) -> None:
    session = pair.elsewhere.create("planner", scopes="x")
    pair.look()
    if name_of_read == "validate.pulse":
        pair.here.validate(session.token)
    read = pair.here._store.read

    def read_and_revoke(name: str, *args: Any, **params: Any) -> Any:
        found = read(name, *args, **params)
        if name == name_of_read:
            pair.elsewhere.revoke(session)
            pair.look()  # the change is heard of before the row as it was is remembered
        return found

    with monkeypatch.context() as racing:
        racing.setattr(pair.here._store, "read", read_and_revoke)
        pair.here.validate(
            session.token, consistency="linearizable"
        )  # it began before the end was acknowledged
    assert not pair.accepts(session.token)


def test_a_forked_child_begins_without_a_lease(pair: Pair) -> None:
    session = pair.known()
    pair.elsewhere.revoke(session)
    child = os.fork()
    if not child:
        freshness = pair.here.freshness
        os._exit(1 if freshness is None or freshness.lease or pair.accepts(session.token) else 0)
    assert os.waitpid(child, 0)[1] == 0


def test_what_a_child_inherits_is_not_vouched_for_by_what_it_hears(postgres: str) -> None:
    pair = Pair(postgres)
    store = pair.here._parts.store
    session = pair.known()
    for _ in range(3):  # numbers of other logs are behind it
        store._follower.drop_idle()  # type: ignore[attr-defined]
        pair.look()
    pair.here.validate(session.token)
    child = os.fork()
    if not child:
        with suppress(BaseException):
            pair.here._following.stop()  # type: ignore[union-attr]
            pair.look()
            pair.elsewhere.revoke(session)
            pair.look()
            os._exit(1 if pair.accepts(session.token) else 0)
        os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    pair.close()


def test_the_log_is_followed_without_being_asked_to(database: str) -> None:
    with open_manager(database) as elsewhere, open_manager(database, max_staleness=0.25) as here:
        session = elsewhere.create("planner", scopes="x")
        here.validate(session.token)
        elsewhere.revoke(session)
        head = elsewhere.events.last()[0]
        while here.freshness is None or here.freshness.position < head:
            time.sleep(0.01)
        assert here.freshness.lease > 0
        with pytest.raises(SessionEnded):
            here.validate(session.token)


@pytest.mark.parametrize("wrong", [0.1, 0.249_999, -1, "1", None, float("nan"), float("inf")])
def test_a_bound_that_cannot_be_kept_is_refused(database: str, wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="max_staleness"):
        open_manager(database, max_staleness=wrong)
    assert "://" in database or not Path(database).exists()


def test_another_consistency_is_refused(manager: SessionManager) -> None:
    token = manager.create("planner", scopes="x").token
    with pytest.raises(InvalidArgument, match="linearizable"):
        manager.validate(token, consistency="eventual")  # type: ignore[arg-type]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["create", "revoke", "refresh", "validate", "validate", "look", "wait"]),
        st.integers(0, 9),
    ),
    max_size=40,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    made = Pair(str(tmp_path_factory.mktemp("data") / "private" / "clawguard.db"))
    yield made
    made.close()


@given(steps=STEPS)
def test_no_token_is_accepted_for_longer_than_the_bound_after_it_was_void(
    shared: Pair, steps: list[tuple[str, int]]
) -> None:
    tokens: list[tuple[IssuedSession, str]] = []
    void_since: dict[str, int] = {}
    for act, number in steps:
        if act == "create" or not tokens:
            made = shared.elsewhere.create("planner", scopes="x")
            tokens.append((made, made.token))
            continue
        session, token = tokens[number % len(tokens)]
        if act == "look":
            shared.look()
        elif act == "wait":
            shared.clock.advance(number / 4)
        elif act == "validate":
            since = void_since.get(token)
            if shared.accepts(token):
                assert since is None or shared.clock.elapsed() - since < BOUND * 1_000_000
            else:
                assert since is not None
        elif token not in void_since:
            void_since[token] = shared.clock.elapsed()
            if act == "revoke":
                shared.elsewhere.revoke(session)
            else:
                renewed = shared.elsewhere.refresh(session)
                tokens.append((session, renewed.token))
