"""How tests ask why a token is refused, and an id that nobody has."""

from __future__ import annotations

import pytest

from clawguard import SessionContext, SessionEnded, SessionManager

UNKNOWN = "0190d2a0-1111-7000-8000-000000000001"


def refused(manager: SessionManager, token: str | SessionContext) -> str:
    """Return the cause with which a token's session ended."""
    with pytest.raises(SessionEnded) as refusal:
        manager.validate(token)
    return refusal.value.cause
