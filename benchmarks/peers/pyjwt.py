"""PyJWT: ES256, its keys loaded, claims required as RFC 9068 has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.material import claims

from .measures import Works, calls, expect

__all__ = ["works"]


@contextmanager
def works(_folder: Path) -> Iterator[Works]:
    """Sign and verify."""
    key = ec.generate_private_key(ec.SECP256R1())
    public, said = key.public_key(), claims()
    headers = {"typ": "at+jwt", "kid": "one"}

    def sign() -> str:
        return jwt.encode(said, key, algorithm="ES256", headers=headers)

    def verify(token: str) -> dict[str, object]:
        return jwt.decode(
            token,
            public,
            algorithms=["ES256"],
            audience="clawguard",
            issuer=said["iss"],
            options={"require": ["exp", "iat", "jti", "sub"]},
        )

    token = sign()
    expect("PyJWT's claims", found=verify(token), expected=said)
    yield {"sign": calls(sign), "verify": calls(lambda: verify(token))}
