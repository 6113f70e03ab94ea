"""The same manager, awaited: keyed reads of a file run inline, the rest takes one hop to a worker thread.

A file's row is read in microseconds, a hop costs some two hundred: so `validate` runs on the loop itself, but
with a proof, which is written down, or from a server, which may not answer. A write that was begun is never
torn: a cancelled create or delegate ends what it made, a cancelled refresh supersedes it. Names, parameters
and docstrings are those of the plain class, by construction.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable, Collection
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

from clawguard.clock import Clock, Duration
from clawguard.errors import ClawguardError
from clawguard.events.audit import AuditLog
from clawguard.events.signals import Dispatch, Receiver, Signals
from clawguard.guard import KekSource, Policy, PolicySource
from clawguard.models import IssuedSession
from clawguard.sessions.aio_parts import (
    AsyncActivity,
    AsyncAgents,
    AsyncDirectory,
    AsyncHistory,
    AsyncKeys,
    AsyncSubscribers,
)
from clawguard.sessions.awaiting import Awaited, Plain, Twin, direct, hop, inline, inline_or_hop, own
from clawguard.sessions.feed import Freshness
from clawguard.sessions.issuing import AtLimit
from clawguard.sessions.manager import SessionManager
from clawguard.sessions.verifier import Verifier

__all__ = ["AsyncSessionManager", "AsyncVerifier", "plain_of"]

P = ParamSpec("P")
C = TypeVar("C")


def _hop_or_undo(
    method: Plain[SessionManager, P, IssuedSession], undo: Callable[[SessionManager, IssuedSession], object]
) -> Awaited[SessionManager, P, IssuedSession]:
    """Await a method that issues a token; when the caller is cancelled meanwhile, undo what it made.

    A call with a `request_id` is left as it is: it may be repeated, and may have answered with a session that
    was made before.
    """
    find, find_undo = own(method), own(undo)

    @functools.wraps(method)
    async def call(self: Twin[SessionManager], /, *args: P.args, **kwargs: P.kwargs) -> IssuedSession:
        # A future and no task: the end of the loop cancels tasks, and then nobody would know what was made.
        bound = functools.partial(contextvars.copy_context().run, find(self._plain), *args, **kwargs)
        work = asyncio.get_running_loop().run_in_executor(None, bound)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if kwargs.get("request_id") is None:
                await asyncio.shield(_undo(work, find_undo(self._plain)))
            raise

    return call


async def _undo(work: asyncio.Future[IssuedSession], undo: Callable[[IssuedSession], object]) -> None:
    try:
        await asyncio.to_thread(undo, await work)
    except ClawguardError:
        return  # it made nothing, or what it made has ended already


class _AsyncOpened:
    """What both have in common, see `clawguard.sessions.opened`: receivers are called, not awaited here."""

    _plain: SessionManager | Verifier

    @property
    def _reads_wait(self) -> bool:
        return self._plain._reads_wait

    @property
    def events(self) -> AuditLog:
        """The log; `follow` is an async iterator too."""
        return self._plain.events

    @property
    def subscribers(self) -> AsyncSubscribers:
        """The durable subscribers."""
        return AsyncSubscribers(self._plain.subscribers, reads_wait=self._reads_wait)

    @property
    def issuer(self) -> str:
        """The `iss` of every token of this database."""
        return self._plain.issuer

    @property
    def audience(self) -> str:
        """Whom tokens are for without an audience of their own."""
        return self._plain.audience

    @property
    def signals(self) -> Signals:
        """The blinker signals."""
        return self._plain.signals

    @property
    def freshness(self) -> Freshness | None:
        """How old an answer may be, and for how long such may be given; None without a `max_staleness`."""
        return self._plain.freshness

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
        """Call a plain or async receiver with every event that fits: see `SessionManager.on`."""
        on: Any = self._plain.on
        return on(pattern, receiver, durable=durable, after=after, tries=tries, lease=lease)

    def off(self, receiver: Receiver) -> None:
        """Stop calling a receiver given to `on`."""
        self._plain.off(receiver)


class AsyncVerifier(_AsyncOpened):
    """`Verifier` for async code: `async with AsyncVerifier.open(...) as verifier:`."""

    def __init__(self, verifier: Verifier) -> None:
        self._plain: Verifier = verifier

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        audiences: Collection[str] = (),
        max_staleness: Duration = 0,
        token: str | Callable[[], str] | None = None,
        lock_timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> AsyncVerifier:
        """Open an existing store to verify with: see `Verifier.open`."""
        verifier = Verifier.open(
            url,
            issuer=issuer,
            audience=audience,
            audiences=audiences,
            max_staleness=max_staleness,
            token=token,
            lock_timeout=lock_timeout,
            clock=clock,
        )
        return cls(verifier)

    async def __aenter__(self) -> AsyncVerifier:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    use = direct(Verifier.use)
    validate = inline_or_hop(Verifier.validate)
    recheck = inline(Verifier.recheck)
    authorize = inline(Verifier.authorize)
    inspect = inline(Verifier.inspect)
    close = hop(Verifier.close)


class AsyncSessionManager(_AsyncOpened):
    """`SessionManager` for async code: `async with AsyncSessionManager.open() as manager:`.

    `AsyncSessionManager(manager)` shares a manager that somebody else opened and closes. Async receivers
    run on the loop that the manager was opened on.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._plain: SessionManager = manager
        self._owns = False
        waits = manager._reads_wait
        self.keys = AsyncKeys(manager.keys, reads_wait=waits)
        self.sessions = AsyncDirectory(manager.sessions, reads_wait=waits)
        self.agents = AsyncAgents(manager.agents, reads_wait=waits)
        self.activity = AsyncActivity(manager.activity, reads_wait=waits)
        self.history = AsyncHistory(manager.history, reads_wait=waits)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        audiences: Collection[str] = (),
        policy: PolicySource | None = None,
        kek: KekSource = None,
        max_sessions_per_agent: int | None = None,
        at_limit: AtLimit = "deny",
        refresh_idle: Duration = 3_600,
        refresh_grace: Duration = 10,
        sweep_every: float | None = 1.0,
        max_staleness: Duration = 0,
        lock_timeout: float = 5.0,
        dispatch: Dispatch = "thread",
        encrypt_history: bool = False,
        create: bool = True,
        clock: Clock | None = None,
    ) -> AsyncSessionManager:
        """Open the store, making it on first use: see `SessionManager.open`."""
        manager = SessionManager.open(
            url,
            issuer=issuer,
            audience=audience,
            audiences=audiences,
            policy=policy,
            kek=kek,
            max_sessions_per_agent=max_sessions_per_agent,
            at_limit=at_limit,
            refresh_idle=refresh_idle,
            refresh_grace=refresh_grace,
            sweep_every=sweep_every,
            max_staleness=max_staleness,
            lock_timeout=lock_timeout,
            dispatch=dispatch,
            encrypt_history=encrypt_history,
            create=create,
            clock=clock,
        )
        opened = cls(manager)
        opened._owns = True
        return opened

    async def __aenter__(self) -> AsyncSessionManager:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the store, unless the manager is shared: see `SessionManager.close`."""
        if self._owns:
            await asyncio.shield(asyncio.to_thread(self._plain.close))

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._plain.policy

    use = direct(SessionManager.use)
    create = _hop_or_undo(SessionManager.create, SessionManager.end)
    create_session = _hop_or_undo(SessionManager.create_session, SessionManager.end)
    delegate = _hop_or_undo(SessionManager.delegate, SessionManager.end)
    refresh = _hop_or_undo(SessionManager.refresh, SessionManager.refresh)
    redeem = hop(SessionManager.redeem)
    validate = inline_or_hop(SessionManager.validate)
    recheck = inline(SessionManager.recheck)
    authorize = inline(SessionManager.authorize)
    reload_policy = hop(SessionManager.reload_policy)
    inspect = inline(SessionManager.inspect)
    get_session = inline(SessionManager.get_session)
    revoke = hop(SessionManager.revoke)
    end = hop(SessionManager.end)
    invalidate = hop(SessionManager.invalidate)
    publish = hop(SessionManager.publish)
    revoke_all_for_agent = hop(SessionManager.revoke_all_for_agent)
    revoke_where = hop(SessionManager.revoke_where)
    active_count = hop(SessionManager.active_count)
    prune_expired = hop(SessionManager.prune_expired)


def plain_of(
    verifier: C | AsyncVerifier | AsyncSessionManager,
) -> C | Verifier | SessionManager:
    """Return what an async twin wraps; whatever is none is given back."""
    return verifier._plain if isinstance(verifier, AsyncVerifier | AsyncSessionManager) else verifier
