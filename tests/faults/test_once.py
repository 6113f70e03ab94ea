"""A session ends exactly once, whichever processes, sweeps and revokes race for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from clawguard import SessionEnded, SessionManager
from clawguard.store.transaction import SQLiteTransaction
from tests.faults.lab import SharedClock, assert_whole, report, rows, sizes, together

PROCESSES = 4


@pytest.mark.timeout(300)
@pytest.mark.parametrize("count", sizes(1_500, 20_000))
def test_sessions_due_at_one_instant_end_once_each(tmp_path: Path, count: int) -> None:
    path, clock = tmp_path / "db" / "clawguard.db", SharedClock()
    with SessionManager.open(path, sweep_every=None, clock=clock) as manager:
        issued = [manager.create("agent", scopes="a", ttl=3_600) for _ in range(count)]
        tokens = [(each.id, each.token) for each in issued]
    clock.advance(3_601)

    def race(number: int) -> dict[str, int]:
        chance = random.Random(number)
        mine = chance.sample(tokens, count)
        done = dict.fromkeys(("accepted", "refused", "revoked", "met_ended", "swept"), 0)
        with SessionManager.open(path, sweep_every=None, clock=clock) as manager:
            for turn, (session_id, token) in enumerate(mine):
                if chance.random() < 0.5:
                    done["met_ended"] += not manager.revoke(session_id)
                else:
                    try:
                        manager.validate(token)
                        done["accepted"] += 1
                    except SessionEnded as refusal:
                        done["refused"] += refusal.cause == "ttl"
                if turn % 50 == number * 10:
                    done["swept"] += manager._endings.sweep(batch=25) if turn > count // 4 else 0
            done["swept"] += manager.prune_expired()
        return done

    results = together(PROCESSES, race, timeout=280)
    told = rows(
        path, "SELECT session_id, count(*) FROM events WHERE type = 'session.expired' GROUP BY session_id"
    )
    double = sum(1 for _, times in told if times > 1)
    causes = rows(path, "SELECT DISTINCT cause FROM sessions")
    totals = {name: sum(result[name] for result in results) for name in results[0]}
    events = sum(times for _, times in told)
    report("G-ONCE", processes=PROCESSES, due=count, expired=events, double=double, **totals)
    assert (len(told), events, double) == (count, count, 0)
    assert causes == [("ttl",)]
    assert totals["accepted"] == 0
    assert totals["refused"] + totals["met_ended"] == PROCESSES * count
    assert totals["swept"] > 0
    assert_whole(path)


def sweep_by_reading_first(self: SQLiteTransaction, name: str, /, *args: Any, **params: Any) -> Any:
    """Take what was due a moment ago for due, whether or not somebody has ended it since."""
    if name != "session.claim_due":
        return _run(self, name, *args, **params)
    found = _run(self, name, *args, **params)
    again = {"now": params["now"], "limit": len(found)}
    self._connection.execute("UPDATE sessions SET ended_at = NULL, cause = NULL WHERE cause = 'ttl'")
    return found + _run(self, name, *args, **{**params, **again})


_run = SQLiteTransaction.run


@pytest.mark.control
def test_a_sweep_that_ends_what_has_ended_is_caught(tmp_path: Path) -> None:
    path, clock = tmp_path / "db" / "clawguard.db", SharedClock()
    with SessionManager.open(path, sweep_every=None, clock=clock) as manager:
        for _ in range(20):
            manager.create("agent", scopes="a", ttl=3_600)
        clock.advance(3_601)
        with patch.object(SQLiteTransaction, "run", sweep_by_reading_first):
            manager.prune_expired()
    with pytest.raises(AssertionError, match="states and events differ"):
        assert_whole(path)
    report("G-ONCE, control: ended again", caught=True)
