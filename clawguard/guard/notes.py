"""Signed notes (c2sp.org/signed-note): text under Ed25519 signatures, and the keys that make and check them.

A note is the text, a blank line, and a line for each signature: an em dash, the key's name, and base64 of the
key's 4-byte id and the signature. What is signed is the text with its last newline.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from typing import NoReturn

from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.encoding import b64decode, b64encode
from clawguard.guard.keys import SigningKey, VerifyingKey

__all__ = ["NoteKey", "NoteSigner", "decode_base64", "encode_base64", "note_name"]

_ED25519 = b"\x01"  # the signature type
_ID_BYTES = 4
_KEY_BYTES = 32
_LONGEST = 262_144  # room for far more than the 16 signatures that must be taken
_MOST_SIGNATURES = 100
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_VKEY_HASH = re.compile(r"[0-9a-f]{8}", re.ASCII)
_UNUSABLE = re.compile(r"[%+ ]|[^\x21-\x7e]")


def encode_base64(data: bytes) -> str:
    """Return standard base64 (RFC 4648, 4)."""
    return binascii.b2a_base64(data, newline=False).decode()


def decode_base64(text: str) -> bytes | None:
    """Return what a standard base64 text holds, or None unless it is the very text for it."""
    try:
        data = binascii.a2b_base64(text.encode())
    except (binascii.Error, UnicodeError):
        return None
    return data if encode_base64(data) == text else None


def note_name(text: str) -> str:
    """Return a text as a key's name, without spaces and `+`; different texts have different names."""
    return _UNUSABLE.sub(lambda each: "".join(f"%{byte:02X}" for byte in each[0].encode()), text)


class NoteKey:
    """Check notes of one key: its name and its public half. Make it with `from_text`."""

    __slots__ = ("_id", "_key", "_name", "_public")

    def __init__(self, name: str, key: VerifyingKey) -> None:
        if key.algorithm != "EdDSA":
            raise ConfigError("a key for notes must be an Ed25519 key")
        public = b64decode(key.jwk()["x"].encode()) or b""
        self._name = name
        self._key = key
        self._public = _ED25519 + public
        self._id = hashlib.sha256(name.encode() + b"\n" + self._public).digest()[:_ID_BYTES]

    @classmethod
    def from_text(cls, text: object, /, *, argument: str = "key") -> NoteKey:
        """Return the key of a vkey, `name+hash+base64`; raise InvalidArgument for anything else."""
        parts = text.split("+", 2) if isinstance(text, str) and len(text) < _LONGEST else []
        data = decode_base64(parts[2]) if len(parts) == 3 else None
        if data is None or data[:1] != _ED25519 or len(data) != 1 + _KEY_BYTES or not _is_name(parts[0]):
            raise InvalidArgument(argument, "must be a verifier's key: name+hash+base64, of Ed25519")
        jwk = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": b64encode(data[1:]).decode()}
        try:
            key = cls(parts[0], VerifyingKey.from_jwk(jwk))
        except ConfigError as error:
            raise InvalidArgument(argument, f"holds a key that is refused: {error.message}") from None
        if not _VKEY_HASH.fullmatch(parts[1]) or key._id.hex() != parts[1]:
            raise InvalidArgument(argument, "has a hash that is not that of its name and key")
        return key

    @property
    def name(self) -> str:
        """The name that its signatures go by."""
        return self._name

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""
        return self._key.kid

    def __str__(self) -> str:
        return f"{self._name}+{self._id.hex()}+{encode_base64(self._public)}"

    def __repr__(self) -> str:
        return f"NoteKey({str(self)!r})"

    def open(self, note: str, *, argument: str) -> str:
        """Return the text of a note that this key signed; the signatures of other keys are passed over.

        Raises InvalidArgument for another form, a signature of this key that does not hold, and none of it.
        """
        text, signatures = _take_apart(note, argument)
        mine = [data[_ID_BYTES:] for name, data in signatures if (name, data[:_ID_BYTES]) == self._signs_as]
        if not mine:
            raise InvalidArgument(argument, "is not signed with the key of this log")
        if not all(self._key.verify(text.encode(), each) for each in mine):
            raise InvalidArgument(argument, "was changed after it was signed, or its signature is forged")
        return text

    @property
    def _signs_as(self) -> tuple[str, bytes]:
        return self._name, self._id


class NoteSigner:
    """Sign notes; the private key is left out of the repr and refuses pickling."""

    __slots__ = ("_public", "_signing")

    def __init__(self, name: str, key: SigningKey) -> None:
        self._signing = key
        self._public = NoteKey(name, key.verifying)

    @property
    def public(self) -> NoteKey:
        """The public half."""
        return self._public

    def sign(self, text: str) -> str:
        """Return the note of a text of whole lines."""
        if not text.endswith("\n") or _CONTROL.search(text):
            raise ValueError("a note's text is whole lines without control characters")
        name, key_id = self._public._signs_as
        return f"{text}\n\u2014 {name} {encode_base64(key_id + self._signing.sign(text.encode()))}\n"

    def __repr__(self) -> str:
        return f"NoteSigner({self._public.name!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a NoteSigner cannot be copied or pickled")


def _is_name(text: str) -> bool:
    return _is_utf8(text) and "+" not in text and not any(each.isspace() for each in text)


def _take_apart(note: object, argument: str) -> tuple[str, list[tuple[str, bytes]]]:
    """Return a note's text and its signatures, each with its key's name."""
    if not isinstance(note, str):
        raise InvalidArgument(argument, f"must be the text of a note, not {type(note).__name__}")
    text, blank, rest = note.rpartition("\n\n")
    lines = rest.split("\n")
    fits = len(note) <= _LONGEST and not _CONTROL.search(note) and _is_utf8(note)
    if not fits or not blank or lines.pop() or not 0 < len(lines) <= _MOST_SIGNATURES:
        raise InvalidArgument(argument, "is no signed note")
    return text + "\n", [_signature(line, argument) for line in lines]


def _is_utf8(text: str) -> bool:
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False


def _signature(line: str, argument: str) -> tuple[str, bytes]:
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    data = decode_base64(encoded)
    if dash != "\u2014" or not _is_name(name) or data is None or len(data) <= _ID_BYTES:
        raise InvalidArgument(argument, "has a line that is no signature")
    return name, data
