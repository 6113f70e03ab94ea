"""OpenTelemetry: spans of what a manager or verifier is asked to do, and metrics of what became of it.

What they say is made from answers, not from what was given, which may be anything: no token, refresh token,
proof, key, token id, free text or metadata. Of an error they say the machine code, not its text. An id stands
in spans only: in a metric each would be a series of its own.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from clawguard.clock import SECOND, SystemClock
from clawguard.errors import (
    AccessDenied,
    ClawguardError,
    DelegationRefused,
    InsufficientScope,
    InvalidArgument,
    InvalidToken,
    LimitReached,
    PolicyDenied,
    SessionEnded,
    TokenSuperseded,
)
from clawguard.events.event import Event
from clawguard.guard import Policy
from clawguard.models import Decision, Ended, Session, SessionContext
from clawguard.sessions.aio import AsyncSessionManager, AsyncVerifier, plain_of
from clawguard.sessions.manager import SessionManager
from clawguard.sessions.references import session_id_of
from clawguard.sessions.verifier import Verifier

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import attach, detach
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "clawguard.otel needs opentelemetry-api: install clawguard-sessions[otel]", name=missing.name
    ) from missing

__all__ = ["Instrumentation", "instrument"]

_logger = logging.getLogger("clawguard.otel")

_VERBS = (
    "create",
    "delegate",
    "refresh",
    "redeem",
    "revoke",
    "end",
    "invalidate",
    "revoke_all_for_agent",
    "revoke_where",
    "reload_policy",
    "agents.disable",
    "agents.enable",
    "keys.rotate",
)
_CHECKS = ("validate", "authorize")
_FOUND = (SessionEnded, TokenSuperseded, InsufficientScope, PolicyDenied, DelegationRefused)
_MARK = "_instrumentation"
_LAST_CALL = 2.0  # seconds that the live bus has at close
_GOLDEN = (5**0.5 - 1) / 2
# Seconds: a validate that hits takes microseconds, a write that waits for others up to its lock timeout.
_BOUNDS = (5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.5, 1.0, 5.0)

_Call = Callable[..., Any]
_Told = dict[str, str | bool | int | tuple[str, ...]]


def instrument(
    manager: SessionManager | AsyncSessionManager | Verifier | AsyncVerifier,
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    sample_validates: float = 0.01,
) -> Instrumentation:
    """Have a manager or verifier give spans and metrics, until what this returns is closed.

    `sample_validates` (0 to 1) is the share of `validate` and `authorize` calls that are measured: by a span
    and a value of the histogram. Calls that deny a genuine caller have a span all the same. This is decided
    before the tracer's own sampler is asked. The providers are by default the global ones. An async twin
    shares what it wraps: either is instrumented, for both. Raises InvalidArgument, also for one that is
    instrumented already.
    """
    plain = plain_of(manager)
    if not isinstance(plain, SessionManager | Verifier):
        raise InvalidArgument("manager", "must be a SessionManager, a Verifier or an async twin of one")
    _check_provider(tracer_provider, "get_tracer", argument="tracer_provider")
    _check_provider(meter_provider, "get_meter", argument="meter_provider")
    is_number = isinstance(sample_validates, int | float) and not isinstance(sample_validates, bool)
    if not is_number or not 0 <= sample_validates <= 1:  # also for NaN
        raise InvalidArgument("sample_validates", "must be 0 to 1", hint="0.01 is one in a hundred")
    installed = _version()
    tracer = trace.get_tracer(__name__, installed, tracer_provider)
    meters = _Meters(metrics.get_meter(__name__, installed, meter_provider))
    return Instrumentation(plain, _Watch(tracer, meters), meters, share=sample_validates)


class Instrumentation:
    """Hold what `instrument` put in place; `close()` takes it away again. A context manager."""

    def __init__(
        self, plain: SessionManager | Verifier, watch: _Watch, meters: _Meters, *, share: float
    ) -> None:
        if vars(plain).setdefault(_MARK, self) is not self:
            raise InvalidArgument(
                "manager", "is instrumented already", hint="close() what instrument() returned before"
            )
        with ExitStack() as steps:  # what fails on the way leaves nothing behind
            steps.callback(vars(plain).pop, _MARK)
            for event_type, receiver in meters.receivers():
                plain.on(event_type, receiver)
                steps.callback(plain.off, receiver)
            steps.callback(plain.events.flush, _LAST_CALL)
            for verb in _VERBS:
                _put(plain, verb, partial(watch.every, verb), steps)
            for verb in _CHECKS:
                _put(plain, verb, partial(watch.some, verb, share=share), steps)
            self._steps = steps.pop_all()

    def close(self) -> None:
        """Count what was committed before, and leave the manager as it was; again does nothing."""
        self._steps.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


class _Meters:
    """Count the sessions that this process makes, refreshes and ends, as it commits, and time calls."""

    def __init__(self, meter: metrics.Meter) -> None:
        self._created = meter.create_counter(
            "clawguard.sessions.created", unit="{session}", description="Sessions made by this process."
        )
        self._refreshed = meter.create_counter(
            "clawguard.sessions.refreshed", unit="{token}", description="Next tokens issued by this process."
        )
        self._ended = meter.create_counter(
            "clawguard.sessions.ended",
            unit="{session}",
            description="Ends recorded by this process, by cause; of all processes it is one.",
        )
        self._refused = meter.create_counter(
            "clawguard.refusals", unit="{call}", description="Calls that were refused or failed."
        )
        self._duration = meter.create_histogram(
            "clawguard.operation.duration",
            unit="s",
            description="How long calls took; of validate and authorize those that are measured.",
            explicit_bucket_boundaries_advisory=_BOUNDS,
        )

    def receivers(self) -> Iterator[tuple[str, Callable[[Event], None]]]:
        """Yield what hears the events that are counted."""
        yield "session.created", self._count_created
        yield "session.refreshed", self._count_refreshed
        yield "session.expired", self._count_ended

    def _count_created(self, event: Event) -> None:
        how = "create" if event.data.get("parent_id") is None else "delegate"
        self._created.add(1, {"clawguard.operation": how})

    def _count_refreshed(self, _: Event) -> None:
        self._refreshed.add(1)

    def _count_ended(self, event: Event) -> None:
        self._ended.add(1, {"clawguard.cause": str(event.cause)})

    def refused(self, verb: str, error_type: str) -> None:
        """Count a call that raised, or a decision that denies."""
        with _harmless():
            self._refused.add(1, {"clawguard.operation": verb, "error.type": error_type})

    def took(self, verb: str, seconds: float, error_type: str | None) -> None:
        """Note how long a call took."""
        how = {} if error_type is None else {"error.type": error_type}
        with _harmless():
            self._duration.record(seconds, {"clawguard.operation": verb, **how})


class _Watch:
    """Wrap calls so that they are told of; whatever goes wrong in the telling, the answer stays the same."""

    def __init__(self, tracer: trace.Tracer, meters: _Meters) -> None:
        self._tracer = tracer
        self._meters = meters
        self._now = SystemClock().now

    def every(self, verb: str, call: _Call) -> _Call:
        """Measure every call."""

        @wraps(call)
        def watched(*args: Any, **kwargs: Any) -> Any:
            span = self._begin(verb)
            with _current(span):
                start = perf_counter()
                try:
                    result = call(*args, **kwargs)
                except BaseException as error:
                    seconds = perf_counter() - start
                    _finish(span, partial(_of_error, verb, error, _named(args, kwargs)), failed=True)
                    self._meters.took(verb, seconds, _type_of(error))
                    self._meters.refused(verb, _type_of(error))
                    raise
                seconds = perf_counter() - start
                _finish(span, partial(_of_answer, result, _named(args, kwargs)))
                self._meters.took(verb, seconds, None)
                if _denies(result):
                    self._meters.refused(verb, PolicyDenied.code)
                return result

        return watched

    def some(self, verb: str, call: _Call, *, share: float) -> _Call:
        """Measure a share of the calls; of the others tell of denials alone."""
        measured, calls = self.every(verb, call), count()

        @wraps(call)
        def watched(*args: Any, **kwargs: Any) -> Any:
            # The multiples of the golden section fall evenly into [0, 1), and so does every second or tenth
            # of them: of calls that always come in pairs, a plain "one in N" would measure one half only.
            if next(calls) * _GOLDEN % 1.0 < share:
                return measured(*args, **kwargs)
            start = perf_counter()
            try:
                result = call(*args, **kwargs)
            except BaseException as error:
                if isinstance(error, AccessDenied) and error.code != InvalidToken.code:
                    told = partial(_of_error, verb, error, _named(args, kwargs))
                    _finish(self._begin(verb, since=start), told, failed=True)
                self._meters.refused(verb, _type_of(error))
                raise
            if not result and _denies(result):  # no context is ever false
                _finish(self._begin(verb, since=start), partial(_of_answer, result, _named(args, kwargs)))
                self._meters.refused(verb, PolicyDenied.code)
            return result

        return watched

    def _begin(self, verb: str, *, since: float | None = None) -> trace.Span:
        """Begin a span, below the one that is current here; `since` is by `perf_counter`."""
        with _harmless():
            ago = 0 if since is None else round((perf_counter() - since) * SECOND)
            at = None if since is None else (self._now() - ago) * 1_000
            return self._tracer.start_span(f"clawguard.{verb}", start_time=at)
        return trace.INVALID_SPAN


@contextmanager
def _current(span: trace.Span) -> Iterator[None]:
    """Have a span be the one that is active, where that can be done."""
    with ExitStack() as steps:
        with _harmless():
            steps.callback(detach, attach(trace.set_span_in_context(span)))
        yield


def _finish(span: trace.Span, told: Callable[[], _Told], *, failed: bool = False) -> None:
    """Say what is to be said and end the span; a status has no text."""
    with _harmless():
        if span.is_recording():
            span.set_attributes(told())
            if failed:
                span.set_status(trace.StatusCode.ERROR)
    with _harmless():
        span.end()


def _of_answer(result: object, named: object) -> _Told:
    """Return what a span says of an answer; `named` is whom or what the call named, which was good."""
    match result:
        case Session():
            return _of_session(result)
        case SessionContext():
            return _of_context(result)
        case Decision() if isinstance(named, SessionContext):  # of which only the id was good
            rule: _Told = {} if result.rule is None else {"clawguard.rule": result.rule}
            asked: _Told = {"session.id": named.session_id, "clawguard.action": result.action}
            return {**asked, "clawguard.allowed": result.allowed, **rule}
        case Ended():
            is_agent = result.count > 0 and isinstance(named, str | uuid.UUID)  # else it may be anything
            whose: _Told = {"gen_ai.agent.id": str(named)} if is_agent else {}
            act: _Told = {} if result.cause_id is None else {"clawguard.cause_id": result.cause_id}
            return {**whose, **act, "clawguard.count": result.count}
        case bool() if isinstance(named, str | uuid.UUID | Session | SessionContext):
            return {"session.id": session_id_of(named), "clawguard.ended": result}
        case Policy():
            return {"clawguard.policy": result.digest}
    return {}


def _of_session(session: Session) -> _Told:
    told = _of_whom(session) | {"clawguard.scopes": tuple(session.scopes), "clawguard.depth": session.depth}
    if session.parent_id is not None:
        told["clawguard.parent_id"] = session.parent_id
    return {**told, "session.id": session.id}


def _of_context(context: SessionContext) -> _Told:
    return {**_of_whom(context), "session.id": context.session_id, "clawguard.depth": len(context.actors)}


def _of_whom(record: Session | SessionContext) -> _Told:
    told: _Told = {
        "gen_ai.agent.id": record.agent_id,
        "clawguard.workspace_id": record.workspace_id,
        "clawguard.generation": record.generation,
    }
    if not record.subject.startswith("agent:"):
        told["user.id"] = record.subject
    return told if record.role is None else {**told, "clawguard.role": record.role}


def _of_error(verb: str, error: BaseException, named: object) -> _Told:
    """Return what a span says of an error; the session is named where it was found, and not by a text."""
    told: _Told = {"error.type": _type_of(error)}
    if isinstance(error, _FOUND) and isinstance(named, Session | SessionContext):
        told["clawguard.parent_id" if verb == "delegate" else "session.id"] = session_id_of(named)
    if isinstance(error, SessionEnded):
        told["clawguard.cause"] = error.cause
    if isinstance(error, InsufficientScope | LimitReached):
        told["gen_ai.agent.id"] = error.agent_id
    if isinstance(error, InsufficientScope | DelegationRefused):
        told["clawguard.missing"] = error.missing
    return told


def _denies(result: object) -> bool:
    return isinstance(result, Decision) and not result.allowed


def _type_of(error: BaseException) -> str:
    return error.code if isinstance(error, ClawguardError) else type(error).__qualname__


def _named(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> object:
    """Return whom or what a call named: its first argument, however it was given."""
    return args[0] if args else kwargs.get("session", kwargs.get("agent_id"))


def _put(plain: object, verb: str, watched: Callable[[_Call], _Call], steps: ExitStack) -> None:
    """Put a watched method in the place of the object's own; a verifier lacks most of them."""
    path, _, name = verb.rpartition(".")
    owner = getattr(plain, path, None) if path else plain
    call = getattr(owner, name, None)
    if call is not None:
        before, ours = vars(owner).get(name), watched(call)
        setattr(owner, name, ours)
        steps.callback(_put_back, owner, name, ours, before)


def _put_back(owner: object, name: str, ours: _Call, before: _Call | None) -> None:
    """Undo what was put in a method's place, unless somebody has put another there since."""
    if vars(owner).get(name) is not ours:
        return
    if before is None:
        delattr(owner, name)
    else:
        setattr(owner, name, before)


def _check_provider(provider: object, method: str, *, argument: str) -> None:
    if provider is not None and not callable(getattr(provider, method, None)):
        raise InvalidArgument(argument, f"must have {method}()", hint="leave it out for the global one")


def _version() -> str:
    """Return the version that is installed; none is where it runs from a folder."""
    try:
        return version("clawguard-sessions")
    except PackageNotFoundError:
        return ""


@contextmanager
def _harmless() -> Iterator[None]:
    """Keep what fails in exporting or sampling from the caller: what was done is answered as always."""
    try:
        yield
    except Exception as error:
        _logger.error("telemetry failed: %s", type(error).__name__)
