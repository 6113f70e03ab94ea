"""A validate that starts after an end was acknowledged refuses, in every process."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from clawguard import IssuedSession, SessionEnded, SessionManager, Verifier
from clawguard.sessions.cache import CacheEntry, ContextCache
from tests.faults.lab import CONTEXT, PATIENCE, Board, crew, founded, report, sizes
from tests.faults.watching import Seen, told, watch

VALIDATORS = 8
PAUSE = 0.0005  # leaves the one who ends tokens a share of the cores
AHEAD = 24  # so many tokens live before the oldest is ended: validators have cached them by then


def validator(number: int, path: Path, board: Board, spread: int) -> Seen:
    """Validate for as long as others are ended, with a verifier or a manager."""
    opened = Verifier.open(path) if number % 2 else SessionManager.open(path, sweep_every=None)
    with opened as holder:
        return watch(holder, board, random.Random(os.getpid()), spread=spread, pause=PAUSE)


@contextmanager
def finishing(board: Board) -> Iterator[None]:
    """Tell the validators to stop, however the ending process fares."""
    try:
        yield
    finally:
        board.finish()


def run(path: Path, board: Board, ender: Callable[[Path, Board], int], *, spread: int) -> dict[str, int]:
    founded(path)
    with crew() as start:
        watchers = [start(validator, number, path, board, spread) for number in range(VALIDATORS)]
        ended = start(ender, path, board).result(600)
        return {"ended": ended, **told(watcher.result() for watcher in watchers)}


def assert_fresh(figures: dict[str, int], *, ended: int) -> None:
    assert figures["ended"] == ended
    assert figures["accepted_dead"] == 0
    assert figures["accepted_live"] > 0, "nobody ever saw a live token: the experiment shows nothing"
    assert figures["refused_dead"] > 0, "nobody ever tried a dead token: the experiment shows nothing"


@pytest.mark.parametrize("count", sizes(250, 10_000))
def test_a_revoked_token_is_refused_in_every_process_at_once(tmp_path: Path, count: int) -> None:
    board = Board(count + AHEAD)

    def revoker(path: Path, board: Board) -> int:
        done, held = 0, []
        with finishing(board), SessionManager.open(path, sweep_every=None) as manager:
            for place in range(count + AHEAD):
                held.append(manager.create("agent", scopes="a"))
                board.publish(place, held[place].token)
                if place >= AHEAD:
                    done += manager.revoke(held[place - AHEAD])
                    board.bury(place - AHEAD)
        return done

    figures = run(tmp_path / "db" / "clawguard.db", board, revoker, spread=AHEAD * 2)
    report("G-FRESH, revoke", processes=VALIDATORS, **figures)
    assert_fresh(figures, ended=count)


@pytest.mark.parametrize("count", sizes(200, 10_000))
def test_a_refreshed_token_is_refused_in_every_process_at_once(tmp_path: Path, count: int) -> None:
    board = Board(count + AHEAD)

    def refresher(path: Path, board: Board) -> int:
        done = 0
        with finishing(board), SessionManager.open(path, sweep_every=None) as manager:
            held = []
            for place in range(AHEAD):
                held.append(manager.create("agent", scopes="a"))
                board.publish(place, held[place].token)
            for place in range(count):
                held.append(manager.refresh(held[place]))  # the successor of what is ended here
                board.bury(place)
                board.publish(place + AHEAD, held[-1].token)
                done += 1
        return done

    figures = run(tmp_path / "db" / "clawguard.db", board, refresher, spread=AHEAD * 2)
    report("G-FRESH, refresh", processes=VALIDATORS, **figures)
    assert_fresh(figures, ended=count)


@pytest.mark.parametrize("rounds", sizes(6, 200))
def test_an_emergency_rotation_refuses_every_token_of_the_key_at_once(tmp_path: Path, rounds: int) -> None:
    each = 20
    board = Board(rounds * each)

    def rotator(path: Path, board: Board) -> int:
        done = 0
        with finishing(board), SessionManager.open(path, sweep_every=None) as manager:
            for turn in range(rounds):
                places = range(turn * each, turn * each + each)
                for place in places:
                    board.publish(place, manager.create("agent", scopes="a").token)
                manager.keys.rotate(emergency=True)
                for place in places:
                    board.bury(place)
                    done += 1
        return done

    figures = run(tmp_path / "db" / "clawguard.db", board, rotator, spread=each * 2)
    report("G-FRESH, emergency rotation", processes=VALIDATORS, rotations=rounds, **figures)
    assert_fresh(figures, ended=rounds * each)


@pytest.mark.parametrize("verb", ["validate", "refresh", "redeem"])
def test_attack_66_a_cache_filled_after_a_revoke_brings_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """What a call read before the revoke of another process is remembered only after that returned."""
    path = tmp_path / "db" / "clawguard.db"
    filling, revoked = CONTEXT.Event(), CONTEXT.Event()

    def revoke(session_id: str) -> None:
        assert filling.wait(PATIENCE)
        with SessionManager.open(path, sweep_every=None) as manager:
            assert manager.revoke(session_id)
        revoked.set()

    put = ContextCache.put

    def put_late(cache: ContextCache, digest: bytes, entry: CacheEntry) -> None:
        filling.set()
        assert revoked.wait(PATIENCE)
        put(cache, digest, entry)

    with SessionManager.open(path, sweep_every=None) as issuer:
        made = issuer.create("agent", scopes="a", refreshable=True)
    with crew() as start:
        revoker = start(revoke, made.id)
        with SessionManager.open(path, sweep_every=None) as manager:
            shown: dict[str, object] = {"refresh": made, "redeem": made.refresh_token, "validate": made.token}
            monkeypatch.setattr(ContextCache, "put", put_late)
            answer = getattr(manager, verb)(shown[verb])
            monkeypatch.undo()
            revoker.result()
            assert len(manager._parts.cache) == 1
            token = answer.token if isinstance(answer, IssuedSession) else made.token
            for _ in range(2):
                with pytest.raises(SessionEnded, match="revoked"):
                    manager.validate(token)
