"""The same manager, awaited: keyed reads run inline, the rest takes one hop to a worker thread.

A row is read in microseconds, a hop costs some two hundred: so `validate` runs on the loop itself, but with a
proof, which is written down. A write that was begun is never torn: a cancelled create or delegate ends what
it made, a cancelled refresh supersedes it. Names, parameters and docstrings are those of the plain class, by
construction.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from operator import attrgetter
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from clawguard.clock import Clock, Duration
from clawguard.errors import ClawguardError
from clawguard.events.audit import AuditLog
from clawguard.events.signals import Dispatch, Receiver, Signals
from clawguard.events.subscribers import Subscribers
from clawguard.guard import KekSource, Policy, PolicySource
from clawguard.models import IssuedSession, Session
from clawguard.sessions.activity import Activity
from clawguard.sessions.directory import Directory
from clawguard.sessions.issuing import AtLimit
from clawguard.sessions.keys import Keys
from clawguard.sessions.manager import SessionManager
from clawguard.sessions.switches import Agents
from clawguard.sessions.verifier import Verifier

__all__ = [
    "AsyncActivity",
    "AsyncDirectory",
    "AsyncKeys",
    "AsyncSessionManager",
    "AsyncSubscribers",
    "AsyncVerifier",
]

K = TypeVar("K")
K_co = TypeVar("K_co", covariant=True)
P = ParamSpec("P")
T = TypeVar("T")


class _Twin(Protocol[K_co]):
    """Hold the plain object whose names are awaited here."""

    @property
    def _plain(self) -> K_co: ...


Plain = Callable[Concatenate[K, P], T]
Awaited = Callable[Concatenate[_Twin[K], P], Coroutine[Any, Any, T]]


def _own(method: Plain[K, P, T]) -> Callable[[K], Callable[P, T]]:
    """Return what finds a method by its name: what stands in its place on one object is called here too."""
    return attrgetter(method.__name__)


def _direct(method: Plain[K, P, T]) -> Callable[Concatenate[_Twin[K], P], T]:
    """Pass on a method that is not awaited."""
    own = _own(method)

    @functools.wraps(method)
    def call(self: _Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return own(self._plain)(*args, **kwargs)

    return call


def _inline(method: Plain[K, P, T]) -> Awaited[K, P, T]:
    """Await a method that takes microseconds: it runs on the loop."""
    own = _own(method)

    @functools.wraps(method)
    async def call(self: _Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return own(self._plain)(*args, **kwargs)

    return call


def _hop(method: Plain[K, P, T]) -> Awaited[K, P, T]:
    """Await a method that may wait: it runs in a worker thread, to its end even when cancelled."""
    own = _own(method)

    @functools.wraps(method)
    async def call(self: _Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.shield(asyncio.to_thread(own(self._plain), *args, **kwargs))

    return call


def _inline_or_hop(method: Plain[K, P, T]) -> Awaited[K, P, T]:
    """Await a method that takes microseconds, but writes where it is given a proof: then it takes a hop."""
    inline, hop = _inline(method), _hop(method)

    @functools.wraps(method)
    async def call(self: _Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        awaited = inline if kwargs.get("proof") is None else hop
        return await awaited(self, *args, **kwargs)

    return call


def _hop_or_undo(
    method: Plain[SessionManager, P, IssuedSession], undo: Callable[[SessionManager, IssuedSession], object]
) -> Awaited[SessionManager, P, IssuedSession]:
    """Await a method that issues a token; when the caller is cancelled meanwhile, undo what it made.

    A call with a `request_id` is left as it is: it may be repeated, and may have answered with a session that
    was made before.
    """
    own, own_undo = _own(method), _own(undo)

    @functools.wraps(method)
    async def call(self: _Twin[SessionManager], /, *args: P.args, **kwargs: P.kwargs) -> IssuedSession:
        # A future and no task: the end of the loop cancels tasks, and then nobody would know what was made.
        bound = functools.partial(contextvars.copy_context().run, own(self._plain), *args, **kwargs)
        work = asyncio.get_running_loop().run_in_executor(None, bound)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if kwargs.get("request_id") is None:
                await asyncio.shield(_undo(work, own_undo(self._plain)))
            raise

    return call


async def _undo(work: asyncio.Future[IssuedSession], undo: Callable[[IssuedSession], object]) -> None:
    try:
        await asyncio.to_thread(undo, await work)
    except ClawguardError:
        return  # it made nothing, or what it made has ended already


class AsyncSubscribers:
    """`manager.subscribers` for async code; a cursor's own calls block: `asyncio.to_thread(cursor.take)`."""

    def __init__(self, subscribers: Subscribers) -> None:
        self._plain = subscribers

    list = _inline(Subscribers.list)
    parked = _inline(Subscribers.parked)
    replay = _hop(Subscribers.replay)
    remove = _hop(Subscribers.remove)
    cursor = _hop(Subscribers.cursor)


