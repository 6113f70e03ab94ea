"""Refresh tokens: opaque, 256 bits of secret behind a selector; only the secret's digest is ever stored.

`cgr1_`, 16 characters that select the row, `_`, 43 characters of secret. The fixed prefix lets scanners find
one that leaked. What a spent token may still be answered with is sealed under its own secret, which the
store does not have.
"""

from __future__ import annotations

import hashlib
import os
import re
from hmac import compare_digest
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clawguard.guard.encoding import b64decode, b64encode
from clawguard.guard.faults import TokenFault

__all__ = ["RefreshToken", "is_refresh_token"]

_PREFIX = "cgr1_"
_FORM = re.compile(r"cgr1_([A-Za-z0-9_-]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_SELECTOR_BYTES = 12
_SECRET_BYTES = 32
_NONCE_BYTES = 12


def is_refresh_token(text: str) -> bool:
    """Tell whether a text is meant to be a refresh token."""
    return text.startswith(_PREFIX)


class RefreshToken:
    """Hold one refresh token; it is in no repr and refuses pickling."""

    __slots__ = ("_secret", "selector")

    def __init__(self, selector: str, secret: bytes) -> None:
        self.selector = selector
        self._secret = secret

    @classmethod
    def new(cls) -> RefreshToken:
        """Return a fresh one."""
        return cls(b64encode(os.urandom(_SELECTOR_BYTES)).decode(), os.urandom(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> RefreshToken:
        """Return what a text says; raise TokenFault for any but the one canonical form."""
        found = _FORM.fullmatch(text)
        secret = None if found is None else b64decode(found[2].encode())
        if found is None or secret is None or b64decode(found[1].encode()) is None:
            raise TokenFault("refresh_form")
        return cls(found[1], secret)

    def __repr__(self) -> str:
        return f"RefreshToken(selector={self.selector!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RefreshToken cannot be copied or pickled")

    def text(self) -> str:
        """Return the text to hand out."""
        return f"{_PREFIX}{self.selector}_{b64encode(self._secret).decode()}"

    def digest(self) -> bytes:
        """Return what the store keeps: SHA-256 of the secret (it is random, so no slow hash is needed)."""
        return hashlib.sha256(self._secret).digest()

    def fits(self, digest: bytes | None) -> bool:
        """Tell in constant time whether a stored digest is this secret's; None does the same work."""
        return compare_digest(self.digest(), digest or bytes(32)) and digest is not None

    def seal(self, successor: RefreshToken, *, session_id: str) -> bytes:
        """Return the successor's text under this token's secret: whoever shows this one may have it."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._aead().encrypt(nonce, successor.text().encode(), self._bound_to(session_id))
        return nonce + sealed

    def unseal(self, sealed: bytes, *, session_id: str) -> RefreshToken:
        """Return the successor that was sealed; raise TokenFault for an altered text."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            text = self._aead().decrypt(nonce, ciphertext, self._bound_to(session_id))
        except (InvalidTag, ValueError):
            raise TokenFault("refresh_seal") from None
        return RefreshToken.parse(text.decode())

    def _aead(self) -> AESGCM:
        from cryptography.hazmat.primitives.hashes import SHA256  # only who redeems pays for this import
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derive = HKDF(SHA256(), length=32, salt=None, info=b"clawguard refresh successor 1")
        return AESGCM(derive.derive(self._secret))

    def _bound_to(self, session_id: str) -> bytes:
        return f"{session_id} {self.selector}".encode()
