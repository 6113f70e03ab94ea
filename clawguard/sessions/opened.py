"""What an open manager and an open verifier have in common: the log, the thread between calls, an end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from clawguard.clock import Duration
from clawguard.errors import InvalidArgument
from clawguard.events.audit import AuditLog
from clawguard.events.signals import Receiver, Signals
from clawguard.events.subscribers import Subscribers
from clawguard.sessions.feed import Freshness
from clawguard.sessions.parts import Parts
from clawguard.sessions.sweeper import Sweeper

__all__ = ["Opened"]

R = TypeVar("R", bound=Receiver)


class Opened:
    """Hold an open store and all above it; every `every` seconds the chores are done. A context manager."""

    def __init__(self, parts: Parts, chores: Sequence[Callable[[], object]], *, every: float | None) -> None:
        self._parts = parts
        self._sweeper = Sweeper(chores, every=every)
        parts.recorder.kick = self._sweeper.kick
        self._following: Sweeper | None = None
        if parts.feed is not None:
            hints = partial(parts.store.hints, silence=parts.feed.bound)
            chores_of_feed = (parts.feed.follow, parts.log.stir)
            self._following = Sweeper(chores_of_feed, every=parts.feed.poll_every, hints=hints)
        parts.bus.sender = self

    @property
    def _reads_wait(self) -> bool:
        return self._parts.store.reads_wait

    @property
    def issuer(self) -> str:
        """The `iss` of every token of this database."""
        return self._parts.guard.issuer

    @property
    def audience(self) -> str:
        """Whom tokens are for that are created, or validated, without an audience of their own."""
        return self._parts.guard.audience

    @property
    def events(self) -> AuditLog:
        """The log: read, follow, flush; verify, checkpoint, archive."""
        return self._parts.log

    @property
    def subscribers(self) -> Subscribers:
        """The durable subscribers: list, parked, replay, remove, and cursors to poll by hand."""
        return Subscribers(self._parts.servers)

    @property
    def signals(self) -> Signals:
        """The blinker signals; receivers get `(manager, event=)`."""
        return self._parts.bus.signals

    @property
    def freshness(self) -> Freshness | None:
        """How old an answer may be, and for how long such may be given; None without a `max_staleness`."""
        return None if self._parts.feed is None else self._parts.feed.freshness()

    @overload
    def on(
        self,
        pattern: str,
        receiver: R,
        *,
        durable: str | None = ...,
        after: int | None = ...,
        tries: int | None = ...,
        lease: Duration | None = ...,
    ) -> R: ...
    @overload
    def on(
        self,
        pattern: str,
        *,
        durable: str | None = ...,
        after: int | None = ...,
        tries: int | None = ...,
        lease: Duration | None = ...,
    ) -> Callable[[R], R]: ...
    def on(
        self,
        pattern: str,
        receiver: Any = None,
        *,
        durable: str | None = None,
        after: int | None = None,
        tries: int | None = None,
        lease: Duration | None = None,
    ) -> Any:
        """Call a plain or async receiver with every `Event` that fits a pattern such as `session.*`.

        Also a decorator. After the commit, in commit order, this process's events only; the receiver is
        held strongly, and one that fails harms nothing.

        With a `durable` name it hears every process, at least once and in order, across restarts. One process
        of those that subscribe the name serves it, and another takes over when it has been silent for `lease`
        seconds (15): dead, stopped, hanging, or slow, so let a call take less. A new name begins behind the
        event `after` (None: now). A receiver that fails is tried again, up to `tries` (8) times; then the
        event is parked, as is one that five processes died or hung over: see `subscribers`.
        """
        if receiver is None:
            return partial(self.on, pattern, durable=durable, after=after, tries=tries, lease=lease)
        if durable is None:
            if (after, tries, lease) != (None, None, None):
                raise InvalidArgument("durable", "is missing", hint="after=, tries= and lease= go with it")
            return self._parts.bus.on(pattern, receiver)
        serve = self._parts.servers.serve
        serve(durable, pattern, receiver, after=after, tries=tries, lease=lease)
        return receiver

    def off(self, receiver: Receiver) -> None:
        """Stop calling a receiver given to `on`; a durable subscriber keeps its place."""
        self._parts.bus.off(receiver)
        self._parts.servers.off(receiver)

    def _start(self) -> None:
        """Start the threads between calls."""
        self._sweeper.start()
        if self._following is not None:
            self._following.kick()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what was gathered, deliver what is queued, let go of the store; again does nothing."""
        if self._following is not None:
            self._following.stop()
        self._sweeper.stop()
        self._parts.close()
