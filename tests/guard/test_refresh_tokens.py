"""Refresh tokens by themselves; what they do to a session is in tests/contract/test_families.py."""

from __future__ import annotations

import hashlib
import os
import uuid
from unittest.mock import patch

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from clawguard.guard import RefreshToken, TokenFault
from clawguard.guard.refresh_tokens import is_refresh_token
from tests.guard.forge import SESSION, b64

SECRETS = st.binary(min_size=32, max_size=32)


def test_a_refresh_token_has_256_bits_of_the_systems_chance() -> None:
    with patch("clawguard.guard.refresh_tokens.os.urandom", wraps=os.urandom) as drawn:
        made = {RefreshToken.new(SESSION).text() for _ in range(100)}
    assert len(made) == 100
    assert {call.args for call in drawn.call_args_list} == {(32,)}
    assert drawn.call_count == 100


@given(st.uuids(), SECRETS)
def test_a_token_is_the_text_for_its_session_and_secret(session: uuid.UUID, secret: bytes) -> None:
    token = RefreshToken(str(session), secret)
    assert token.text() == f"cgr1_{b64(session.bytes)}_{b64(secret)}"
    assert is_refresh_token(token.text())
    again = RefreshToken.parse(token.text())
    assert (again.session_id, again.text()) == (str(session), token.text())
    assert token.digest() == hashlib.sha256(secret).digest()


@given(SECRETS, SECRETS)
def test_only_the_token_opens_what_it_sealed_and_only_as_it_was(secret: bytes, other: bytes) -> None:
    token, successor = RefreshToken(SESSION, secret), RefreshToken(SESSION, other)
    sealed = token.seal(successor)
    assert token.unseal(sealed).text() == successor.text()
    assert len(sealed) == 12 + 32 + 16
    assert token.seal(successor) != sealed
    stranger = RefreshToken(str(uuid.UUID(int=1)), secret)
    for opener, text in ((stranger, sealed), (token, sealed[:-1] + bytes([sealed[-1] ^ 1])), (token, b"")):
        with pytest.raises(TokenFault, match="refresh_seal"):
            opener.unseal(text)


def test_a_sealed_successor_of_an_earlier_release_is_opened() -> None:
    key = HKDFExpand(hashes.SHA256(), 32, b"clawguard refresh successor 1").derive(bytes(32))
    sealed = bytes(12) + AESGCM(key).encrypt(bytes(12), bytes(range(32)), SESSION.encode())
    assert (
        RefreshToken(SESSION, bytes(32)).unseal(sealed).text()
        == RefreshToken(SESSION, bytes(range(32))).text()
    )


@pytest.mark.parametrize(
    "text", ["", "cgr1_", f"cgr1_{'A' * 22}_{'A' * 42}B", f"cgr1_{'A' * 21}B_{'A' * 43}"]
)
def test_any_other_text_is_none(text: str) -> None:
    with pytest.raises(TokenFault, match="refresh_form"):
        RefreshToken.parse(text)
