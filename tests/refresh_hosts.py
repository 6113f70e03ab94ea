"""A server that a refresh client can redeem at, and what its refusals may not say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace

import pytest

from clawguard import ConfigError
from clawguard.refresh_client import Issued
from tests.clocks import FakeClock

TOKEN, REFRESH_TOKEN = "eyJ.first.signature", "cgr1_first_secret"


class Host:
    """Stand in for a server: count what is redeemed, and hand out the next tokens for a minute."""

    def __init__(self, clock: FakeClock, *, ttl: float = 60) -> None:
        self.clock = clock
        self.ttl = ttl
        self.redeemed: list[str] = []
        self.doing: Callable[[], object] = lambda: None

    def issue(self, token: str = TOKEN, refresh_token: str = REFRESH_TOKEN) -> Issued:
        end = self.clock.datetime + timedelta(seconds=self.ttl)
        return SimpleNamespace(token=token, refresh_token=refresh_token, token_expires_at=end)

    def redeem(self, refresh_token: str) -> Issued:
        self.redeemed.append(refresh_token)
        self.doing()
        count = len(self.redeemed)
        return self.issue(f"eyJ.next-{count}.signature", f"cgr1_next-{count}_secret")


def refused(
    call: Callable[[], object], error: type[BaseException] = ConfigError, match: str | None = None
) -> str:
    """Return what a refused call says; nothing of the tokens may stand in it."""
    with pytest.raises(error, match=match) as caught:
        call()
    said = f"{caught.value} {caught.value!r} {caught.value.__cause__} {caught.value.__context__}"
    assert not any(secret in said for secret in ("signature", "secret", "eyJ", "cgr1"))
    return said
