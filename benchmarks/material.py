"""What both sides of a comparison are given. Read in peers' environments too: the standard library only."""

from __future__ import annotations

import time
import uuid
from typing import Any

__all__ = ["LIFE", "MESSAGE", "SCOPES", "claims"]

SCOPES = "docs:read docs:write mail:send"
MESSAGE = {"role": "user", "content": "what does the memory say of the meeting at noon in the blue room?"}
LIFE = 86_400  # seconds


def claims() -> dict[str, Any]:
    """Return the claims of an access token, as RFC 9068 has them."""
    now = int(time.time())
    return {
        "iss": "https://clawguard.test",
        "sub": "planner",
        "aud": "clawguard",
        "iat": now,
        "exp": now + LIFE,
        "jti": str(uuid.uuid4()),
        "client_id": "planner",
        "scope": SCOPES,
    }
