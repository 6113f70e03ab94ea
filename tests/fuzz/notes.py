"""Notes and checkpoints as they are read: signed text that came from elsewhere."""

from __future__ import annotations

from contextlib import suppress
from functools import cache

from clawguard import InvalidArgument
from clawguard.clock import SECOND
from clawguard.events.checkpoints import read_checkpoint, sign_checkpoint
from clawguard.guard import NoteKey, NoteSigner
from tests.fuzz.base import Target, keys, mutated, text_of, ways
from tests.guard.forge import NOW

__all__ = ["NOTES"]


@cache
def _signer() -> NoteSigner:
    return NoteSigner("urn:fuzz", keys()[b"1"])


@cache
def _checkpoint() -> str:
    return sign_checkpoint(_signer(), size=7, head=bytes(32), at=NOW * SECOND).text


def _any_note(data: bytes) -> None:
    _check_note(text_of(data))


def _changed_note(data: bytes) -> None:
    _check_note(mutated(_checkpoint(), data))


def _check_note(note: str) -> None:
    """Open it: only the text that was signed comes out, whatever stands around it."""
    with suppress(InvalidArgument):
        signed = _checkpoint().rpartition("\n\n")[0] + "\n"
        assert _signer().public.open(note, argument="note") == signed, "opened a forged note"


def _any_signed_text(data: bytes) -> None:
    """Sign any text as a checkpoint: what is accepted says what it says, and again when it is written."""
    try:
        note = _signer().sign("urn:fuzz\n" + data.decode() + "\n")
    except ValueError:
        return
    with suppress(InvalidArgument):
        read = read_checkpoint(note, _signer().public)
        at = round(read.at.timestamp() * SECOND)
        written = sign_checkpoint(
            _signer(), size=read.size, head=bytes.fromhex(read.head), at=at, cut=read.cut
        )
        assert read_checkpoint(written, _signer().public) == written
        assert (written.size, written.head, written.cut) == (read.size, read.head, read.cut)


def _any_vkey(data: bytes) -> None:
    text = text_of(data)
    with suppress(InvalidArgument):
        assert str(NoteKey.from_text(text)) == text


def _note_seeds() -> list[bytes]:
    note, head = _checkpoint().encode(), b"A" * 43 + b"="
    body = b"signed:7\n" + head + b"\n2026-09-21T14:13:20.000000Z"
    return [
        b"note:" + note,
        b"changed:\x00\x09a",
        body,
        body + b"\narchive after 5 " + head + b"\nfile sha256 " + b"a" * 64,
        b"vkey:" + str(_signer().public).encode(),
    ]


NOTES = Target(
    ways("note", note=_any_note, changed=_changed_note, signed=_any_signed_text, vkey=_any_vkey), _note_seeds
)
