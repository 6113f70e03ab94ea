"""What `doctor` looks at. Each check is one function that yields findings."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from clawguard import SessionManager
from clawguard.cli.settings import Settings
from clawguard.clock import SECOND, SystemClock, to_microseconds
from clawguard.errors import ClawguardError, ClockError, SearchUnavailable
from clawguard.store import is_there
from clawguard.store.condition import (
    has_full_text_search,
    look_at_files,
    may_lose_checkpoints,
    sqlite_version,
)

__all__ = ["Finding", "examine", "fingerprint_of"]

Level = Literal["ok", "warning", "fault"]

_OLD_KEY = 90  # days
_FAR_BEHIND = 10_000  # events
_LITTLE_ROOM = 256 * 2**20  # bytes
_MUCH_AHEAD = 64 * 2**20
_LATE = 60  # seconds that a natural end may go unrecorded


class Finding(NamedTuple):
    """Hold what one check found, and how to mend it."""

    name: str
    level: Level
    says: str
    mend: str | None = None


def examine(
    path: Path | None, settings: Settings, file: Path | None, open_manager: Callable[[], SessionManager]
) -> tuple[list[Finding], str | None]:
    """Look at everything there is; return the findings, and the fingerprint of the configuration.

    `path` is the database's file, None where it is on a server.
    """
    found = list(_settings(file))
    found += _server(settings) if path is None else [*_key_place(settings), *_sqlite(), *_files(path)]
    try:
        manager = open_manager()
    except ClawguardError as error:
        return [*found, Finding("opening", "fault", error.message, error.hint)], None
    with manager:
        found.append(Finding("opening", "ok", f"{manager.issuer}, schema as this clawguard has it"))
        first = (_links,) if path is None else ()  # before what reads the log, for that mends it
        for check in (*first, _clock, _keys, _sweeper, _subscribers, _index):
            try:
                found += check(manager)
            except ClawguardError as error:
                found.append(Finding(check.__name__.strip("_"), "fault", error.message, error.hint))
        return found, fingerprint_of(manager, settings)


def fingerprint_of(manager: SessionManager, settings: Settings) -> str:
    """Return what is alike in every process that opens the same database with the same settings."""
    same = settings.model_dump(
        mode="json", exclude={"url", "kek", "kek_file", "workspace", "token", "token_file"}
    )
    same |= {"issuer": manager.issuer, "policy": manager.policy.digest}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]


def _settings(file: Path | None) -> Iterator[Finding]:
    yield Finding(
        "settings", "ok", f"from {file}" if file else "no settings file; options and environment only"
    )


def _server(settings: Settings) -> Iterator[Finding]:
    if settings.kek is None and settings.kek_file is None:
        says, mend = "is not given, and no server keeps it", "set CLAWGUARD_KEK or CLAWGUARD_KEK_FILE"
        yield Finding("key-encryption key", "fault", says, mend)
    else:
        yield Finding("key-encryption key", "ok", "stands apart from the database")
    began = time.perf_counter()
    try:
        found = is_there(settings.url, lock_timeout=settings.lock_timeout)
    except ClawguardError as error:
        yield Finding("server", "fault", error.message, error.hint)
        return
    if found:
        took = time.perf_counter() - began
        yield Finding("server", "ok", f"PostgreSQL answers; a connection took {took * 1_000:.0f} ms")
    else:
        yield Finding("server", "fault", "there is no database of clawguard's", "clawguard init")


def _key_place(settings: Settings) -> Iterator[Finding]:
    if settings.kek is None and settings.kek_file is None:
        yield Finding(
            "key-encryption key",
            "warning",
            "stands beside the database: whoever copies the folder has both",
            "name another place in CLAWGUARD_KEK_FILE, or give it in CLAWGUARD_KEK or a secret directory",
        )
    else:
        yield Finding("key-encryption key", "ok", "stands apart from the database")


def _sqlite() -> Iterator[Finding]:
    version = sqlite_version()
    if may_lose_checkpoints():
        yield Finding(
            "sqlite",
            "ok",
            f"{version} can lose commits when two connections checkpoint at once; clawguard never lets them",
            "open the file with nothing but clawguard while it is in use, or get SQLite 3.51.3",
        )
    else:
        yield Finding("sqlite", "ok", version)
    if has_full_text_search():
        yield Finding("full-text search", "ok", "FTS5 is there")
    else:
        yield Finding(
            "full-text search", "fault", "this SQLite lacks FTS5", "use a Python whose SQLite has it"
        )


def _files(path: Path) -> Iterator[Finding]:
    looked = look_at_files(path)
    if looked.open_to_others:
        names = " ".join(os.fspath(each) for each in looked.open_to_others)
        yield Finding("file modes", "fault", f"others can reach {names}", f"chmod 600 {names}")
    else:
        yield Finding("file modes", "ok", "the database's files are their owner's alone")
    room = f"{looked.free // 2**20} MiB are free"
    is_full = looked.free < _LITTLE_ROOM
    yield Finding("room", "warning" if is_full else "ok", room, "make room on that disk" if is_full else None)
    if looked.write_ahead > _MUCH_AHEAD:
        yield Finding(
            "write-ahead log",
            "warning",
            f"{looked.write_ahead // 2**20} MiB have not been copied into the database",
            "look for a process that reads for very long, or was stopped in the middle of it",
        )


def _links(manager: SessionManager) -> Iterator[Finding]:
    lag = manager.events.lag()
    says = f"{lag.events} events wait for their place in its chain, the first for {lag.seconds:.0f} s"
    if lag.seconds > _LATE:
        mend = "keep a manager open with sweep_every=, or run: clawguard sweep"
        yield Finding("log", "warning", f"{says}: nobody sweeps or reads it", mend)
    else:
        yield Finding("log", "ok", says if lag.events else "every event has its place in its chain")


def _clock(manager: SessionManager) -> Iterator[Finding]:
    seq, at = manager.events.last()
    ahead = (at - SystemClock().now()) / SECOND
    if ahead > 5:
        error = ClockError("the clock stands below the log's last event")
        mend = "set the clock right; if it was ahead when that event was written, wait until it has passed"
        yield Finding("clock", "fault", f"{error.message}, by {ahead:.0f} s", mend)
    else:
        yield Finding("clock", "ok", f"not below the log's last event, {seq}")


def _keys(manager: SessionManager) -> Iterator[Finding]:
    active = manager.keys.active()
    began = active.activated_at or active.created_at
    days = (SystemClock().now() - to_microseconds(began)) // (86_400 * SECOND)
    old = days >= _OLD_KEY
    says = f"{active.algorithm}, signing for {days} days"
    yield Finding("signing key", "warning" if old else "ok", says, "clawguard keys rotate" if old else None)


def _sweeper(manager: SessionManager) -> Iterator[Finding]:
    count = manager.sessions.count_overdue(_LATE)
    if count:
        says = f"{count} sessions ended more than {_LATE} s ago without its being recorded: nobody sweeps"
        mend = "keep a manager open with sweep_every=, or run: clawguard sweep"
        yield Finding("sweeper", "warning", says, mend)
    else:
        yield Finding("sweeper", "ok", "every natural end is recorded")


def _subscribers(manager: SessionManager) -> Iterator[Finding]:
    last = manager.events.last()[0]
    for each in manager.subscribers.list():
        behind, name = last - each.position, f"subscriber {each.name}"
        if each.parked:
            mend = f"mend its receiver, then: clawguard events replay {each.name}"
            yield Finding(name, "fault", f"{each.parked} events are parked", mend)
        elif behind > _FAR_BEHIND and not each.is_at_work:
            mend = f"start what serves it, or: clawguard events forget {each.name}"
            yield Finding(name, "warning", f"{behind} events behind, and nobody is at work on it", mend)
        else:
            yield Finding(name, "ok", f"{behind} events behind")


def _index(manager: SessionManager) -> Iterator[Finding]:
    if manager.history.encryption.status().key is not None:
        yield Finding("history index", "ok", "there is none: conversations are encrypted")
        return
    try:
        found = manager.history.check_index()
    except SearchUnavailable:
        return  # what is lacking was told already
    if found.is_fine:
        yield Finding("history index", "ok", "fits the conversations")
    else:
        says = (
            f"{found.missing} entries are missing in it, {found.stray} stray"
            if found.is_whole
            else "is damaged"
        )
        yield Finding("history index", "fault", says, "clawguard history compact")
