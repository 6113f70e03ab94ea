"""`async with manager.use(token)` ends its body soon after an end made in another process."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from clawguard import SessionEnded, SessionManager
from tests.faults.lab import crew, report, sizes


@pytest.mark.parametrize("rounds", sizes(4, 100))
def test_the_body_ends_within_a_second_of_a_revoke_elsewhere(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "db" / "clawguard.db"

    def revoke(session_id: str, delay: float) -> float:
        time.sleep(delay)
        with SessionManager.open(path, sweep_every=None) as manager:
            assert manager.revoke(session_id, reason="elsewhere")
        return time.monotonic()

    async def body(manager: SessionManager, token: str) -> float:
        with pytest.raises(SessionEnded) as caught:
            async with manager.use(token):
                await asyncio.sleep(30)
        assert (caught.value.cause, caught.value.reason) == ("revoked", "elsewhere")
        return time.monotonic()

    with SessionManager.open(path, sweep_every=None) as manager:
        issued = [manager.create("agent", scopes="a") for _ in range(rounds)]
    waits = []
    for number, session in enumerate(issued):
        with crew() as start:
            worker = start(revoke, session.id, 0.05 * (number % 7))
            with SessionManager.open(path, sweep_every=None) as manager:
                ended = asyncio.run(body(manager, session.token))
            waits.append(ended - worker.result())
    report("use", rounds=rounds, slowest_ms=round(max(waits) * 1_000))
    assert max(waits) <= 1.0
