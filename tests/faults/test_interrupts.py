"""A signal's exception may come at any instruction: it locks nobody out and leaves nothing half done."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from clawguard import SessionManager, StoreUnavailable
from tests.faults.lab import assert_whole, report, sizes

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("limits", sizes(250, 5_000))
def test_a_time_limit_that_strikes_anywhere_locks_nobody_out(tmp_path: Path, limits: int) -> None:
    path = tmp_path / "db" / "clawguard.db"
    seed = random.randrange(2**32)
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.interrupting", str(path), str(limits), str(seed)],
        cwd=ROOT,
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
        timeout=30 + limits / 10,
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    with SessionManager.open(path, sweep_every=None, lock_timeout=1) as other:
        other.create("last", scopes="x")
    report("interrupts", limits=limits, struck=done.stdout.strip(), seed=seed)
    assert int(done.stdout) > limits // 2
    assert_whole(path)


@pytest.mark.parametrize("rounds", sizes(40, 300))
def test_closing_under_a_writing_thread_harms_nobody(tmp_path: Path, rounds: int) -> None:
    """The closer gives up waiting: the connection is closed by the thread that uses it, when it is done."""
    for number in range(rounds):
        path = tmp_path / str(number) / "clawguard.db"
        manager = SessionManager.open(path, sweep_every=None, lock_timeout=0.005)
        for _ in range(40):
            manager.create("a", scopes="x")
        ended: list[object] = []

        def work(manager: SessionManager = manager, ended: list[object] = ended) -> None:
            try:
                ended.append(manager.revoke_all_for_agent("a").count)
            except StoreUnavailable as error:
                ended.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.0001 * (number % 15))
        manager.close()
        thread.join(30)
        assert not thread.is_alive()
        assert manager._parts.store._writer is None  # type: ignore[attr-defined]
        assert manager._parts.store._queue._fd < 0  # type: ignore[attr-defined]
        with SessionManager.open(path, sweep_every=None) as again:
            assert again.active_count() == (40 if isinstance(ended[0], StoreUnavailable) else 0)
        assert_whole(path)
