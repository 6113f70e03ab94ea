"""How much at once: requests under way, streams that are open. What is beyond is told when to come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from clawguard.server.settings import Settings

__all__ = ["PLACE_KEY", "Crowded", "Loads", "Place"]

PLACE_KEY = "clawguard.place"
_SOON, _LATER = 1, 10  # seconds: a request is over soon, a stream goes on


class Crowded(Exception):
    """Refuse a request for what others ask at the same time; `retry_after` is in seconds."""

    def __init__(self, status: int, code: str, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


class Place:
    """Hold the place of one request among those under way, and of a workspace once that is known."""

    def __init__(self, loads: Loads) -> None:
        self._loads = loads
        self._workspace_id: str | None = None
        self._is_held = True

    def of(self, workspace_id: str) -> None:
        """Count it as a workspace's; again does nothing. Raises Crowded."""
        if self._is_held and self._workspace_id is None:
            self._loads.enter(workspace_id)
            self._workspace_id = workspace_id

    def leave(self) -> None:
        """Give the place away; again does nothing."""
        if self._is_held:
            self._is_held = False
            self._loads.leave(self._workspace_id)


class Loads:
    """Count what one event loop has in hand; no lock is needed there."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._requests = 0
        self._of: Counter[str] = Counter()
        self._streams: Counter[str] = Counter()

    @property
    def requests(self) -> int:
        """How many requests are under way whose answer has not begun."""
        return self._requests

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return self._streams.total()

    def request(self) -> Place:
        """Return the place of one request. Raises Crowded."""
        if self._requests >= self._settings.max_requests:
            raise Crowded(503, "overloaded", "too much is asked at once", retry_after=_SOON)
        self._requests += 1
        return Place(self)

    def enter(self, workspace_id: str) -> None:
        """Count a request as a workspace's: see `Place.of`."""
        if self._of[workspace_id] >= self._settings.max_requests_each:
            told = "the workspace asks too much at once"
            raise Crowded(429, "too_many_requests", told, retry_after=_SOON)
        self._of[workspace_id] += 1

    def leave(self, workspace_id: str | None) -> None:
        """Count a request no more: see `Place.leave`."""
        self._requests -= 1
        if workspace_id is not None:
            _count_down(self._of, workspace_id)

    @contextmanager
    def stream(self, workspace_id: str) -> Iterator[None]:
        """Hold the place of a workspace's stream. Raises Crowded."""
        if self._streams[workspace_id] >= self._settings.max_streams_each:
            told = "the workspace has as many streams as it may"
            raise Crowded(429, "too_many_streams", told, retry_after=_LATER)
        if self.streams >= self._settings.max_streams:
            told = "the server has as many streams as it bears"
            raise Crowded(503, "too_many_streams", told, retry_after=_LATER)
        self._streams[workspace_id] += 1
        try:
            yield
        finally:
            _count_down(self._streams, workspace_id)


def _count_down(counter: Counter[str], name: str) -> None:
    counter[name] -= 1
    if not counter[name]:
        del counter[name]
