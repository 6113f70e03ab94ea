"""The tree of errors: codes, texts, and that each survives a pickle."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

from clawguard import errors
from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    ConfigError,
    DelegationRefused,
    EntryUnreadable,
    EventRefused,
    EventsArchived,
    InsufficientScope,
    InvalidArgument,
    InvalidProof,
    InvalidToken,
    KeyInUse,
    NoSession,
    ReceiverFailed,
    ReceiverUnavailable,
    SearchUnavailable,
    SessionEnded,
    SessionNotFound,
    StoreBusy,
    StoreUnavailable,
    TokenSuperseded,
    TurnLost,
    TurnQueueFull,
    TurnTimeout,
)

CLASSES = [getattr(errors, name) for name in errors.__all__]
EXAMPLES: list[ClawguardError] = [
    ClawguardError("broken"),
    InvalidToken(),
    InvalidProof(),
    TokenSuperseded(),
    SessionEnded("revoked", "leaked"),
    NoSession(),
    InsufficientScope("planner", ("a", "b"), ("b",)),
    DelegationRefused("too deep", missing=("a",), hint="ask for less"),
    SessionNotFound("0190"),
    KeyInUse("telegram", "0190"),
    InvalidArgument("ttl", "must be positive", hint="try 900"),
    EventsArchived(7),
    ConfigError("wrong mode", hint="chmod 600"),
    StoreBusy("locked"),
    EventRefused("answered 410"),
    ReceiverFailed("answered 500"),
    ReceiverUnavailable("does not answer"),
    TurnQueueFull("0190", 8),
    TurnTimeout("0190"),
    TurnLost("0190", "0191"),
    EntryUnreadable("0190", 7, "it was altered"),
    SearchUnavailable("there is no index", hint="encrypt nothing"),
]


def test_every_error_is_exported_documented_and_of_the_tree() -> None:
    defined = [
        each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__
    ]
    assert set(defined) == set(CLASSES)
    assert all(issubclass(each, ClawguardError) and each.__doc__ for each in CLASSES)


def test_every_error_has_a_code_of_its_own() -> None:
    codes = [each.code for each in CLASSES]
    assert len(set(codes)) == len(codes)
    assert all(code.replace("_", "").isalpha() and code.islower() for code in codes)


def test_the_docstring_draws_every_error() -> None:
    assert errors.__doc__ is not None
    assert all(each.__name__ in errors.__doc__ for each in CLASSES)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: error.code)
@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))]
)
def test_an_error_survives_copies_and_pickles(error: ClawguardError, duplicate: Any) -> None:
    again = duplicate(error)
    assert type(again) is type(error)
    assert again.__dict__ == error.__dict__
    assert (str(again), again.args) == (str(error), error.args)


def test_the_text_is_the_message_and_the_hint() -> None:
    assert str(ConfigError("wrong mode", hint="chmod 600 key")) == "wrong mode; chmod 600 key"
    assert str(ConfigError("wrong mode")) == "wrong mode"


def test_texts() -> None:
    assert str(InvalidToken()) == "the token is not valid; a token is the text in `IssuedSession.token`"
    assert str(SessionEnded("revoked")) == "session ended: revoked"
    assert str(SessionEnded("revoked", "leaked")) == "session ended: revoked (leaked)"
    assert (
        str(InsufficientScope("summarizer", ("mail:send",), ("mail:send",))) == "summarizer lacks mail:send"
    )
    assert str(InvalidArgument("ttl", "must be positive")) == "ttl: must be positive"


def test_who_catches_what() -> None:
    for denied in (InvalidToken, TokenSuperseded, SessionEnded, NoSession, InsufficientScope):
        assert issubclass(denied, AccessDenied)
    for other in (DelegationRefused, SessionNotFound, KeyInUse, ConfigError, StoreUnavailable):
        assert not issubclass(other, AccessDenied)
    assert issubclass(InvalidArgument, ValueError)
    assert issubclass(StoreBusy, StoreUnavailable)


def test_an_invalid_token_takes_no_reason() -> None:
    with pytest.raises(TypeError):
        InvalidToken("signature")  # type: ignore[call-arg]
