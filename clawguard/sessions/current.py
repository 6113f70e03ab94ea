"""The session bound here: `use` binds it, `current_session` reads it, `requires` checks it on every call."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar, Token
from traceback import extract_tb
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from clawguard.checks import check_text
from clawguard.errors import ClawguardError, InvalidArgument, NoSession
from clawguard.guard import Proof
from clawguard.models import SessionContext
from clawguard.scopes import Scopes, parse_scopes
from clawguard.sessions.awaiting import may_write, read, waits
from clawguard.sessions.watching import Watch

__all__ = [
    "Use",
    "Validator",
    "bound_actor",
    "bound_session_id",
    "current_session",
    "requires",
    "unbind",
    "who_acts",
]

F = TypeVar("F", bound=Callable[..., Any])


class Validator(Protocol):
    """Check tokens and contexts against their rows."""

    def validate(
        self, token_or_context: str | SessionContext, /, *, require: Scopes = ..., proof: Proof | None = ...
    ) -> SessionContext:
        """Return the context as it now stands, or raise."""

    def recheck(self, context: SessionContext, /, *, require: Scopes = ()) -> None:
        """Raise as `validate` does, without counting it as activity."""


class _Binding(NamedTuple):
    context: SessionContext
    validator: Validator
    reaches: Callable[[], bool] | None  # None: as far as the context variable does


_bound: ContextVar[_Binding | None] = ContextVar("clawguard_session", default=None)


def current_session() -> SessionContext:
    """Return the session bound by `use` or by a web adapter; NoSession where none is."""
    return _require_binding().context


def who_acts(actor: str | None) -> str:
    """Return who acts, for the log: by default the bound session, else the host."""
    return bound_actor() or "host" if actor is None else check_text(actor, argument="actor")


def bound_actor() -> str | None:
    """Return who acts here, for the log: the bound session, if any."""
    session_id = bound_session_id()
    return None if session_id is None else f"session:{session_id}"


def bound_session_id() -> str | None:
    """Return the id of the session bound here, if any."""
    binding = _binding()
    return None if binding is None else binding.context.session_id


def _forget_frames(error: BaseException) -> None:
    """Keep of an unexpected error where it arose: its frames hold the token, and debug pages show frames."""
    each: BaseException | None = error
    while each is not None:
        frames = extract_tb(each.__traceback__)
        if frames:
            each.add_note(f"raised in {frames[-1].filename}, line {frames[-1].lineno}")
        each.__traceback__ = None
        each = each.__cause__ or each.__context__


def unbind() -> Callable[[], None]:
    """Bind no session here, whichever was bound; return what undoes this."""
    return functools.partial(_bound.reset, _bound.set(None))


def requires(*scopes: str) -> Callable[[F], F]:
    """Let a function run only for a bound session that holds every scope; its row is read on every call.

    Works on `def` and `async def`. Raises NoSession, InsufficientScope, SessionEnded, TokenSuperseded.
    """
    if any(callable(scope) for scope in scopes):
        raise InvalidArgument("scopes", "must be scopes", hint="write @requires('docs:read')")
    wanted = parse_scopes(" ".join(scopes) if all(isinstance(scope, str) for scope in scopes) else scopes)

    def decorate(function: F) -> F:
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def guarded(*args: Any, **kwargs: Any) -> Any:
                await read(_require_binding().validator, _recheck, wanted)
                return await function(*args, **kwargs)

        else:

            @functools.wraps(function)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                _recheck(wanted)
                return function(*args, **kwargs)

        return cast(F, guarded)

    return decorate


def _recheck(wanted: Scopes) -> None:
    binding = _require_binding()
    binding.validator.validate(binding.context, require=wanted)


def _require_binding() -> _Binding:
    binding = _binding()
    if binding is None:
        raise NoSession
    return binding


def _binding() -> _Binding | None:
    binding = _bound.get()
    return binding if binding is None or binding.reaches is None or binding.reaches() else None


class Use:
    """Bind a session for a block; a context manager, plain and async.

    As `async with` it cancels its body and raises SessionEnded within a second of an end, in whichever
    process that happened, and InsufficientScope where a scope that it requires was taken. `finish` is called
    with the context on the way out. `reaches` tells whether it is bound for the code that asks, where a host
    hands its context variables on too far.
    """

    def __init__(
        self,
        validator: Validator,
        token: str | SessionContext,
        *,
        require: Scopes,
        proof: Proof | None = None,
        finish: Callable[[SessionContext], object] | None = None,
        reaches: Callable[[], bool] | None = None,
    ) -> None:
        self._validator = validator
        self._token = token
        self._require = parse_scopes(require, argument="require")
        self._proof = proof
        self._finish = finish
        self._reaches = reaches
        self._resets: list[Token[_Binding | None]] = []
        self._context: SessionContext | None = None

    def __enter__(self) -> SessionContext:
        return self._bind(self._validate())

    def _validate(self) -> SessionContext:
        try:
            return self._validator.validate(self._token, require=self._require, proof=self._proof)
        except ClawguardError:
            raise
        except Exception as error:
            _forget_frames(error)
            raise error.with_traceback(None)  # noqa: B904  # it is the same error

    def _bind(self, context: SessionContext) -> SessionContext:
        self._context = context
        self._resets.append(_bound.set(_Binding(context, self._validator, self._reaches)))
        return context

    async def bind(self) -> SessionContext:
        """Bind the session for what is left of this task, which nothing cancels."""
        validator = self._validator
        may_wait = self._proof is not None or waits(validator) or may_write(validator, self._token)
        return self._bind(await asyncio.to_thread(self._validate) if may_wait else self._validate())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._unbind()
        if self._finish is not None and self._context is not None:
            self._finish(self._context)

    async def __aenter__(self) -> SessionContext:
        context = await self.bind()
        self._watch = Watch(lambda: self._look(context), waits=waits(self._validator))
        return context

    def _look(self, context: SessionContext) -> None:
        """Raise where the block may not go on: its session has ended, or lost a scope that it requires."""
        self._validator.recheck(context, require=self._require)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()
        self._unbind()
        self._watch.settle(kind)
        if self._finish is not None and self._context is not None:
            await asyncio.to_thread(self._finish, self._context)

    def _unbind(self) -> None:
        if self._resets:
            _bound.reset(self._resets.pop())
