"""base64url and JSON, strict: one text for one value, and nothing that two parsers could read differently."""

from __future__ import annotations

import binascii
import json
import re
from typing import Any, NoReturn

from pydantic_core import to_json

__all__ = ["STRICT", "b64decode", "b64encode", "compact_json", "parse_object"]

MAX_NESTING = 10  # the claims, the acting agent and the eight that may stand above it

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_TO_URL = bytes.maketrans(b"+/", b"-_")
_LONGEST_INTEGER = len(str(2**53))
_MARK = re.compile(r'\\.|["\[\]{}]', re.S)  # an escape as one mark: linear, whatever the text


def b64encode(data: bytes) -> bytes:
    """Return base64url without padding (RFC 7515, 2)."""
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").translate(_TO_URL)


def b64decode(text: bytes) -> bytes | None:
    """Return what a base64url text holds, or None unless it is the very text `b64encode` gives for it."""
    try:
        data = binascii.a2b_base64(text.translate(_TO_STANDARD) + b"=" * (-len(text) % 4))
    except binascii.Error:
        return None
    return data if b64encode(data) == text else None


def compact_json(value: object) -> bytes:
    """Return JSON without spaces, in UTF-8, names in the order given."""
    return to_json(value)


def parse_object(raw: bytes) -> dict[str, Any] | None:
    """Return the JSON object that the bytes hold, or None.

    Stricter than the standard library: UTF-8 only, no byte order mark, no name twice, no floats, no NaN, no
    negative number, none of more than 16 digits, and at most `MAX_NESTING` levels deep.
    """
    try:
        text = raw.decode()
        value = None if _too_deep(text) else _DECODER.decode(text)
    except ValueError:  # every refusal is one: of UTF-8, of the parser, of the hooks below
        return None
    return value if isinstance(value, dict) else None


def _too_deep(text: str) -> bool:
    """Tell before any parsing whether brackets outside of strings nest too deeply; few brackets cannot."""
    if text.count("{") + text.count("[") <= MAX_NESTING:
        return False
    depth, in_string = 0, False
    for mark in _MARK.findall(text):
        if mark == '"':
            in_string = not in_string
        elif not in_string and mark[0] != "\\":
            depth += 1 if mark in "[{" else -1
            if depth > MAX_NESTING:
                return True
    return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError
    return members


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_INTEGER or digits[0] == "-":
        raise ValueError
    return int(digits)


def _refuse(_: str) -> NoReturn:
    raise ValueError


# What no two parsers could read differently: no name twice, no NaN.
STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse)
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse
)
