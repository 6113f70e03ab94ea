"""How often the token endpoints may be asked: for each address or network, and again for each caller."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv6Address, ip_address, ip_network

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from clawguard.clock import SECOND
from clawguard.server.loads import Crowded
from clawguard.server.settings import Settings

__all__ = ["Rates", "network_of"]

_OF_ONE = 64  # the bits of an IPv6 address that one customer has in common (RFC 6177)


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
        """Count one request of an address or a caller; raise Crowded where it is one too many."""
        for limit in self._limits[kind]:
            if not self._limiter.hit(limit, kind, who):
                until = self._limiter.get_window_stats(limit, kind, who).reset_time
                wait = max(1, round(until - self._now() / SECOND))
                raise Crowded(429, "too_many_requests", "too many requests", retry_after=wait)


def network_of(address: str | None) -> str:
    """Return what an address is counted as: an IPv6 address as its /64, in which one host has them all."""
    try:
        known = ip_address((address or "").partition("%")[0])
    except ValueError:
        return address or "-"
    if isinstance(known, IPv6Address):
        return str(known.ipv4_mapped or ip_network((known, _OF_ONE), strict=False))
    return str(known)
