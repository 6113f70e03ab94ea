"""With a bound on staleness no token is accepted later than that after its end was acknowledged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard import AccessDenied, SessionManager, StoreUnavailable, Verifier
from clawguard.clock import SECOND, SystemClock
from clawguard.sessions.feed import Feed
from tests.faults.lab import Board, Worker, crew, founded, report, sizes

BOUNDS = (0.25, 0.5, 1.0)
AT_REST = 0.0005  # between two validates, to leave the others a share of the cores

Setting = Callable[[Verifier], None]
Harm = Callable[[Worker, random.Random], None]


def as_it_is(verifier: Verifier) -> None:
    """Change nothing."""


def cut_off_from_news(verifier: Verifier) -> None:
    """Let every look at the log hang and fail from now on, as on a network that silently holds all bytes."""
    read: Callable[..., Any] = verifier._store.read

    def hang(name: str, *args: Any, **params: Any) -> Any:
        if name.startswith("feed."):
            time.sleep(2)
            raise StoreUnavailable("no answer")
        return read(name, *args, **params)

    verifier._store.read = hang  # type: ignore[method-assign,assignment]


def leave_alone(worker: Worker, chance: random.Random) -> None:
    """Do nothing to the process that validates."""


def halt(worker: Worker, chance: random.Random) -> None:
    """Stop it for a while, longer and shorter than the bound."""
    worker.stop()
    time.sleep(chance.uniform(0, 1.5))
    worker.go_on()


CONDITIONS: dict[str, tuple[Setting, Harm]] = {
    "healthy": (as_it_is, leave_alone),
    "cut off": (cut_off_from_news, leave_alone),
    "halted": (as_it_is, halt),
}


def validator(path: Path | str, board: Board, bound: float, harm: Setting) -> int:
    """Validate one token until it is refused; return when the last accepted call began (microseconds)."""
    clock = SystemClock()
    with Verifier.open(path, max_staleness=bound) as verifier:
        token = board.token(0)
        verifier.validate(token)
        while verifier.freshness is None or not verifier.freshness.lease:
            time.sleep(AT_REST)
        verifier.validate(token)
        harm(verifier)
        board.publish(1, "ready")
        accepted = 0
        while True:
            began = clock.elapsed()
            try:
                verifier.validate(token)
            except AccessDenied:
                return accepted
            accepted = began
            time.sleep(AT_REST)


def late_by(path: Path | str, condition: str, bound: float, chance: random.Random) -> float:
    """Revoke a token that another process validates; return how long after that it was still accepted."""
    setting, harm = CONDITIONS[condition]
    board = Board(2)
    with SessionManager.open(path, sweep_every=None) as manager, crew() as start:
        session = manager.create("agent", scopes="a")
        board.publish(0, session.token)
        worker = start(validator, path, board, bound, setting)
        while board.state(1) == Board.UNKNOWN:
            time.sleep(AT_REST)
        time.sleep(chance.uniform(0, bound / 2))
        manager.revoke(session)
        acknowledged = SystemClock().elapsed()
        harm(worker, chance)
        return float(worker.result() - acknowledged) / SECOND


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("count", sizes(1, 100, timeout=1_800))
def test_the_last_accept_is_never_later_than_the_bound(tmp_path: Path, condition: str, count: int) -> None:
    path, chance = founded(tmp_path / "data" / "clawguard.db"), random.Random(count)
    found = {bound: [late_by(path, condition, bound, chance) for _ in range(count)] for bound in BOUNDS}
    for bound, late in found.items():
        report(
            f"bounded staleness, {condition}",
            bound=f"{bound} s",
            revokes=count,
            latest_accept=f"{max(late):.3f} s after the acknowledgement",
        )
        assert max(late) <= bound
    if condition == "cut off":
        assert max(map(max, found.values())) > 0, "no token was accepted after its end: this shows nothing"


@pytest.mark.control
def test_without_a_lease_the_bound_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, chance = founded(tmp_path / "data" / "clawguard.db"), random.Random(1)

    def vouch_for_ever(self: Feed, entry: Any) -> bool:
        is_kept = SystemClock().elapsed() < self._lease_until + 2 * SECOND  # so that it ends at all
        return is_kept and self._changed.get(entry.context.session_id, 0) <= entry.position

    monkeypatch.setattr(Feed, "vouches_for", vouch_for_ever)
    late = late_by(path, "cut off", 0.25, chance)
    report("bounded staleness, control: without a lease", bound="0.25 s", latest_accept=f"{late:.3f} s")
    assert late > 0.25
