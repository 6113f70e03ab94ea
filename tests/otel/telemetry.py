"""What tests of telemetry share: all that is exported, gathered in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from clawguard import ClawguardError, SessionManager
from clawguard.otel import instrument

WATCHED = {
    "create", "delegate", "refresh", "redeem", "revoke", "end", "invalidate", "revoke_all_for_agent",
    "revoke_where", "reload_policy", "agents.disable", "agents.enable", "keys.rotate", "validate",
    "authorize",
}  # fmt: skip
POLICY = {"rules": [{"name": "documents", "effect": "allow", "actions": "docs:*"}]}
Point = tuple[str, frozenset[tuple[str, Any]]]


class Telemetry:
    """Gather in memory what is exported."""

    def __init__(self, *, sampler: Sampler | None = None, processor: SpanProcessor | None = None) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracers, self.meters = TracerProvider(sampler=sampler), MeterProvider([self._reader])
        self.tracers.add_span_processor(processor or SimpleSpanProcessor(self._spans))

    def watch(self, manager: Any, *, share: float = 1.0) -> Any:
        return instrument(
            manager, tracer_provider=self.tracers, meter_provider=self.meters, sample_validates=share
        )

    def request(self) -> Any:
        """Return a span of the host's own, for a `with` block."""
        return self.tracers.get_tracer("host").start_as_current_span("request")

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def names(self) -> list[str]:
        return [span.name.removeprefix("clawguard.") for span in self.spans]

    def span(self, verb: str) -> ReadableSpan:
        """Return the last span of a verb."""
        return [span for span in self.spans if span.name == f"clawguard.{verb}"][-1]

    def told(self, verb: str) -> dict[str, Any]:
        return dict(self.span(verb).attributes or {})

    def clear(self) -> None:
        self._spans.clear()

    def metrics(self) -> Iterator[tuple[str, Any]]:
        """Yield each series' name and what it holds."""
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for metric in (each for scope in resource.scope_metrics for each in scope.metrics):
                yield from ((metric.name, point) for point in metric.data.data_points)

    def points(self) -> dict[Point, float]:
        """Return the value of each series: of a histogram, how many it holds."""
        return {
            (name, frozenset((point.attributes or {}).items())): getattr(point, "value", None) or point.count
            for name, point in self.metrics()
        }

    def bounds(self, name: str) -> tuple[float, ...]:
        return next(
            tuple(point.explicit_bounds) for each, point in self.metrics() if each == f"clawguard.{name}"
        )

    def count(self, name: str, **labels: str) -> float:
        """Return the value of one series, 0 where there is none."""
        wanted = {
            ("error.type" if key == "error" else f"clawguard.{key}", each) for key, each in labels.items()
        }
        return self.points().get((f"clawguard.{name}", frozenset(wanted)), 0)

    def everything(self) -> str:
        """Return all that was exported, as text."""
        data = self._reader.get_metrics_data()
        return "".join(span.to_json() for span in self.spans) + (data.to_json() if data else "")


def refused(call: Callable[..., object], *args: Any, **kwargs: Any) -> None:
    with pytest.raises(ClawguardError):
        call(*args, **kwargs)


def places(manager: SessionManager) -> list[tuple[str, object]]:
    return [("", manager), ("agents.", manager.agents), ("keys.", manager.keys)]
