"""Many processes on one database: fair writers, readers that scale, nobody told a stale answer."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clawguard import AccessDenied, SessionManager, StoreUnavailable, Verifier

from .harness import Result, Setting, benchmark
from .raw import SCOPES, decoder, open_manager

_PROCESSES = 8
_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class _Tally:
    """Report what one process did: calls, its longest one, calls that failed, calls answered wrongly."""

    role: str
    calls: int
    longest: float
    failed: int = 0
    stale: int = 0
    decodes: int = 0


def _write(path: Path, seconds: float, barrier: Any, answers: Any) -> None:
    calls, longest, failed = 0, 0.0, 0
    with SessionManager.open(path, sweep_every=None) as manager:
        manager.create("planner", scopes=SCOPES)
        barrier.wait()
        end = time.monotonic() + seconds
        while (start := time.monotonic()) < end:
            try:
                manager.create("planner", scopes=SCOPES)
            except StoreUnavailable:
                failed += 1
            longest = max(longest, time.monotonic() - start)
            calls += 1
    answers.put(_Tally("write", calls, longest, failed))


def _validate(
    path: Path, seconds: float, barrier: Any, answers: Any, tokens: list[str], revoked: Any
) -> None:
    """Validate in turn until refused; a token whose revoke returned before the call must be refused.

    Every other fifth of a second goes to `jwt.decode`: how far that scales is how much machine there is.
    """
    logging.getLogger("clawguard").setLevel(logging.CRITICAL)
    turn, stale = deque(range(len(tokens))), [0]
    with open_manager(path) as manager, Verifier.open(path) as verifier:
        decode = decoder(manager)

        def validate() -> None:
            known = revoked[turn[0]]
            try:
                verifier.validate(tokens[turn[0]], require="docs:read")
            except AccessDenied:
                turn.popleft()
            else:
                stale[0] += known
                turn.rotate(-1)

        barrier.wait()
        end, calls, decodes = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end:
            calls += _slice(validate)
            decodes += _slice(lambda: decode(tokens[0]))
    answers.put(_Tally("validate", calls, 0.0, len(tokens) - len(turn), stale[0], decodes))


def _slice(act: Callable[[], object]) -> int:
    """Call as often as a fifth of a second holds."""
    calls, end = 0, time.monotonic() + 0.2
    while calls % 32 or time.monotonic() < end:
        act()
        calls += 1
    return calls


class _Crowd:
    """Start processes together and gather what they report."""

    def __init__(self, path: Path, seconds: float, *, writers: int = 0, readers: int = 0) -> None:
        with open_manager(path) as manager:
            self.sessions = [manager.create("reader", scopes=SCOPES) for _ in range(50)]
        tokens = [session.token for session in self.sessions]
        self.revoked = _CONTEXT.RawArray("b", len(tokens))
        self._barrier = _CONTEXT.Barrier(writers + readers + 1)
        self._answers: Any = _CONTEXT.Queue()
        common = (path, seconds, self._barrier, self._answers)
        self._workers = [_CONTEXT.Process(target=_write, args=common) for _ in range(writers)]
        more = (*common, tokens, self.revoked)
        self._workers += [_CONTEXT.Process(target=_validate, args=more) for _ in range(readers)]
        for worker in self._workers:
            worker.start()

    def begin(self) -> None:
        """Let all go at once."""
        self._barrier.wait(60)

    def finish(self) -> list[_Tally]:
        """Wait for the reports of all."""
        tallies = [self._answers.get(timeout=120) for _ in self._workers]
        for worker in self._workers:
            worker.join()
        return tallies


@benchmark("writers")
def writers(setting: Setting) -> Iterator[Result]:
    """8 processes writing, alone and with 8 validating beside them"""
    seconds = setting.size(8, 3)
    for readers, beside in ((0, ""), (_PROCESSES, ", 8 validating beside")):
        crowd = _Crowd(setting.path(f"writers-{readers}"), seconds, writers=_PROCESSES, readers=readers)
        crowd.begin()
        tallies = [each for each in crowd.finish() if each.role == "write"]
        served = [each.calls for each in tallies]
        detail = f"{min(served)} to {max(served)} each, {sum(served) / seconds:,.0f}/s"
        head = f"8 processes writing{beside}"
        yield Result(f"{head}: worst wait", max(each.longest for each in tallies), 0.25, "milliseconds")
        share = min(served) / max(served)
        yield Result("  least to most served", share, 0.85, "share", at_least=True, detail=detail)
        yield Result("  calls refused as busy", sum(each.failed for each in tallies), 0, "count")


@benchmark("readers")
def readers(setting: Setting) -> Iterator[Result]:
    """8 processes validating while another revokes, to one process alone"""
    seconds = setting.size(8, 3)
    alone = _Crowd(setting.path("readers-1"), seconds, readers=1)
    alone.begin()
    (one,) = alone.finish()
    path = setting.path("readers-8")
    crowd = _Crowd(path, seconds, readers=_PROCESSES)
    with open_manager(path) as manager:
        crowd.begin()
        for index, session in enumerate(crowd.sessions[::2]):
            time.sleep(seconds / 60)
            manager.revoke(session)
            crowd.revoked[2 * index] = 1
    tallies = crowd.finish()
    calls, decodes = sum(each.calls for each in tallies), sum(each.decodes for each in tallies)
    scaled, machine = calls / one.calls, decodes / one.decodes
    detail = f"{scaled:.2f} x against {machine:.2f} x; {2 * calls / seconds:,.0f}/s"
    what = "8 processes validating to one, as jwt.decode scales"
    yield Result(what, scaled / machine, 0.85, "share", at_least=True, detail=detail)
    stale, refused = sum(each.stale for each in tallies), sum(each.failed for each in tallies)
    yield Result("  accepted after their revoke returned", stale, 0, "count", detail=f"{refused} refused")
