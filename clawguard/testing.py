"""For the tests of what uses clawguard: a clock to move, headers, and events to find. Needs no pytest.

Under pytest the fixtures `clawguard_manager` and `clawguard_clock` are there by themselves.
"""

from __future__ import annotations

from datetime import datetime
from operator import attrgetter
from typing import TYPE_CHECKING

from clawguard.clock import SECOND, Duration, SystemClock, microseconds, to_datetime, to_microseconds
from clawguard.errors import InvalidArgument
from clawguard.events.event import Event
from clawguard.models import IssuedSession

if TYPE_CHECKING:
    from clawguard.sessions.manager import SessionManager

__all__ = ["ManualClock", "assert_event", "auth_headers"]

_FIELDS = frozenset(Event.__dataclass_fields__)
_PAGE = 1_000


class ManualClock:
    """Stand still until told to move on: `SessionManager.open(clock=ManualClock())`.

    Starts `at` an aware datetime, by default at the second that is now.
    """

    def __init__(self, at: datetime | None = None) -> None:
        self.at = SystemClock().now() // SECOND * SECOND if at is None else to_microseconds(at)
        self.passed = 0

    def now(self) -> int:
        """Return the wall clock, in microseconds UTC since 1970."""
        return self.at

    def elapsed(self) -> int:
        """Return the microseconds that went by."""
        return self.passed

    @property
    def datetime(self) -> datetime:
        """The wall clock as an aware datetime."""
        return to_datetime(self.at)

    def tick(self, seconds: Duration = 1) -> None:
        """Let time go by: seconds (int or float) or a timedelta. What became due is due from now on."""
        ticks = microseconds(seconds, argument="seconds", least=0)
        self.at += ticks
        self.passed += ticks


def auth_headers(session_or_token: IssuedSession | str) -> dict[str, str]:
    """Return the HTTP header that carries a token, for a test's client."""
    if isinstance(session_or_token, IssuedSession):
        return session_or_token.headers()
    if not isinstance(session_or_token, str):
        raise InvalidArgument(
            "session_or_token", "must be a session as it was issued, or a token", hint="others have no token"
        )
    return {"Authorization": f"Bearer {session_or_token}"}


def assert_event(manager: SessionManager, type: str, /, **fields: object) -> Event:
    """Return the newest event of a type whose fields are as given, or fail with all of that type.

    `type` may be a pattern such as `session.*`; fields are those of `Event`, such as `cause="revoked"`. What
    became due and what is gathered in memory is recorded first, as the sweeper does once a second.
    """
    unknown = sorted(fields.keys() - _FIELDS)
    if unknown:
        raise InvalidArgument("fields", f"has no {unknown[0]}", hint="an Event's attributes are its fields")
    manager.prune_expired()
    events = _all_of(manager, type)
    for event in reversed(events):
        if all(attrgetter(name)(event) == value for name, value in fields.items()):
            return event
    wanted = "".join(f" {name}={value!r}" for name, value in fields.items())
    seen = "".join(f"\n  {event}" for event in events) or " none"
    raise AssertionError(f"no {type} with{wanted or ' any fields'}; there are:{seen}")


def _all_of(manager: SessionManager, type: str) -> list[Event]:
    events: list[Event] = []
    while page := manager.events.read(
        after=events[-1].seq if events else manager.events.archived, types=type, limit=_PAGE
    ):
        events += page
    return events
