"""joserfc: ES256, its keys imported, claims checked by its registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey

from benchmarks.material import claims

from .measures import Works, calls, expect

__all__ = ["works"]


@contextmanager
def works(_folder: Path) -> Iterator[Works]:
    """Sign and verify."""
    key, said = ECKey.generate_key("P-256"), claims()
    public = ECKey.import_key(key.as_dict(private=False))
    headers = {"typ": "at+jwt", "kid": "one", "alg": "ES256"}
    registry = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": said["iss"]},
        aud={"essential": True, "value": "clawguard"},
        **{name: {"essential": True} for name in ("exp", "iat", "jti", "sub")},
    )

    def sign() -> str:
        return jwt.encode(headers, said, key, algorithms=["ES256"])

    def verify(token: str) -> object:
        found = jwt.decode(token, public, algorithms=["ES256"])
        registry.validate(found.claims)
        return found.claims

    token = sign()
    expect("joserfc's claims", found=verify(token), expected=said)
    yield {"sign": calls(sign), "verify": calls(lambda: verify(token))}
