"""Checkpoints: what the log was at a moment, signed, to be kept elsewhere (c2sp.org/tlog-checkpoint).

In the place of a Merkle root stands the head of our linear chain: whoever checks a checkpoint walks the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from clawguard.clock import to_datetime, to_microseconds
from clawguard.errors import InvalidArgument
from clawguard.guard.notes import NoteKey, NoteSigner, decode_base64, encode_base64, note_name

__all__ = ["Checkpoint", "Cut", "origin_of", "read_checkpoint", "sign_checkpoint"]

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_HASH_BYTES = 32
_LEAST_LINES = 4
_ARCHIVE = re.compile(r"archive after ([0-9]+) ([A-Za-z0-9+/=]+)", re.ASCII)
_FILE = re.compile(r"file sha256 ([0-9a-f]{64})", re.ASCII)


class Cut(NamedTuple):
    """Hold what a note says of an archive: after which entry and head it begins, and its file's SHA-256."""

    after: int
    head: bytes
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Hold what a signed checkpoint says: at `at` the log `origin` had `size` entries and ended in `head`.

    `text` (also `str`) is the signed note: this is what to keep elsewhere, and what proves anything.
    """

    text: str = field(repr=False)
    origin: str
    size: int
    head: str
    at: datetime
    cut: Cut | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.text


def origin_of(issuer: str) -> str:
    """Return the first line of every checkpoint of a database, which is its key's name too."""
    return note_name(issuer)


def sign_checkpoint(
    signer: NoteSigner, *, size: int, head: bytes, at: int, cut: Cut | None = None
) -> Checkpoint:
    """Return a signed checkpoint; `at` is in microseconds."""
    time = to_datetime(at)
    lines = [signer.public.name, str(size), encode_base64(head), _time_line(time)]
    if cut is not None:
        lines.append(f"archive after {cut.after} {encode_base64(cut.head)}")
        lines += [] if cut.sha256 is None else [f"file sha256 {cut.sha256}"]
    text = signer.sign("".join(f"{line}\n" for line in lines))
    return Checkpoint(text, signer.public.name, size, head.hex(), time, cut)


def read_checkpoint(note: object, key: NoteKey, *, argument: str = "checkpoint") -> Checkpoint:
    """Return what a checkpoint says that the key has signed.

    Raises InvalidArgument for one of another log, one that was altered or forged, and any other text.
    """
    given = note.text if isinstance(note, Checkpoint) else note
    if isinstance(given, str) and (origin := given.partition("\n")[0]) != key.name:
        raise InvalidArgument(argument, f"is of another log, {origin[:255]!r}, and not of {key.name!r}")
    lines = key.open(given, argument=argument).split("\n")[:-1]  # type: ignore[arg-type]  # open looks
    _, size, head, at, *more = lines if len(lines) >= _LEAST_LINES else [""] * _LEAST_LINES
    digest, time = decode_base64(head), _read_time(at)
    if not _SIZE.fullmatch(size) or int(size) >= 2**63 or digest is None or len(digest) != _HASH_BYTES:
        raise InvalidArgument(argument, "is signed, but no checkpoint")
    if time is None or not all(more):
        raise InvalidArgument(argument, "is signed, but no checkpoint of this form")
    return Checkpoint(str(given), key.name, int(size), digest.hex(), time, _read_cut(more))


def _time_line(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _read_time(line: str) -> datetime | None:
    """Return the time of a line (RFC 3339, UTC, with microseconds)."""
    try:
        at = datetime.fromisoformat(line)
        to_microseconds(at)
    except ValueError:
        return None
    return at if _time_line(at) == line else None


def _read_cut(lines: list[str]) -> Cut | None:
    found = _ARCHIVE.fullmatch(lines[0]) if lines else None
    head = decode_base64(found[2]) if found else None
    if found is None or head is None:
        return None
    file = _FILE.fullmatch(lines[1]) if len(lines) > 1 else None
    return Cut(int(found[1]), head, file[1] if file else None)
