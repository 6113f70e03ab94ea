"""The hash chain: each entry's hash covers its text and the hash before it. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic_core import to_json

from clawguard.errors import InvalidArgument

__all__ = ["Fault", "FaultKind", "Link", "Place", "Verification", "canonical", "genesis", "link", "walk"]

_SAFE_INTEGER = 2**53


def genesis(issuer: str) -> bytes:
    """Return the hash before the first entry: another database's log does not continue this one's."""
    return hashlib.sha256(b"clawguard log 1\n" + issuer.encode()).digest()


def link(previous: bytes, text: bytes) -> bytes:
    """Return SHA-256 over the hash before and the entry's text in UTF-8."""
    return hashlib.sha256(previous + text).digest()


def canonical(body: Mapping[str, Any]) -> str:
    """Return the RFC 8785 text of a JSON object.

    Floats and integers beyond 2^53 are refused (InvalidArgument): their canonical form differs from
    Python's, and no event of ours needs them.
    """
    return to_json(_in_order(body)).decode()


def _sorted(value: Any) -> Any:
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -_SAFE_INTEGER < value < _SAFE_INTEGER:
            raise InvalidArgument("data", "holds an integer beyond 2^53")
        return value
    if isinstance(value, dict):
        return _in_order(value)
    if isinstance(value, list | tuple):
        return [_sorted(each) for each in value]
    raise InvalidArgument(
        "data", f"must hold strings, integers, lists and objects, not {type(value).__name__}"
    )


def _in_order(body: Mapping[str, Any]) -> dict[str, Any]:
    """Sort by UTF-16 code units (RFC 8785, 3.2.3); for ASCII, which ours are, that is the plain order."""
    names = sorted(body) if "".join(body).isascii() else sorted(body, key=_utf16)
    return {
        name: value if type(value := body[name]) is str else _sorted(value)  # most are plain strings
        for name in names
    }


def _utf16(name: str) -> bytes:
    return name.encode("utf-16-be")


Link = tuple[int, bytes, bytes, int]
"""An entry as it stands: seq, hash, text, and whether its columns agree with its text."""


FaultKind = Literal["gap", "genesis", "link", "columns", "rewritten", "tail", "cut", "unsigned"]


class Fault(NamedTuple):
    """Name the first entry that does not hold, and what is wrong with it."""

    seq: int
    kind: FaultKind

    def __str__(self) -> str:
        return f"entry {self.seq}: {_SENTENCES[self.kind]}"


_SENTENCES = {
    "gap": "an entry before it is missing",
    "genesis": "it does not begin this database's log",
    "link": "its text or the hash before it was changed",
    "columns": "its columns do not say what its text says",
    "rewritten": "it is not what was signed: it or one before was changed, and all later hashes made anew",
    "tail": "it is missing, though it was signed",
    "cut": "no note of the log key says that what came before it was archived",
    "unsigned": "it stands behind the last one that was signed",
}


@dataclass(frozen=True, slots=True)
class Verification:
    """Report a walk along the log: how many entries hold, the head they end in, the first fault if any.

    True when there is no fault. `head` is the last good entry's hash in hex. Of the `count`, the first
    `after` are archived and were not walked.
    """

    count: int
    head: str
    fault: Fault | None
    after: int = 0

    def __bool__(self) -> bool:
        return self.fault is None


class Place(NamedTuple):
    """Hold a place on the chain: an entry's number and hash; zero and the genesis before the first."""

    seq: int
    head: bytes


def walk(links: Iterable[Link], *, start: Place, goals: Mapping[int, bytes] | None = None) -> Verification:
    """Follow the chain from a place to its end or the first fault.

    `goals` are hashes that are known from elsewhere, by the number of their entry: the chain must pass each,
    and none stands before the start.
    """
    after, head = start
    goals = goals or {}
    if goals.get(after, head) != head:
        return Verification(after, head.hex(), Fault(after, "rewritten"), after)
    expected = after + 1
    for seq, digest, text, agrees in links:
        fault = _fault(seq, digest, text, agrees, head=head, expected=expected)
        if fault is None and seq in goals and digest != goals[seq]:
            fault = "rewritten"
        if fault is not None:
            return Verification(expected - 1, head.hex(), Fault(seq, fault), after)
        head, expected = digest, seq + 1
    missing = Fault(expected, "tail") if expected <= max(goals, default=0) else None
    return Verification(expected - 1, head.hex(), missing, after)


def _fault(
    seq: int, digest: bytes, text: bytes, agrees: int, *, head: bytes, expected: int
) -> FaultKind | None:
    if seq != expected:
        return "gap"
    if link(head, text) != digest:
        return "genesis" if seq == 1 else "link"
    return None if agrees else "columns"
