"""A session ends exactly once, whichever processes, sweeps and revokes race for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from clawguard import SessionEnded, SessionManager
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
