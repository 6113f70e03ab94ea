"""Refresh tokens: opaque, 256 bits of secret behind a selector; only the secret's digest is ever stored.

`cgr1_`, 22 characters that select the session, `_`, 43 characters of secret. The fixed prefix lets scanners
find one that leaked. What a spent token may still be answered with is sealed under its own secret, which
the store does not have.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import uuid
from typing import NoReturn

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clawguard.guard.encoding import b64decode, b64encode
from clawguard.guard.faults import TokenFault

__all__ = ["RefreshToken", "is_refresh_token"]

_PREFIX = "cgr1_"
_FORM = re.compile(r"cgr1_([A-Za-z0-9_-]{22})_([A-Za-z0-9_-]{43})", re.ASCII)
_SECRET_BYTES = 32
_NONCE_BYTES = 12


def is_refresh_token(text: str) -> bool:
    """Tell whether a text is meant to be a refresh token."""
    return text.startswith(_PREFIX)


class RefreshToken:
    """Hold one refresh token; it is in no repr and refuses pickling."""

    __slots__ = ("_secret", "session_id")

    def __init__(self, session_id: str, secret: bytes) -> None:
        self.session_id = session_id
        self._secret = secret

    @classmethod
    def new(cls, session_id: str) -> RefreshToken:
        """Return a fresh one of a session."""
        return cls(session_id, os.urandom(_SECRET_BYTES))

    @classmethod
    def parse(cls, text: str) -> RefreshToken:
        """Return what a text says; raise TokenFault for any but the one canonical form."""
        found = _FORM.fullmatch(text)
        parts = [None, None] if found is None else [b64decode(each.encode()) for each in found.groups()]
        selector, secret = parts
        if selector is None or secret is None:
            raise TokenFault("refresh_form")
        return cls(str(uuid.UUID(bytes=selector)), secret)

    def __repr__(self) -> str:
        return f"RefreshToken(session_id={self.session_id!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RefreshToken cannot be copied or pickled")

    def text(self) -> str:
        """Return the text to hand out."""
        selector = b64encode(uuid.UUID(self.session_id).bytes).decode()
        return f"{_PREFIX}{selector}_{b64encode(self._secret).decode()}"

    def digest(self) -> bytes:
        """Return what the store keeps: SHA-256 of the secret (it is random, so no slow hash is needed)."""
        return hashlib.sha256(self._secret).digest()

    def seal(self, successor: RefreshToken) -> bytes:
        """Return the successor's secret under this one's: whoever shows this token may have it."""
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._aead().encrypt(nonce, successor._secret, self.session_id.encode())
        return nonce + sealed

    def unseal(self, sealed: bytes) -> RefreshToken:
        """Return the successor that was sealed; raise TokenFault for an altered text."""
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            secret = self._aead().decrypt(nonce, ciphertext, self.session_id.encode())
        except (InvalidTag, ValueError):
            raise TokenFault("refresh_seal") from None
        return RefreshToken(self.session_id, secret)

    def _aead(self) -> AESGCM:
        """Return the cipher under the key that HKDF-Expand derives of the secret (RFC 5869, 2.3 and 3.3)."""
        return AESGCM(hmac.digest(self._secret, b"clawguard refresh successor 1\x01", "sha256"))
