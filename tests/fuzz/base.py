"""What the targets share: how an input is read, and keys that are the same in every process."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from clawguard.guard import SigningKey
from clawguard.guard.encoding import b64encode

__all__ = ["Run", "Target", "compact", "keys", "mutated", "sign", "text_of", "ways", "with_secret"]

Run = Callable[[bytes], None]


class Target(NamedTuple):
    """Hold what is run on every input, and the inputs that it is begun with."""

    run: Run
    seeds: Callable[[], list[bytes]]


def ways(first: str, **ways: Run) -> Run:
    """Return what goes the way that an input names."""

    def run(data: bytes) -> None:
        named, colon, rest = data.partition(b":")
        way = ways.get(named.decode("latin-1")) if colon else None
        if way is None:
            way, rest = ways[first], data
        way(rest)

    return run


def text_of(data: bytes) -> str:
    """Return the bytes as text, any bytes, lone surrogates too."""
    return data.decode("utf-8", "surrogateescape")


def with_secret(data: bytes, secret: bytes) -> bytes:
    """Return the bytes with a secret for every 0xFF: what the fuzzer puts where, nobody may tell again."""
    return data.replace(b"\xff", secret)


def mutated(text: str, data: bytes) -> str:
    """Return a text with characters set anew: three bytes say where, and what stands there then."""
    characters = list(text)
    for place in range(0, len(data) - 2, 3):
        at = int.from_bytes(data[place : place + 2], "big") % len(characters)
        characters[at] = chr(data[place + 2])
    return "".join(characters)


@cache
def keys() -> dict[bytes, SigningKey]:
    """Return a key of each algorithm that needs no search for primes: an input says the same everywhere."""
    return {
        b"0": SigningKey(ec.derive_private_key(int.from_bytes(sha256(b"fuzz").digest()), ec.SECP256R1())),
        b"1": SigningKey(ed25519.Ed25519PrivateKey.from_private_bytes(sha256(b"fuzz").digest())),
    }


def compact(value: object) -> bytes:
    """Return a value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":")).encode()


def sign(key: SigningKey, payload: bytes, header: bytes | None = None) -> str:
    """Return the token of a payload under any header, by default the key's own."""
    first = key.header if header is None else b64encode(header)
    signing_input = first + b"." + b64encode(payload)
    return (signing_input + b"." + b64encode(key.sign(signing_input))).decode()
