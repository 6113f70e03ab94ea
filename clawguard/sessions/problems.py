"""Problem JSON of a server (RFC 9457), read back into the one tree of errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clawguard.errors import (
    ClawguardError,
    ClockError,
    ConfigError,
    DelegationRefused,
    EntryUnreadable,
    EventsArchived,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    KeyInUse,
    LimitReached,
    OutcomeUnknown,
    PolicyDenied,
    SearchUnavailable,
    SessionEnded,
    SessionNotFound,
    StoreBusy,
    StoreMoved,
    StoreUnavailable,
    StoreUpgraded,
    TokenSuperseded,
)
from clawguard.models import CAUSES

__all__ = ["error_of"]

_LONGEST = 2_048
_NEEDED = re.compile(r'scope="([a-z0-9._:* -]{1,4096})"')
_NO_SESSION = re.compile(r"no session (?P<id>\S+)")
_KEY_HELD = re.compile(r"the live session \S+ holds the key (?P<quote>['\"])(?P<key>.*)(?P=quote)")
_LIMIT = re.compile(r"(?P<agent>.+) has (?P<limit>[0-9]{1,9}) live sessions, as many as it may")


class _Fault(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    at: str = Field(max_length=128)
    message: str = Field(max_length=_LONGEST)


class _Problem(BaseModel):
    """What is read of a problem; other members are passed over (RFC 9457, 3.2)."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    code: str = Field(max_length=64)
    detail: str = Field(max_length=_LONGEST)
    errors: list[_Fault] = []
    argument: str = Field("argument", max_length=64)
    missing: list[str] = []
    cause: str = ""
    session_id: str = ""
    seq: int = 0
    until: int = 0


class _Said(NamedTuple):
    """Hold a problem, what it says and how to mend it; and the scopes that its header names."""

    problem: _Problem
    message: str
    hint: str | None
    scopes: tuple[str, ...]


def error_of(status: int, found: dict[str, Any] | None, challenge: str) -> ClawguardError | None:
    """Return the error of an answer that is a problem, as whoever is beside the store would get it.

    None for an answer that is no problem, or one that nobody beside the store could have. `challenge` is its
    WWW-Authenticate.
    """
    try:
        problem = _Problem.model_validate(found)
    except ValidationError:
        return None
    message, _, hint = _plain(problem.detail).partition("; ")
    scopes = _NEEDED.search(challenge)
    said = _Said(problem, message, hint or None, tuple(scopes[1].split()) if scopes else ())
    if status == 401:
        return InvalidToken(hint="the caller's own is not, at this server: see token= and CLAWGUARD_TOKEN")
    make = _MADE.get(problem.code)
    return None if make is None else make(said)


def _plain(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


def _invalid(said: _Said) -> ClawguardError:
    argument = _plain(said.problem.argument)
    return InvalidArgument(argument, said.message.removeprefix(f"{argument}: "), hint=said.hint)


def _malformed(said: _Said) -> ClawguardError:
    """Return the first fault of a request that was not as it must be, by its member's name."""
    if not said.problem.errors:
        return InvalidArgument("request", said.message, hint=said.hint)
    first = said.problem.errors[0]
    names = [each for each in _plain(first.at).split(".") if each and not each.isdigit()]
    return InvalidArgument(names[-1] if names else "request", _plain(first.message))


def _lacking(said: _Said) -> ClawguardError:
    """Return which scopes are lacking: of what was asked for, or for asking at all."""
    missing = tuple(map(_plain, said.problem.missing)) or said.scopes
    agent = said.message.partition(" lacks ")[0] if said.problem.missing else "the caller"
    return InsufficientScope(agent, missing, missing)


def _denied(said: _Said) -> ClawguardError:
    action, _, reason = said.message.partition(" is denied: ")
    return PolicyDenied(action, reason)


def _ended(said: _Said) -> ClawguardError:
    cause = said.problem.cause if said.problem.cause in CAUSES else "revoked"
    reason = said.message.removeprefix(f"session ended: {cause}").strip(" ()")
    return SessionEnded(cause, reason or None)


def _unknown(said: _Said) -> ClawguardError:
    found = _NO_SESSION.match(said.message)
    return SessionNotFound(found["id"] if found else "of this id")


def _unreadable(said: _Said) -> ClawguardError:
    why = said.message.partition(" cannot be read: ")[2]
    return EntryUnreadable(_plain(said.problem.session_id), said.problem.seq, why)


def _taken(said: _Said) -> ClawguardError:
    found = _KEY_HELD.match(said.message)
    key = re.sub(r"\\(.)", r"\1", found["key"]) if found else ""  # as `repr` wrote it
    return KeyInUse(key, _plain(said.problem.session_id))


def _limited(said: _Said) -> ClawguardError:
    found = _LIMIT.fullmatch(said.message)
    return LimitReached(found["agent"] if found else "the agent", int(found["limit"]) if found else 0)


def _as_said(kind: type[ClawguardError]) -> Callable[[_Said], ClawguardError]:
    return lambda said: kind(said.message, hint=said.hint)


_MADE: dict[str, Callable[[_Said], ClawguardError]] = {
    InvalidArgument.code: _invalid,
    "invalid_request": _malformed,
    "malformed_body": _malformed,
    "body_too_large": _malformed,
    EntryUnreadable.code: _unreadable,
    EventsArchived.code: lambda said: EventsArchived(said.problem.until),
    InsufficientScope.code: _lacking,
    PolicyDenied.code: _denied,
    SessionEnded.code: _ended,
    SessionNotFound.code: _unknown,
    TokenSuperseded.code: lambda _: TokenSuperseded(),
    KeyInUse.code: _taken,
    LimitReached.code: _limited,
    DelegationRefused.code: lambda said: DelegationRefused(
        said.message, missing=tuple(map(_plain, said.problem.missing)), hint=said.hint
    ),
    **{
        kind.code: _as_said(kind)
        for kind in (
            ClockError,
            ConfigError,
            OutcomeUnknown,
            SearchUnavailable,
            StoreBusy,
            StoreMoved,
            StoreUnavailable,
            StoreUpgraded,
        )
    },
}
