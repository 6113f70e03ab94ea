"""What every format says alike: how grave an event is, whether it tells of a refusal, what it is called."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clawguard.events.event import Event

__all__ = ["HIGH", "INFORMATIONAL", "LOW", "MEDIUM", "failed", "product_version", "severity_of", "title"]

INFORMATIONAL, LOW, MEDIUM, HIGH = 1, 2, 3, 4  # as OCSF numbers them

_BY_TYPE = {
    "session.source_changed": LOW,
    "session.purged": LOW,
    "guard.denied": MEDIUM,
    "guard.granted": LOW,
    "policy.changed": MEDIUM,
    "agent.disabled": MEDIUM,
    "agent.enabled": LOW,
    "token.rejected": MEDIUM,
    "token.reuse_detected": HIGH,
    "key.rotated": LOW,
    "subscriber.failed": MEDIUM,
    "subscriber.parked": HIGH,
    "log.archived": LOW,
    "history.cleared": LOW,
    "history.deleted": LOW,
    "history.key_rotated": LOW,
    "history.encrypted": LOW,
}
_BY_CAUSE = {"revoked": LOW, "invalidated": LOW, "agent": MEDIUM, "reuse": HIGH, "key": HIGH}
_FAILED = frozenset(
    {"guard.denied", "token.rejected", "token.reuse_detected", "subscriber.failed", "subscriber.parked"}
)


def severity_of(event: Event) -> int:
    """Return the graver of what its type and its cause say, 1 to 4; 1 for a type of the host's own."""
    return max(_BY_TYPE.get(event.type, INFORMATIONAL), _BY_CAUSE.get(event.cause or "", INFORMATIONAL))


def failed(event: Event) -> bool:
    """Tell whether the event is of something that was refused or went wrong."""
    return event.type in _FAILED


def title(event: Event) -> str:
    """Return the type in words: `session.source_changed` is `Session source changed`."""
    return event.type.replace(".", " ").replace("_", " ").capitalize()


@cache
def product_version() -> str:
    """Return the version of the installed distribution, `0` where none is installed."""
    try:
        return version("clawguard-sessions")
    except PackageNotFoundError:
        return "0"
