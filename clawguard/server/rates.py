"""How often the token endpoints may be asked: for each address, and again for each caller."""

from __future__ import annotations

from collections.abc import Callable

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from clawguard.clock import SECOND
from clawguard.server.settings import Settings

__all__ = ["Rates", "TooMany"]


class TooMany(Exception):
    """Refuse a request that comes too soon; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many requests")
        self.retry_after = retry_after


class Rates:
    """Count in this process alone; several processes bear as many times as much."""

    def __init__(self, settings: Settings, *, now: Callable[[], int]) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._limits: dict[str, list[RateLimitItem]] = {
            "token": parse_many(settings.token_rate),
            "check": parse_many(settings.check_rate),
        }
        self._now = now

    def count(self, kind: str, who: str) -> None:
        """Count one request of an address or a caller; raise TooMany where it is one too many."""
        for limit in self._limits[kind]:
            if not self._limiter.hit(limit, kind, who):
                until = self._limiter.get_window_stats(limit, kind, who).reset_time
                raise TooMany(max(1, round(until - self._now() / SECOND)))
