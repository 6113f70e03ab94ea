"""PostgreSQL: what was acknowledged survives the server's death, nobody holds the lock after his own."""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from clawguard import (
    IssuedSession,
    OutcomeUnknown,
    SessionEnded,
    SessionManager,
    StoreUnavailable,
)
from tests.faults.lab import CONTEXT, PATIENCE, Acks, Board, acknowledged, crew, founded, report, sizes
from tests.faults.test_cascade import DELEGATORS, delegator, revoker
from tests.faults.test_kills import load, wait_for
from tests.openers import rows
from tests.servers import postgres_server

pytestmark = pytest.mark.usefixtures("kek")

_MISMATCHES = """
WITH told AS (
    SELECT session_id, count(*) FILTER (WHERE type = 'session.created') AS created,
           count(*) FILTER (WHERE type = 'session.expired') AS expired,
           count(*) FILTER (WHERE type = 'session.refreshed') AS refreshed,
           max(as_json(body) ->> 'cause') FILTER (WHERE type = 'session.expired') AS cause
    FROM (
        SELECT type, session_id, body FROM events
        UNION ALL SELECT type, session_id, body FROM unlinked_events
    ) AS written WHERE session_id IS NOT NULL GROUP BY session_id
)
SELECT s.id, t.* FROM sessions s FULL JOIN told t ON t.session_id = s.id
WHERE s.id IS NULL OR t.session_id IS NULL OR t.created <> 1 OR t.expired <> (s.ended_at IS NOT NULL)::int
    OR t.refreshed <> s.generation - 1 OR t.cause IS DISTINCT FROM s.cause
"""


def assert_whole(url: str) -> int:
    """Hold states against events and walk the chain; return how many events there are."""
    with SessionManager.open(url, sweep_every=None) as manager:
        verification = manager.events.verify()
    assert rows(url, _MISMATCHES) == []
    assert verification.fault is None
    return verification.count


def steadfast(url: str, acks_path: Path) -> None:
    """Create and revoke without end, whatever becomes of the server; repeat what has no known outcome."""
    acks, live = Acks(acks_path), list[IssuedSession]()
    with SessionManager.open(url, sweep_every=0.02) as manager:
        while True:
            with suppress(StoreUnavailable):
                made = manager.create("agent", scopes="a")
                acks.add("created", made.id)
                live.append(made)
            while live:
                try:
                    manager.revoke(live[-1])
                except OutcomeUnknown:
                    continue
                except StoreUnavailable:
                    time.sleep(0.01)
                    break
                except Exception as error:
                    acks.add("failed", repr(error))
                    raise
                acks.add("revoked", live.pop().id)


