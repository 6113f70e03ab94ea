"""Instrumenting: once, undone without a trace, and never at the cost of an answer."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.context import contextvars_context
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import INVALID_SPAN_CONTEXT, NonRecordingSpan, NoOpTracer, NoOpTracerProvider

from clawguard import (
    AsyncSessionManager,
    ClawguardError,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    SessionEnded,
    SessionManager,
    TokenSuperseded,
)
from clawguard.otel import instrument
from tests.otel.telemetry import Telemetry, places

ROOT = Path(__file__).resolve().parents[2]


def test_closing_leaves_everything_as_it_was(manager: SessionManager, telemetry: Telemetry) -> None:
    bus = manager._parts.bus
    before = [dict(vars(owner)) for _, owner in places(manager)]
    watching = telemetry.watch(manager)
    assert bus.wanted
    assert inspect.signature(manager.create) == inspect.signature(SessionManager.create.__get__(manager))
    watching.close()
    watching.close()
    assert [dict(vars(owner)) for _, owner in places(manager)] == before
    assert manager.validate == SessionManager.validate.__get__(manager)
    assert not bus.wanted
    manager.create("planner", scopes="x")
    assert telemetry.names() == []
    assert telemetry.points() == {}
    with telemetry.watch(manager):
        manager.create("planner", scopes="x")
    assert telemetry.names() == ["create"]


def test_a_method_that_somebody_else_put_in_place_is_kept(
    manager: SessionManager, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(*args: Any, **kwargs: Any) -> str:
        return "before"

    def after(*args: Any, **kwargs: Any) -> str:
        return "after"

    monkeypatch.setattr(manager, "validate", before)
    with telemetry.watch(manager):
        assert manager.validate("token") == "before"  # type: ignore[comparison-overlap]
        monkeypatch.setattr(manager, "end", after)
    assert vars(manager)["validate"] is before
    assert vars(manager)["end"] is after
    assert telemetry.names() == ["validate"]


def test_one_manager_is_instrumented_once(manager: SessionManager, telemetry: Telemetry) -> None:
    with telemetry.watch(manager):
        before = dict(vars(manager))
        for again in (manager, AsyncSessionManager(manager)):
            with pytest.raises(InvalidArgument, match="instrumented already"):
                telemetry.watch(again)
        assert vars(manager) == before
        manager.create("planner", scopes="x")
    assert telemetry.names() == ["create"]
    assert telemetry.count("sessions.created", operation="create") == 1


def test_a_manager_may_be_closed_first(telemetry: Telemetry) -> None:
    manager = SessionManager.open(":memory:")
    watching = telemetry.watch(manager)
    token = manager.create("planner", scopes="x").token
    manager.close()
    with suppress(ClawguardError):
        manager.validate(token)
    watching.close()
    assert telemetry.count("sessions.created", operation="create") == 1


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("manager", {"manager": "manager"}),
        ("manager", {"manager": None}),
        ("tracer_provider", {"tracer_provider": "tracers"}),
        ("meter_provider", {"meter_provider": TracerProvider()}),
        ("sample_validates", {"sample_validates": 1.1}),
        ("sample_validates", {"sample_validates": -0.1}),
        ("sample_validates", {"sample_validates": float("nan")}),
        ("sample_validates", {"sample_validates": True}),
        ("sample_validates", {"sample_validates": "0.5"}),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(
    argument: str, given: dict[str, Any], manager: SessionManager
) -> None:
    before = dict(vars(manager))
    with pytest.raises(InvalidArgument) as refusal:
        instrument(**{"manager": manager, **given})
    assert refusal.value.argument == argument
    assert vars(manager) == before
    assert not manager._parts.bus.wanted


class Broken(SpanProcessor):
    """Fail at the start of a span, or at its end, with a text that must go nowhere."""

    def __init__(self, where: str) -> None:
        self._where = where

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self._where == "start":
            raise RuntimeError("a secret")

    def on_end(self, span: Any) -> None:
        if self._where == "end":
            raise RuntimeError("a secret")


class BrokenMeters(NoOpMeterProvider):
    """Give instruments that fail whatever they are told."""

    def get_meter(self, *args: Any, **kwargs: Any) -> Any:
        class Failing:
            def __getattr__(self, name: str) -> Any:
                return Failing()

            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                if args and not isinstance(args[0], str):
                    raise RuntimeError("a secret")
                return self

        return Failing()


class BrokenSpan(NonRecordingSpan):
    """Fail whatever is asked or said."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("a secret")


class BrokenSpans(NoOpTracerProvider):
    """Give such spans."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
        class Tracer(NoOpTracer):
            def start_span(self, *args: Any, **kwargs: Any) -> Any:
                return BrokenSpan(INVALID_SPAN_CONTEXT)

        return Tracer()


def fail(*_: object) -> None:
    raise RuntimeError("a secret")


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("where", ["start", "end", "meters", "span", "context"])
def test_telemetry_that_fails_changes_no_answer(
    where: str,
    share: float,
    manager: SessionManager,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    telemetry = Telemetry(processor=Broken(where))
    if where == "span":
        telemetry.tracers = BrokenSpans()  # type: ignore[assignment]
    if where == "context":
        monkeypatch.setattr(contextvars_context.ContextVarsRuntimeContext, "attach", fail)
    if where == "meters":
        telemetry.meters = BrokenMeters()  # type: ignore[assignment]
    with telemetry.watch(manager, share=share):
        made = manager.create("planner", scopes="x")
        assert manager.validate(made.token).session_id == made.id
        with pytest.raises(InsufficientScope):
            manager.validate(made.token, require="y")
        with pytest.raises(InvalidToken):
            manager.validate("x.y.z")
        fresh = manager.refresh(made)
        with pytest.raises(TokenSuperseded):
            manager.validate(made.token)
        assert manager.revoke(made)
        with pytest.raises(SessionEnded):
            manager.validate(fresh.token)
    assert "clawguard.otel" in {record.name for record in caplog.records}
    assert "a secret" not in "".join(record.getMessage() for record in caplog.records)


def test_without_the_library_the_import_says_what_to_install() -> None:
    command = """
import sys
sys.modules["opentelemetry"] = None
import clawguard
try:
    import clawguard.otel
except ImportError as error:
    print(error.name, error, sep="|")
"""
    run = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    name, said = run.stdout.strip().split("|")
    assert name.partition(".")[0] == "opentelemetry"
    assert "clawguard-sessions[otel]" in said
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [each.partition(">")[0] for each in extras["otel"]] == ["opentelemetry-api"]


def test_what_is_exported_names_its_origin(
    manager: SessionManager, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(name: str) -> str:
        raise PackageNotFoundError(name)

    with telemetry.watch(manager):
        manager.create("planner", scopes="x")
    monkeypatch.setattr("clawguard.otel.version", unknown)  # as where it runs from a folder
    with telemetry.watch(manager):
        manager.create("planner", scopes="x")
    origins = [span.instrumentation_scope for span in telemetry.spans]
    assert [origin and origin.name for origin in origins] == ["clawguard.otel"] * 2
    assert [origin and origin.version for origin in origins] == [version("clawguard-sessions"), ""]
