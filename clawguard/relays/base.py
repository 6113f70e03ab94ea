"""What relays have in common: their end, how long a call may take, whom TLS trusts, which extra is needed."""

from __future__ import annotations

import ssl
from abc import ABC, abstractmethod
from typing import NoReturn, Self

from clawguard.clock import SECOND, Duration, microseconds
from clawguard.errors import InvalidArgument

__all__ = ["TIMEOUT", "Relay", "check_context", "check_timeout", "without_library"]

TIMEOUT = 5.0  # seconds
_LONGEST_TIMEOUT = 10  # seconds; a subscriber's lease is 15, and over a longer call another takes over


class Relay(ABC):
    """Be closed at the end of a block; connections and threads are one process's, so nobody gets a copy."""

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled: make one in each process")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close its connections; what is called afterwards raises ReceiverUnavailable."""


def check_timeout(timeout: Duration) -> float:
    """Return how long a call may take, in seconds: more than 0, at most 10; else raise InvalidArgument."""
    ticks = microseconds(timeout, argument="timeout")
    if ticks > _LONGEST_TIMEOUT * SECOND:
        raise InvalidArgument(
            "timeout",
            f"must be at most {_LONGEST_TIMEOUT} seconds",
            hint="a durable subscriber is taken over when a call takes longer than its lease",
        )
    return ticks / SECOND


def check_context(context: object, *, argument: str) -> ssl.SSLContext:
    """Return a context of TLS that verifies certificates and host names; else raise InvalidArgument."""
    if not isinstance(context, ssl.SSLContext):
        raise InvalidArgument(argument, "must be an ssl.SSLContext")
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise InvalidArgument(
            argument,
            "does not verify certificates and host names",
            hint="make it with ssl.create_default_context(cafile=...)",
        )
    return context


def without_library(library: str, *, extra: str) -> ImportError:
    """Return what to raise where a relay's library is missing."""
    return ImportError(
        f"this relay needs the library {library}: pip install 'clawguard-sessions[{extra}]'", name=library
    )
