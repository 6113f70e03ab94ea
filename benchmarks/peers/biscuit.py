"""Biscuits: Ed25519, rights as facts, narrowed by a block that whoever holds the token appends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from biscuit_auth import (
    AuthorizationError,
    AuthorizerBuilder,
    Biscuit,
    BiscuitBuilder,
    BlockBuilder,
    KeyPair,
)

from benchmarks.material import LIFE, SCOPES

from .measures import Works, calls, expect

__all__ = ["works"]

_RIGHTS = " ".join(f'right("{scope}");' for scope in SCOPES.split())
_AUTHORITY = "user({user}); client({user}); " + _RIGHTS + " check if time($now), $now < {end};"
_REQUEST = "time({now}); operation({scope}); allow if operation($scope), right($scope);"
_NARROWER = 'check if operation("docs:read");'


@contextmanager
def works(_folder: Path) -> Iterator[Works]:
    """Sign, verify and authorize, narrow."""
    pair = KeyPair()

    def sign() -> str:
        said = {"user": "planner", "end": datetime.now(UTC) + timedelta(seconds=LIFE)}
        return str(BiscuitBuilder(_AUTHORITY, said).build(pair.private_key).to_base64())

    def verify(token: str, scope: str = "docs:read") -> bool:
        biscuit = Biscuit.from_base64(token, pair.public_key)
        request = AuthorizerBuilder(_REQUEST, {"now": datetime.now(UTC), "scope": scope})
        try:
            return request.build(biscuit).authorize() == 0
        except AuthorizationError:
            return False

    def narrow(token: str) -> str:
        biscuit = Biscuit.from_base64(token, pair.public_key)
        return str(biscuit.append(BlockBuilder(_NARROWER)).to_base64())

    token = sign()
    narrowed = narrow(token)
    answers = [verify(each, scope) for each in (token, narrowed) for scope in ("docs:read", "mail:send")]
    expect("what a biscuit allows", found=answers, expected=[True, True, True, False])
    yield {
        "sign": calls(sign),
        "verify": calls(lambda: verify(token)),
        "narrow": calls(lambda: narrow(token)),
    }
