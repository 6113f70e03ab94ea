"""OpenTelemetry: what a validate costs where it is instrumented, with the SDK and an exporter in memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clawguard.otel import instrument

from .harness import Result, Setting, benchmark, pair
from .raw import SCOPES, open_manager

# The share of calls that is measured, and what the whole may cost.
_SHARES = (("none measured", 0.0, 1.10), ("1 in 100 measured", 0.01, 1.50), ("all measured", 1.0, 15.0))


@benchmark("telemetry")
def telemetry(setting: Setting) -> Iterator[Result]:
    """validate, hit, instrumented for OpenTelemetry and not"""
    with open_manager(setting.path("telemetry")) as manager:
        token = manager.create("planner", scopes=SCOPES).token
        theirs = partial(manager.validate, token, require="docs:read")
        for what, share, budget in _SHARES:
            tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
            tracers.add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))
            with instrument(manager, tracer_provider=tracers, meter_provider=meters, sample_validates=share):
                ours = partial(manager.validate, token, require="docs:read")
                yield pair(ours, theirs, rounds=setting.size(25, 11), number=200).against(
                    f"validate, hit, instrumented, {what}, to not", budget
                )
            tracers.shutdown()
            meters.shutdown()