class _AsyncOpened:
    """What both have in common, see `clawguard.sessions.opened`: receivers are called, not awaited here."""

    _plain: SessionManager | Verifier

    @property
    def events(self) -> AuditLog:
        """The log; `follow` is an async iterator too."""
        return self._plain.events

    @property
    def subscribers(self) -> AsyncSubscribers:
        """The durable subscribers."""
        return AsyncSubscribers(self._plain.subscribers)

    @property
    def issuer(self) -> str:
        """The `iss` of every token of this database."""
        return self._plain.issuer

    @property
    def signals(self) -> Signals:
        """The blinker signals."""
        return self._plain.signals

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
        lock_timeout: float = 5.0,
        clock: Clock | None = None,
    ) -> AsyncVerifier:
        """Open an existing store to verify with: see `Verifier.open`."""
        verifier = Verifier.open(
            url, issuer=issuer, audience=audience, audiences=audiences, lock_timeout=lock_timeout, clock=clock
        )
        return cls(verifier)

    async def __aenter__(self) -> AsyncVerifier:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    use = _direct(Verifier.use)
    validate = _inline_or_hop(Verifier.validate)
    recheck = _inline(Verifier.recheck)
    authorize = _inline(Verifier.authorize)
    inspect = _inline(Verifier.inspect)
    close = _hop(Verifier.close)


class AsyncKeys:
    """`manager.keys` for async code."""

    def __init__(self, keys: Keys) -> None:
        self._plain = keys

    list = _inline(Keys.list)
    active = _inline(Keys.active)
    jwks = _inline(Keys.jwks)
    rotate = _hop(Keys.rotate)
    prune = _hop(Keys.prune)


class AsyncAgents:
    """`manager.agents` for async code."""

    def __init__(self, agents: Agents) -> None:
        self._plain = agents

    disable = _hop(Agents.disable)
    enable = _hop(Agents.enable)
    disabled = _inline(Agents.disabled)


class AsyncDirectory:
    """`manager.sessions` for async code."""

    def __init__(self, directory: Directory) -> None:
        self._plain = directory

    async def iter(self, **filters: Any) -> AsyncIterator[Session]:
        """Walk all sessions that a page would list, page by page."""
        cursor = None
        while True:
            page = await self.page(cursor=cursor, **filters)
            for session in page.items:
                yield session
            cursor = page.next_cursor
            if cursor is None:
                return

    get = _inline(Directory.get)
    find = _inline(Directory.find)
    count_live = _hop(Directory.count_live)
    page = _hop(Directory.page)
    last = _hop(Directory.last)
    children = _hop(Directory.children)
    tree = _hop(Directory.tree)
    lineage = _hop(Directory.lineage)
    purge = _hop(Directory.purge)


class AsyncActivity:
    """`manager.activity` for async code."""

    def __init__(self, activity: Activity) -> None:
        self._plain = activity

    set_name = _hop(Activity.set_name)
    set_agent_alias = _hop(Activity.set_agent_alias)
    set_metadata = _hop(Activity.set_metadata)
    set_routing = _hop(Activity.set_routing)
    set_state = _hop(Activity.set_state)
    running = _hop(Activity.running)
    stuck = _hop(Activity.stuck)


class AsyncSessionManager(_AsyncOpened):
    """`SessionManager` for async code: `async with AsyncSessionManager.open() as manager:`.

    `AsyncSessionManager(manager)` shares a manager that somebody else opened and closes. Async receivers
    run on the loop that the manager was opened on.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._plain: SessionManager = manager
        self._owns = False
        self.keys = AsyncKeys(manager.keys)
        self.sessions = AsyncDirectory(manager.sessions)
        self.agents = AsyncAgents(manager.agents)
        self.activity = AsyncActivity(manager.activity)

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
        lock_timeout: float = 5.0,
        dispatch: Dispatch = "thread",
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
            lock_timeout=lock_timeout,
            dispatch=dispatch,
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

    use = _direct(SessionManager.use)
    create = _hop_or_undo(SessionManager.create, SessionManager.end)
    create_session = _hop_or_undo(SessionManager.create_session, SessionManager.end)
    delegate = _hop_or_undo(SessionManager.delegate, SessionManager.end)
    refresh = _hop_or_undo(SessionManager.refresh, SessionManager.refresh)
    redeem = _hop(SessionManager.redeem)
    validate = _inline_or_hop(SessionManager.validate)
    recheck = _inline(SessionManager.recheck)
    authorize = _inline(SessionManager.authorize)
    reload_policy = _hop(SessionManager.reload_policy)
    inspect = _inline(SessionManager.inspect)
    get_session = _inline(SessionManager.get_session)
    revoke = _hop(SessionManager.revoke)
    end = _hop(SessionManager.end)
    invalidate = _hop(SessionManager.invalidate)
    publish = _hop(SessionManager.publish)
    revoke_all_for_agent = _hop(SessionManager.revoke_all_for_agent)
    revoke_where = _hop(SessionManager.revoke_where)
    active_count = _hop(SessionManager.active_count)
    prune_expired = _hop(SessionManager.prune_expired)
