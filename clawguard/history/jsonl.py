"""Conversations as files: a line that says whose it is, then one message a line, each a JSON object.

Files without the first line are read as well, and messages with fields of other names keep them.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from clawguard.clock import to_microseconds
from clawguard.errors import InvalidArgument
from clawguard.history.messages import encode, read_message
from clawguard.history.records import Entry, Row, SessionMetadata
from clawguard.private_files import absolute, replacing

__all__ = ["Progress", "Read", "opened", "path_of", "write_file"]

_LONGEST_LINE = 67_108_864
_HEADER = {"agent", "created_at"}  # of these a first line has one, and of these none
_MESSAGE = {"role", "kind", "content"}
_PROGRESS_EVERY = 1_000

Progress = Callable[[int], object]


class Read:
    """Read a conversation's file line by line; `header`, `count` and `digest` are known at its end."""

    def __init__(self, file: IO[bytes], *, now: int, progress: Progress | None = None) -> None:
        self._file = file
        self._now = now
        self._progress = progress
        self._hash = hashlib.sha256()
        self.header: dict[str, Any] | None = None
        self.count = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 of what was read."""
        return self._hash.digest()

    def rows(self) -> Iterator[Row]:
        """Yield each message's columns; raise InvalidArgument, which names the first line at fault."""
        self._file.seek(0)
        number = 0
        while line := self._next():
            number += 1
            self._hash.update(line)
            row = _row(line, number, now=self._now)
            if isinstance(row, dict):
                self.header = row
            elif row is not None:
                self.count += 1
                yield row
            if self._progress is not None and number % _PROGRESS_EVERY == 0:
                self._progress(number)
        if self._progress is not None:
            self._progress(number)

    def check_unchanged(self) -> None:
        """Raise InvalidArgument where the file is another by now: what was read may be half of each."""
        self._file.seek(0)
        again = hashlib.sha256()
        while line := self._next():
            again.update(line)
        if again.digest() != self.digest:
            raise InvalidArgument("path", "was changed while it was read", hint="repeat the call")

    def _next(self) -> bytes:
        try:
            return self._file.readline(_LONGEST_LINE + 1)
        except OSError as error:
            raise _unreadable(error) from None


def path_of(path: object) -> Path:
    """Return the path of a file; raise InvalidArgument for what none can be called."""
    try:
        name = os.fsdecode(path) if isinstance(path, str | os.PathLike) else ""
    except TypeError:
        name = ""
    if not name:
        raise InvalidArgument("path", "must be the path of a file")
    if "\0" in name:
        raise InvalidArgument("path", "holds characters that no file name has")
    return absolute(Path(name), argument="path")


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a regular file to be read; raise InvalidArgument where there is none that may be."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # opening a FIFO would wait for its writer
    try:
        descriptor = os.open(path, flags)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            file = os.fdopen(descriptor, "rb")
        else:
            os.close(descriptor)
            raise InvalidArgument("path", "is not a regular file")
    except OSError as error:
        raise _unreadable(error) from None
    with file:
        yield file


def write_file(
    path: Path, metadata: SessionMetadata, entries: Iterable[Entry], *, progress: Progress | None
) -> int:
    """Write a conversation into a file, whole or not at all, and return how many messages that were.

    What was put in automatically is left out. Raises ConfigError where the file cannot be written.
    """
    count = 0
    with replacing(path, name="export") as file:
        file.write(_line(_header(metadata)))
        for entry in entries:
            if not entry.auto_injected:
                count += 1
                file.write(_line(_message(entry)))
                if progress is not None and count % _PROGRESS_EVERY == 0:
                    progress(count)
    if progress is not None:
        progress(count)
    return count


def _header(metadata: SessionMetadata) -> dict[str, Any]:
    return {
        "agent": metadata.agent_id,
        "created_by": metadata.subject,
        "created_at": metadata.created_at.isoformat(),
        "session_id": metadata.session_id,
    }


def _message(entry: Entry) -> dict[str, Any]:
    return {"at": entry.at.isoformat(), **entry.message.to_dict()}


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _row(line: bytes, number: int, *, now: int) -> Row | dict[str, Any] | None:
    """Return a line's message as its row, a first line that is none as its object, None for a blank."""
    if not line.strip():
        return None
    try:
        value = _object(line.removeprefix(codecs.BOM_UTF8) if number == 1 else line)
        if number == 1 and _HEADER & value.keys() and not _MESSAGE & value.keys():
            return value
        at = value.pop("at", None)
        value.pop("seq", None)
        return encode(read_message(value), at=now if at is None else _instant(at))
    except InvalidArgument as error:
        what = error.message.partition(": ")[2]
        raise InvalidArgument("path", f"line {number}: {what}", hint="nothing was imported") from None


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > _LONGEST_LINE:
        raise InvalidArgument("line", f"is longer than {_LONGEST_LINE} bytes")
    try:
        value = json.loads(line.decode(), object_pairs_hook=_once)
    except InvalidArgument:
        raise
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InvalidArgument("line", "is no JSON object")
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object's members; by itself the JSON module drops all but the last of those alike in name."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise InvalidArgument("line", "has a name twice in one object")
    return members


def _instant(text: object) -> int:
    try:
        return to_microseconds(datetime.fromisoformat(text if isinstance(text, str) else ""))
    except (ValueError, InvalidArgument):
        raise InvalidArgument("line", "at: must be an instant in ISO 8601 with a time zone") from None


def _unreadable(error: OSError) -> InvalidArgument:
    return InvalidArgument("path", f"cannot be read ({error.strerror})")
