"""What comes from outside, checked: text ids, metadata, callbacks. Pure functions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import TypeGuard

from clawguard.errors import InvalidArgument

__all__ = [
    "check_flag",
    "check_json",
    "check_metadata",
    "check_progress",
    "check_text",
    "holds_token",
    "is_integer",
    "is_text",
    "is_token",
]

_TOKEN = r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+|cgr1_[A-Za-z0-9_-]{8,}"
_MAX_TEXT = 255
_MAX_METADATA_BYTES = 16_384
_MAX_METADATA_DEPTH = 32


def is_text(value: object) -> TypeGuard[str]:
    """Tell whether a value is a text id: 1 to 255 printable characters."""
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()


def is_integer(value: object, *, least: int, most: float = math.inf) -> TypeGuard[int]:
    """Tell whether a value is an integer within bounds; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def check_text(value: object, *, argument: str) -> str:
    """Return a text id: 1 to 255 printable characters; raise InvalidArgument for anything else."""
    if not isinstance(value, str):
        raise InvalidArgument(argument, f"must be a string, not {type(value).__name__}")
    if not is_text(value):
        raise InvalidArgument(argument, f"must be 1 to {_MAX_TEXT} printable characters")
    return value


def is_token(value: object) -> bool:
    """Tell whether a value has the form of a token or a refresh token, which no id may have."""
    if not isinstance(value, str):
        return False
    return value.startswith("cgr1_") or (value.startswith("eyJ") and value.count(".") == 2)


def holds_token(text: str) -> bool:
    """Tell whether a text has something in it of the form of a token or a refresh token."""
    return is_token(text) or re.search(_TOKEN, text) is not None


def check_flag(value: object, *, argument: str) -> None:
    """Raise InvalidArgument for what is neither True nor False."""
    if not isinstance(value, bool):
        raise InvalidArgument(argument, "must be True or False")


def check_progress(progress: object) -> None:
    """Raise InvalidArgument for a progress callback that could not be called, before any work is done."""
    if progress is not None and not callable(progress):
        raise InvalidArgument("progress", "must be callable with a number")


def check_metadata(value: object, *, argument: str = "metadata") -> str:
    """Return a JSON object as text: at most 16 KiB, 32 levels deep, and no token in it, for it is shown.

    Raises InvalidArgument otherwise.
    """
    if value is None:
        return "{}"
    text = check_json(value, argument=argument, longest=_MAX_METADATA_BYTES, deepest=_MAX_METADATA_DEPTH)
    if holds_token(text):
        raise InvalidArgument(argument, "holds a token, which is kept nowhere", hint="keep a session's id")
    return text


def check_json(value: object, *, argument: str, longest: int, deepest: int) -> str:
    """Return a JSON object as text of at most so many bytes and levels; raise InvalidArgument otherwise."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise InvalidArgument(argument, "must be a JSON object: a dict with string keys")
    try:
        _check_json(value, deepest)
        text = json.dumps(dict(value), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidArgument(argument, "holds a lone surrogate, which no UTF-8 text has") from None
    except (TypeError, ValueError, RecursionError):
        raise InvalidArgument(
            argument, f"must hold JSON values only, at most {deepest} levels deep"
        ) from None
    if size > longest:
        raise InvalidArgument(argument, f"must be at most {longest} bytes as JSON")
    return text


def _check_json(value: object, depth: int) -> None:
    """Raise ValueError for nesting beyond `depth`, TypeError for keys that JSON would turn into text."""
    if depth < 0:
        raise ValueError
    if isinstance(value, Mapping):
        for name, each in value.items():
            if not isinstance(name, str):
                raise TypeError
            _check_json(each, depth - 1)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_json(each, depth - 1)
