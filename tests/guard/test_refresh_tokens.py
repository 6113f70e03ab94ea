"""Refresh tokens by themselves; what they do to a session is in tests/contract/test_families.py."""

from __future__ import annotations

import os
from unittest.mock import patch

from clawguard.guard import RefreshToken
from tests.guard.forge import SESSION


def test_a_refresh_token_has_256_bits_of_the_systems_chance() -> None:
    with patch("clawguard.guard.refresh_tokens.os.urandom", wraps=os.urandom) as drawn:
        made = {RefreshToken.new(SESSION).text() for _ in range(100)}
    assert len(made) == 100
    assert {call.args for call in drawn.call_args_list} == {(32,)}
    assert drawn.call_count == 100
