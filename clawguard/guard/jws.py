"""The compact JWS (RFC 7515, 7.1), taken apart strictly: what tokens and proofs share."""

from __future__ import annotations

from typing import Any, NamedTuple

from clawguard.guard.encoding import b64decode, parse_object
from clawguard.guard.faults import TokenFault
from clawguard.guard.keys import VerifyingKey

__all__ = ["MAX_TOKEN", "Segments", "octets", "read_payload", "split"]

MAX_TOKEN = 8_192  # bytes; what most HTTP servers take as one header line

_CHARACTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


class Segments(NamedTuple):
    """Hold the three segments, still encoded, and what the signature is over."""

    header: bytes
    payload: bytes
    signature: bytes
    signing_input: bytes


def split(text: object) -> Segments:
    """Return the three segments, none of them empty, of the characters that base64url has."""
    if not isinstance(text, str):
        raise TokenFault("characters")
    if len(text) > MAX_TOKEN:
        raise TokenFault("too_long")
    if not text.isascii():
        raise TokenFault("characters")
    raw = text.encode()
    if raw.translate(None, _CHARACTERS):
        raise TokenFault("characters")
    segments = raw.split(b".")
    if len(segments) != 3 or not all(segments):
        raise TokenFault("segments")
    header, payload, signature = segments
    return Segments(header, payload, signature, raw[: -len(signature) - 1])


def octets(segment: bytes) -> bytes:
    """Return what a segment holds; raise TokenFault for any but the one text for it."""
    data = b64decode(segment)
    if data is None:
        raise TokenFault("base64")
    return data


def read_payload(segments: Segments, key: VerifyingKey) -> dict[str, Any]:
    """Return the JSON object that the key signed; raise TokenFault for a signature that is not the key's."""
    signature = octets(segments.signature)
    payload = octets(segments.payload)
    if not key.verify(segments.signing_input, signature):
        raise TokenFault("signature")
    claims = parse_object(payload)
    if claims is None:
        raise TokenFault("claims_json")
    return claims
