"""What a server is told: where clients reach it, and what it bears of them."""

from __future__ import annotations

from dataclasses import dataclass

from limits import parse_many

from clawguard.checks import check_text, is_integer
from clawguard.clock import SECOND, microseconds
from clawguard.errors import InvalidArgument
from clawguard.sessions.drafts import DEFAULT_WORKSPACE
from clawguard.web.bearer import checked_origin

__all__ = ["Settings"]

_LEAST_BODY = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Hold a server's settings; raise InvalidArgument for what will not do.

    `origin` is where clients reach it, such as `https://auth.example.com`: DPoP proofs are held against it
    and the metadata name it; without it the Host header is believed. Callers of `workspace` may do what
    concerns the whole database, where they hold the scope. `max_body` is in bytes. Rates are written as
    `limits` has them, such as `60/minute`; they count for each address (of IPv6 each /64), and again for each
    caller: `token_rate` for tokens given and ended, `check_rate` for what is asked about tokens. At once
    there are at most `max_requests` whose answer has not begun, and `max_streams` that go on; of one
    workspace `max_requests_each` and `max_streams_each`. A stream says something every `heartbeat` seconds.
    """

    origin: str | None = None
    workspace: str = DEFAULT_WORKSPACE
    max_body: int = 65_536
    token_rate: str = "120/minute"
    check_rate: str = "60000/minute"
    max_requests: int = 256
    max_requests_each: int = 128
    max_streams: int = 1_000
    max_streams_each: int = 250
    heartbeat: float = 15.0

    def __post_init__(self) -> None:
        if self.origin is not None:
            object.__setattr__(self, "origin", checked_origin(self.origin))
        check_text(self.workspace, argument="workspace")
        if not is_integer(self.max_body, least=_LEAST_BODY):
            raise InvalidArgument("max_body", f"must be at least {_LEAST_BODY} bytes")
        for name in ("max_requests", "max_requests_each", "max_streams", "max_streams_each"):
            if not is_integer(getattr(self, name), least=1):
                raise InvalidArgument(name, "must be an integer of at least 1")
        for name in ("token_rate", "check_rate"):
            _check_rate(getattr(self, name), argument=name)
        if microseconds(self.heartbeat, argument="heartbeat") < SECOND // 10:
            raise InvalidArgument("heartbeat", "must be at least 0.1 seconds")


def _check_rate(rate: object, *, argument: str) -> None:
    try:
        parse_many(str(rate))
    except ValueError:
        raise InvalidArgument(argument, "is no rate", hint="write '60/minute'") from None
