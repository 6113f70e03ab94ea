"""Archives: a stretch of the log in a file of its own, one event a line, which proves itself.

The first line is the header: which entries, the hash before them, and a checkpoint of the log at the last,
signed with the log key. Every other line holds an entry's number, its hash, and its text as it was hashed.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

from clawguard.checks import check_progress
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.events.chain import Fault, Link, Place, Verification, canonical, genesis, walk
from clawguard.events.checkpoints import Checkpoint, origin_of, read_checkpoint
from clawguard.guard import NoteKey
from clawguard.private_files import sync_folder

__all__ = ["Archive", "SignedCut", "cut_of", "take_in_place", "verify_archive", "write_aside"]

_FORMAT = "clawguard archive 1"
_LONGEST_LINE = 1_048_576
_PROGRESS_EVERY = 1_000
_LINE = re.compile(rb'\{"seq":([0-9]{1,19}),"hash":"([0-9a-f]{64})","event":(\{.*\})\}\n', re.S)
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Archive:
    """Report an archive: entries `first` to `last`, how many, and the SHA-256 of its file.

    The digest is None where no file was written: in a dry run, and when there was nothing to archive.
    """

    first: int
    last: int
    count: int
    sha256: str | None


class SignedCut(NamedTuple):
    """Hold what a `log.archived` event says: where the log was cut, the file's SHA-256, the signed note."""

    place: Place
    sha256: str
    note: str

    def holds(self, key: NoteKey) -> bool:
        """Tell whether the note is the key's and says the same."""
        try:
            signed = read_checkpoint(self.note, key)
        except InvalidArgument:
            return False
        same = (signed.size, signed.head) == (self.place.seq, self.place.head.hex())
        return same and signed.cut is not None and signed.cut.sha256 == self.sha256


def cut_of(body: str) -> SignedCut | None:
    """Return the cut that the text of a `log.archived` event tells of, or None where it tells of none."""
    try:
        data = json.loads(body)["data"]
        seq, head, sha256, note = (data[name] for name in ("seq", "hash", "sha256", "note"))
    except (ValueError, KeyError, TypeError):
        return None
    fits = isinstance(seq, int) and seq > 0 and isinstance(head, str) and _HEX.fullmatch(head)
    return SignedCut(Place(seq, bytes.fromhex(head)), str(sha256), str(note)) if fits else None


def write_aside(to: Path, *, issuer: str, start: Place, signed: Checkpoint, links: Iterable[Link]) -> Path:
    """Write an archive beside its place, synced, and return where it is; it must still be `take_in_place`.

    Raises ConfigError where that cannot be, and InvalidArgument for entries that do not hold.
    """
    header = {
        "format": _FORMAT,
        "issuer": issuer,
        "after": start.seq,
        "head": start.head.hex(),
        "count": signed.size - start.seq,
        "checkpoint": signed.text,
    }
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{to.name}.", suffix=".new", dir=to.parent)  # 0600
    except OSError as error:
        raise _unwritable(to, error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(canonical(header).encode() + b"\n")
            goals = {signed.size: bytes.fromhex(signed.head)}
            found = walk(_copied(links, file), start=start, goals=goals)
            file.flush()
            os.fsync(file.fileno())
        if found.fault is not None:
            raise InvalidArgument("before", f"nothing is archived of a log that does not hold: {found.fault}")
    except OSError as error:
        Path(name).unlink()
        raise _unwritable(to, error) from None
    except BaseException:
        Path(name).unlink()
        raise
    return Path(name)


def take_in_place(aside: Path, to: Path) -> None:
    """Give a file its name, unless that is taken, and make this survive power loss."""
    try:
        os.link(aside, to)  # unlike a rename, it replaces nothing
        sync_folder(to.parent)
    except FileExistsError:
        raise InvalidArgument("to", "exists already", hint="give each archive a file of its own") from None
    except OSError as error:
        with suppress(OSError):
            to.unlink()
        raise _unwritable(to, error) from None
    finally:
        aside.unlink(missing_ok=True)


def verify_archive(
    path: str | os.PathLike[str],
    *,
    key: str | NoteKey,
    checkpoint: str | Checkpoint | None = None,
    progress: Callable[[int], None] | None = None,
) -> Verification:
    """Walk an archive by itself and report the first fault; `key` is the vkey of the log's key.

    With a checkpoint that was kept elsewhere the archive must hold that very head at that size. Raises
    InvalidArgument for a file that is no archive of that log, or a checkpoint beyond it.
    """
    check_progress(progress)
    trusted = key if isinstance(key, NoteKey) else NoteKey.from_text(key)
    try:
        with Path(path).open("rb") as file:
            start, signed = _read_header(file.readline(_LONGEST_LINE), trusted)
            goals = {signed.size: bytes.fromhex(signed.head)}
            if checkpoint is not None:
                goals |= _goal(read_checkpoint(checkpoint, trusted), start=start, end=signed.size)
            found = walk(_lines(file, start.seq, progress), start=start, goals=goals)
    except OSError as error:
        raise InvalidArgument("path", f"cannot be read ({error.strerror})") from None
    if found and found.count > signed.size:
        return Verification(signed.size, signed.head, Fault(signed.size + 1, "unsigned"), start.seq)
    return found


def _goal(wanted: Checkpoint, *, start: Place, end: int) -> dict[int, bytes]:
    if not start.seq <= wanted.size <= end:
        said = f"is of the log at {wanted.size}, and the archive goes from {start.seq + 1} to {end}"
        raise InvalidArgument("checkpoint", said)
    return {wanted.size: bytes.fromhex(wanted.head)}


def _read_header(line: bytes, key: NoteKey) -> tuple[Place, Checkpoint]:
    """Return where an archive begins and the checkpoint at its end; all that a header says is signed."""
    try:
        header: Any = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        raise InvalidArgument("path", "is no archive of a log")
    signed = read_checkpoint(header.get("checkpoint"), key, argument="path")
    issuer, cut = header.get("issuer"), signed.cut
    if cut is None or not isinstance(issuer, str) or origin_of(issuer) != key.name:
        raise InvalidArgument("path", "has a header that was changed")
    told = {"after": cut.after, "head": cut.head.hex(), "count": signed.size - cut.after}
    if any(header.get(name) != value for name, value in told.items()):
        raise InvalidArgument("path", "has a header that was changed")
    if cut.after == 0 and cut.head != genesis(issuer):
        raise InvalidArgument("path", "does not begin this log")
    return Place(cut.after, cut.head), signed


def _copied(links: Iterable[Link], file: IO[bytes]) -> Iterator[Link]:
    for each in links:
        seq, digest, text, _ = each
        file.write(b'{"seq":%d,"hash":"%s","event":%s}\n' % (seq, digest.hex().encode(), text))
        yield each


def _lines(file: IO[bytes], after: int, progress: Callable[[int], None] | None) -> Iterator[Link]:
    """Read the entries; a line that is none is given as one that cannot hold."""
    expected = after
    while line := file.readline(_LONGEST_LINE):
        expected += 1
        found = _LINE.fullmatch(line)
        entry = (int(found[1]), bytes.fromhex(found[2].decode()), found[3], 1) if found else None
        yield entry or (expected, b"", b"", 0)
        if progress is not None and expected % _PROGRESS_EVERY == 0:
            progress(expected)
    if progress is not None:
        progress(expected)


def _unwritable(to: Path, error: OSError) -> ConfigError:
    return ConfigError(f"the archive {to} cannot be written ({error.strerror})")