def count_lost(url: str, said: list[list[str]]) -> int:
    """Hold each acknowledged create and revoke against its row."""
    known = dict(rows(url, "SELECT id, cause FROM sessions"))
    return sum(
        session_id not in known or (what == "revoked" and known[session_id] != "revoked")
        for what, session_id, *_ in said
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", sizes(3, 40))
def test_nothing_acknowledged_is_lost_to_the_servers_death(tmp_path: Path, kills: int) -> None:
    files = [tmp_path / f"acks-{number}" for number in range(3)]
    chance = random.Random(kills)
    with postgres_server() as server, crew() as start:
        url = founded(server.url)
        workers = [start(steadfast, url, file) for file in files]
        for _ in range(kills):
            before = [len(acknowledged(file)) for file in files]
            wait_beyond(files, before)
            time.sleep(chance.uniform(0, 0.1))
            server.kill()
            server.start()
        wait_beyond(files, [len(acknowledged(file)) for file in files])  # all of them go on by themselves
        for worker in workers:
            assert worker.process.is_alive(), worker.result()
            worker.kill()
        said = [each for file in files for each in acknowledged(file)]
        lost, events = count_lost(url, said), assert_whole(url)
    revoked = sum(what == "revoked" for what, *_ in said)
    report("G-DURABLE on PostgreSQL", kills=kills, acknowledged_revokes=revoked, lost=lost, events=events)
    assert lost == 0
    assert not [each for each in said if each[0] == "failed"]


def wait_beyond(files: list[Path], counts: list[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(len(acknowledged(file)) >= count + 10 for file, count in zip(files, counts, strict=True)):
        assert time.monotonic() < deadline, "a worker does not go on"
        time.sleep(0.01)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kills", sizes(4, 100))
def test_a_killed_writer_leaves_nothing_half_done_and_holds_nobody(
    tmp_path: Path, url: str, kills: int
) -> None:
    chance = random.Random(kills)
    lost = 0
    for turn in range(kills // 2):
        files = [tmp_path / f"acks-{turn}-{number}" for number in (0, 1)]
        with crew() as start:
            workers = [start(load, url, file) for file in files]
            wait_for(*files)
            for worker, file in zip(workers, files, strict=True):
                time.sleep(chance.uniform(0.001, 0.12))
                assert worker.process.is_alive(), worker.result()
                worker.kill()
                lost += count_lost(url, acknowledged(file))
                assert_whole(url)
    report("G-AUDIT on PostgreSQL", kills=kills // 2 * 2, lost=lost)
    assert lost == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rounds", sizes(30, 1_000))
def test_no_child_is_live_after_its_parents_revoke(url: str, rounds: int) -> None:
    board = Board(rounds)
    with crew() as start:
        workers = [start(delegator, number, url, board, rounds) for number in range(DELEGATORS)]
        at_once = start(revoker, url, board, rounds).result(250)
        made = sum(worker.result(120) for worker in workers)
    orphans = rows(
        url,
        """SELECT c.id FROM sessions c JOIN sessions p ON p.id = c.parent_id
           WHERE p.ended_at IS NOT NULL AND c.ended_at IS NULL""",
    )
    report(
        "G-CASCADE on PostgreSQL", rounds=rounds, delegations=made, survivors=at_once, orphans=len(orphans)
    )
    assert made > rounds
    assert (at_once, orphans) == (0, [])
    assert_whole(url)


def ends_then_asks(url: str, rounds: int, pipe: object) -> None:
    """Revoke, say so, and wait until the other side has asked."""
    with SessionManager.open(url, sweep_every=None) as manager:
        for _ in range(rounds):
            made = manager.create("agent", scopes="a")
            pipe.send(made.token)  # type: ignore[attr-defined]
            assert pipe.recv() == "seen"  # type: ignore[attr-defined]
            manager.revoke(made)
            pipe.send("over")  # type: ignore[attr-defined]


def test_a_token_is_refused_elsewhere_from_the_revoke_on(url: str) -> None:
    mine, theirs = CONTEXT.Pipe()
    stale = 0
    with crew() as start, SessionManager.open(url, sweep_every=None) as manager:
        other = start(ends_then_asks, url, 60, theirs)
        for _ in range(60):
            token = mine.recv()
            manager.validate(token)
            mine.send("seen")
            assert mine.recv() == "over"
            try:
                manager.validate(token)
            except SessionEnded:
                continue
            stale += 1
        other.result()
    assert stale == 0


# forks


def test_a_forked_child_and_its_parent_have_connections_of_their_own(url: str) -> None:
    with SessionManager.open(url, sweep_every=None) as manager:
        made = manager.create("a", scopes="x")
        manager.validate(made.token)

        def child() -> list[str]:
            told = [manager.validate(made.token).session_id, manager.create("child", scopes="x").id]
            manager.close()
            return told

        with crew() as start:
            workers = [start(child) for _ in range(3)]
            for _ in range(20):
                manager.revoke(manager.create("parent", scopes="x"))
                manager.validate(made.token)
            assert [worker.result()[0] for worker in workers] == [made.id] * 3
        assert manager.revoke(made)
    assert assert_whole(url) == 45


def test_a_block_goes_on_in_the_parent_alone(url: str) -> None:
    with SessionManager.open(url, sweep_every=None) as manager:
        store = manager._parts.store
        with crew() as start:

            def child() -> str:
                try:
                    tx.run("meta.bump")
                except StoreUnavailable as error:
                    return str(error)
                return "wrote"

            with store.transaction(durable=True) as tx:
                tx.run("meta.bump")
                assert "parent's" in start(child).result()
                tx.run("meta.bump")
    assert rows(url, "SELECT revision FROM meta") == [(3,)]


def holds_and_forks(url: str, pipe: object) -> None:
    """Fork a child in the middle of a write, and wait to be killed."""
    manager = SessionManager.open(url, sweep_every=None)
    with manager, manager._parts.store.transaction(durable=True) as tx:
        tx.run("meta.bump")
        pid = os.fork()
        if pid == 0:
            time.sleep(PATIENCE)
            os._exit(0)
        pipe.send(pid)  # type: ignore[attr-defined]
        time.sleep(PATIENCE)


def test_a_child_that_lives_on_does_not_keep_its_dead_parents_lock(url: str) -> None:
    mine, theirs = CONTEXT.Pipe()
    with crew() as start, SessionManager.open(url, sweep_every=None, lock_timeout=10) as manager:
        holder = start(holds_and_forks, url, theirs)
        orphan = mine.recv()
        try:
            holder.kill()
            assert manager.create("a", scopes="x")
            os.kill(orphan, 0)  # it is still there
        finally:
            os.kill(orphan, 9)
    assert rows(url, "SELECT revision FROM meta") == [(1,)]


# servers that are not to be used


def test_a_standby_is_refused() -> None:
    with postgres_server(standby=True) as server, pytest.raises(StoreUnavailable, match="only reads"):
        SessionManager.open(server.url)


def test_who_is_open_while_the_server_is_away_recovers_by_himself(tmp_path: Path) -> None:
    with postgres_server() as server, SessionManager.open(server.url, sweep_every=None) as manager:
        made = manager.create("a", scopes="x")
        ended = manager.create("b", scopes="x")
        manager.revoke(ended)
        server.kill()
        for call in (lambda: manager.validate(made.token), lambda: manager.revoke(made)):
            with pytest.raises(StoreUnavailable):
                call()
        server.start()
        assert manager.validate(made.token)
        assert manager.revoke(made)
        with pytest.raises(SessionEnded):
            manager.validate(ended.token)
