"""Signed notes and checkpoints, read by the letter of c2sp.org/signed-note and c2sp.org/tlog-checkpoint.

Written from the two pages alone: nothing of the library is used, so that both must be right to agree.
"""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

EM_DASH = b"\xe2\x80\x94"


class Vkey(NamedTuple):
    name: str
    key_id: bytes
    public: bytes


class Note(NamedTuple):
    origin: str
    size: int
    root: bytes
    extensions: list[str]


def key_id(name: str, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\x0a" + b"\x01" + public).digest()[:4]


def vkey_of(name: str, public: bytes) -> str:
    return f"{name}+{key_id(name, public).hex()}+{base64.b64encode(bytes([1]) + public).decode()}"


def read_vkey(text: str) -> Vkey:
    name, hexed, encoded = text.split("+", 2)
    data = base64.b64decode(encoded, validate=True)
    assert data[0] == 1
    assert len(data) == 33
    assert hexed == key_id(name, data[1:]).hex()
    return Vkey(name, bytes.fromhex(hexed), data[1:])


def open_note(note: bytes, vkey: Vkey) -> bytes:
    """Return the signed text; raise InvalidSignature or AssertionError."""
    split = note.rindex(b"\n\n")
    text, lines = note[: split + 1], note[split + 2 :].split(b"\n")
    assert lines.pop() == b""
    verified = 0
    for line in lines:
        dash, name, encoded = line.split(b" ")
        assert dash == EM_DASH
        data = base64.b64decode(encoded, validate=True)
        if (name.decode(), data[:4]) == (vkey.name, vkey.key_id):
            Ed25519PublicKey.from_public_bytes(vkey.public).verify(data[4:], text)
            verified += 1
    assert verified, "no signature of the known key"
    return text


def read_note(note: str, vkey: str) -> Note:
    text = open_note(note.encode(), read_vkey(vkey)).decode()
    assert text.endswith("\n")
    origin, size, root, *extensions = text[:-1].split("\n")
    assert str(int(size)) == size
    assert all(extensions)
    assert len(base64.b64decode(root, validate=True)) == 32
    return Note(origin, int(size), base64.b64decode(root), extensions)


def sign(name: str, text: str, key: Ed25519PrivateKey) -> str:
    """Return a note by anybody's key."""
    signature = key_id(name, key.public_key().public_bytes_raw()) + key.sign(text.encode())
    return f"{text}\n\u2014 {name} {base64.b64encode(signature).decode()}\n"


__all__ = ["InvalidSignature", "Note", "open_note", "read_note", "read_vkey", "sign", "vkey_of"]
