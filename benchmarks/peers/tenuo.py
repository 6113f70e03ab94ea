"""Tenuo: warrants signed with Ed25519, narrowed by whoever they were given to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenuo import Authorizer, SigningKey, Warrant

from benchmarks.material import LIFE, SCOPES

from .measures import Works, calls, expect

__all__ = ["works"]


@contextmanager
def works(_folder: Path) -> Iterator[Works]:
    """Sign, verify, narrow."""
    root, holder, helper = (SigningKey.generate() for _ in range(3))
    authorizer = Authorizer(trusted_roots=[root.public_key])

    def sign() -> str:
        builder = Warrant.mint_builder()
        for scope in SCOPES.split():
            builder = builder.tool(scope)
        return str(builder.holder(holder.public_key).ttl(LIFE).mint(root).to_base64())

    def verify(token: str, *, scope: str = "docs:read") -> bool:
        warrant = Warrant(token)
        authorizer.verify(warrant)
        return bool(warrant.allows(scope))

    def narrow(token: str) -> str:
        child = Warrant(token).grant(to=helper.public_key, allow="docs:read", ttl=LIFE // 2, key=holder)
        return str(child.to_base64())

    token = sign()
    child = Warrant(narrow(token))
    authorizer.verify_chain([Warrant(token), child])
    answers = [
        verify(token),
        verify(token, scope="docs:delete"),
        child.allows("docs:read"),
        child.allows("mail:send"),
    ]
    expect("what a warrant allows", found=answers, expected=[True, False, True, False])
    yield {
        "sign": calls(sign),
        "verify": calls(lambda: verify(token)),
        "narrow": calls(lambda: narrow(token)),
    }
