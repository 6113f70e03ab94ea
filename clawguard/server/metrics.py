"""Metrics for Prometheus. No label grows with sessions, agents, workspaces or what callers write."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from clawguard.events.linking import Lag

__all__ = ["CONTENT_TYPE", "Meters"]

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_BOUNDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class Meters:
    """Count this server's requests; a registry of its own, so that two in a process do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "clawguard_http_requests",
            "Requests that were answered.",
            ("route", "method", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "clawguard_http_request_seconds",
            "How long answers took; of streams, how long they ran.",
            ("route",),
            buckets=_BOUNDS,
            registry=self.registry,
        )
        self.streams = Gauge(
            "clawguard_event_streams", "Event streams that are open.", registry=self.registry
        )
        self._live = Gauge(
            "clawguard_live_sessions", "Live sessions of the server's own workspace.", registry=self.registry
        )
        self._log = Gauge(
            "clawguard_log_entries", "The number of the log's last entry.", registry=self.registry
        )

        self._unlinked = Gauge(
            "clawguard_log_unlinked", "Events that have no place in the log yet.", registry=self.registry
        )
        self._unlinked_since = Gauge(
            "clawguard_log_unlinked_seconds", "How long the first of them has waited.", registry=self.registry
        )

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answer."""
        named = method if method in _METHODS else "other"
        self._requests.labels(route, named, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def page(self, *, live: int, entries: int, lag: Lag) -> bytes:
        """Return all of it as text."""
        self._live.set(live)
        self._unlinked.set(lag.events)
        self._unlinked_since.set(lag.seconds)
        self._log.set(entries)
        return generate_latest(self.registry)
