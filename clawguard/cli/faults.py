"""What went wrong, for people and scripts: a line, a hint, an exit code; no secret, no traceback."""

from __future__ import annotations

import json
import re
import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import Final

from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ClockError,
    ConfigError,
    DelegationRefused,
    EntryUnreadable,
    InvalidArgument,
    KeyInUse,
    LimitReached,
    OutcomeUnknown,
    SearchUnavailable,
    SessionNotFound,
    StoreMoved,
    StoreUnavailable,
    StoreUpgraded,
)

__all__ = ["MEANINGS", "Exit", "exit_of", "redacted", "tell", "tell_unexpected"]


class Exit(IntEnum):
    """Name the exit codes; a script may rely on them."""

    OK = 0
    FAULT = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNAVAILABLE = 5
    CONFIG = 6
    FAILED = 7
    UNKNOWN = 8
    INTERRUPTED = 130
    BROKEN_PIPE = 141


MEANINGS: Final = {
    Exit.OK: "done",
    Exit.FAULT: "something that should not happen, or a demo that failed",
    Exit.USAGE: "not understood: an option or value that will not do; nothing was changed",
    Exit.REFUSED: "refused: a token that is not active, a scope that it lacks, a key in use, a limit reached",
    Exit.NOT_FOUND: "no such session",
    Exit.UNAVAILABLE: "the database did not answer, or is busy; nothing was changed, so repeat it",
    Exit.CONFIG: "a file, a mode, a key or a setting is not as it must be",
    Exit.FAILED: "looked at, and found wrong: a log, a database, a checkup",
    Exit.UNKNOWN: "it may or may not have happened: repeat the command as it was",
    Exit.INTERRUPTED: "interrupted",
    Exit.BROKEN_PIPE: "whoever read the output went away",
}
_CODES: Final = (
    (OutcomeUnknown, Exit.UNKNOWN),
    ((StoreUpgraded, StoreMoved), Exit.CONFIG),
    ((StoreUnavailable, ClockError), Exit.UNAVAILABLE),
    (SessionNotFound, Exit.NOT_FOUND),
    (InvalidArgument, Exit.USAGE),
    ((ConfigError, SearchUnavailable), Exit.CONFIG),
    (EntryUnreadable, Exit.FAILED),
    ((AccessDenied, DelegationRefused, KeyInUse, LimitReached), Exit.REFUSED),
)
_TOKENS = re.compile(r"eyJ[\w-]{6,}(?:\.[\w-]*){1,2}|cgr1_[\w-]+")


def exit_of(error: ClawguardError) -> Exit:
    """Return the exit code that an error stands for."""
    return next((code for kinds, code in _CODES if isinstance(error, kinds)), Exit.FAULT)


def redacted(text: str) -> str:
    """Return a text without what has the form of a token, and without control characters."""
    clean = _TOKENS.sub("(a token)", text)
    return "".join(each if each.isprintable() else " " for each in clean)


def tell(message: str, *, code: str, hint: str | None, as_json: bool) -> None:
    """Write what went wrong to standard error: a line and a hint, or one JSON object."""
    message, hint = redacted(message), None if hint is None else redacted(hint)
    if as_json:
        print(json.dumps({"error": {"code": code, "message": message, "hint": hint}}), file=sys.stderr)
        return
    print(f"clawguard: {message}", file=sys.stderr)
    if hint:
        print(f"  hint: {hint}", file=sys.stderr)


def tell_unexpected(error: Exception, *, as_json: bool) -> None:
    """Tell of an error that is none of ours by its type and place: its text might hold anything."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere"
    hint = "this should not happen: report it with this line and the command, without its secrets"
    tell(f"{type(error).__name__} at {place}", code="unexpected", hint=hint, as_json=as_json)
