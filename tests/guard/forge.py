"""Forge tokens: any header and any claims, as bytes, under a genuine signature."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

import pytest

from clawguard.clock import SECOND
from clawguard.guard import Algorithm, Claims, KeyRing, RingKey, SigningKey, TokenFault
from clawguard.guard.faults import FAULTS
from clawguard.guard.tokens import decode

NOW = 1_790_000_000
ISSUER = "urn:clawguard:0190d2a0-0000-7000-8000-0000000000aa"
AUDIENCE = "clawguard"
LEEWAY = 5 * SECOND
SESSION = "0190d2a0-1111-7000-8000-000000000001"
PARENT = "0190d2a0-2222-7000-8000-000000000002"
ROOT = "0190d2a0-3333-7000-8000-000000000003"
JTI = "0190d2a0-4444-7000-8000-000000000004"


@cache
def signer(algorithm: Algorithm = "ES256") -> SigningKey:
    return SigningKey.generate(algorithm)


def ring_of(*keys: SigningKey) -> KeyRing:
    """Return a ring whose first key is active and whose others are still retiring."""
    entries = [RingKey(key.verifying, "retiring", (NOW + 900) * SECOND) for key in keys]
    entries[0] = RingKey(keys[0].verifying, "active")
    return KeyRing(1, entries, keys[0])


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def header(**changes: Any) -> dict[str, Any]:
    """Return a lawful header with members changed; None leaves one out."""
    members = {"alg": "ES256", "kid": signer().kid, "typ": "at+jwt", **changes}
    return {name: value for name, value in members.items() if value is not None}


def claims(**changes: Any) -> dict[str, Any]:
    """Return lawful claims with members changed; None leaves one out."""
    members = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "user:ana",
        "client_id": "planner",
        "sid": SESSION,
        "jti": JTI,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 900,
        "scope": "docs:read mail:send",
        "gen": 1,
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}


def with_raw(name: str, literal: str) -> bytes:
    """Return the claims as JSON text where one member has this literal, lawful JSON or not."""
    return json.dumps(claims(**{name: "@"})).replace('"@"', literal).encode("utf-8", "surrogatepass")


def act(*steps: tuple[str, str], **extra: Any) -> dict[str, Any]:
    """Return nested `act` objects, the first step outermost."""
    nested: dict[str, Any] = {}
    for sub, sid in reversed(steps):
        nested = {"sub": sub, "sid": sid, **({"act": nested} if nested else {}), **extra}
    return nested


def forge(
    claims: dict[str, Any] | bytes,
    header: dict[str, Any] | bytes | None = None,
    *,
    key: SigningKey | None = None,
) -> str:
    """Return a token that the key signs, whatever it says."""
    key = key or signer()
    if header is None:
        header = {"alg": key.algorithm, "kid": key.kid, "typ": "at+jwt"}
    signing_input = f"{b64(_text(header))}.{b64(_text(claims))}"
    return f"{signing_input}.{b64(key.sign(signing_input.encode()))}"


def _text(value: dict[str, Any] | bytes) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def read(token: Any, ring: KeyRing | None = None, **options: Any) -> Claims:
    settings: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "now": NOW * SECOND,
        "leeway": LEEWAY,
        **options,
    }
    return decode(token, ring or ring_of(signer()), **settings)


def fault(token: Any, ring: KeyRing | None = None, **options: Any) -> str:
    """Return why the token is refused; it must be a TokenFault that holds nothing of the token."""
    with pytest.raises(TokenFault) as caught:
        read(token, ring, **options)
    refusal = caught.value
    assert refusal.reason in FAULTS
    assert refusal.args == (refusal.reason,)
    assert refusal.__cause__ is None
    assert refusal.__context__ is None
    return refusal.reason
