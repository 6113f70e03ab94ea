"""How a plain object's methods are awaited: as they are, on the loop, or with one hop to a worker thread.

Names, parameters and docstrings are those of the plain class, by construction.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from operator import attrgetter
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

__all__ = [
    "Awaited",
    "Plain",
    "Twin",
    "direct",
    "hop",
    "inline",
    "inline_or_hop",
    "may_write",
    "own",
    "read",
    "waits",
]

K = TypeVar("K")
K_co = TypeVar("K_co", covariant=True)
P = ParamSpec("P")
T = TypeVar("T")


class Twin(Protocol[K_co]):
    """Hold the plain object whose names are awaited here, and whether it reads from a server."""

    @property
    def _plain(self) -> K_co: ...

    @property
    def _reads_wait(self) -> bool: ...


Plain = Callable[Concatenate[K, P], T]
Awaited = Callable[Concatenate[Twin[K], P], Coroutine[Any, Any, T]]


def waits(plain: object) -> bool:
    """Tell whether what takes microseconds elsewhere waits here for a server, and so not on an event loop."""
    return getattr(plain, "_reads_wait", False) is True


async def read(plain: object, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what reads from a plain object, in a thread where that waits for a server or a lock."""
    if waits(plain) or any(may_write(plain, each) for each in args):
        return await asyncio.to_thread(work, *args, **kwargs)
    return work(*args, **kwargs)


def may_write(plain: object, token: object) -> bool:
    """Tell whether validating a token may write, and so wait for a lock and a disk: not on an event loop."""
    tell = getattr(plain, "_may_write", None)
    return tell is not None and tell(token) is True


def own(method: Plain[K, P, T]) -> Callable[[K], Callable[P, T]]:
    """Return what finds a method by its name: what stands in its place on one object is called here too."""
    return attrgetter(method.__name__)


def direct(method: Plain[K, P, T]) -> Callable[Concatenate[Twin[K], P], T]:
    """Pass on a method that is not awaited."""
    find = own(method)

    @functools.wraps(method)
    def call(self: Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return find(self._plain)(*args, **kwargs)

    return call


def inline(method: Plain[K, P, T]) -> Awaited[K, P, T]:
    """Await a method that takes microseconds: it runs on the loop, unless what it reads is on a server."""
    find, in_a_thread = own(method), hop(method)

    @functools.wraps(method)
    async def call(self: Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._reads_wait:
            return await in_a_thread(self, *args, **kwargs)
        return find(self._plain)(*args, **kwargs)

    return call


def hop(method: Plain[K, P, T]) -> Awaited[K, P, T]:
    """Await a method that may wait: it runs in a worker thread, to its end even when cancelled."""
    find = own(method)

    @functools.wraps(method)
    async def call(self: Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.shield(asyncio.to_thread(find(self._plain), *args, **kwargs))

    return call


def inline_or_hop(method: Plain[K, P, T]) -> Awaited[K, P, T]:
    """Await a method that takes microseconds, but a hop where it may write: for a proof or a counted use."""
    on_the_loop, in_a_thread = inline(method), hop(method)

    @functools.wraps(method)
    async def call(self: Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        if self._reads_wait or kwargs.get("proof") is not None:
            return await in_a_thread(self, *args, **kwargs)
        writes = any(may_write(self._plain, each) for each in args)
        return await (in_a_thread if writes else on_the_loop)(self, *args, **kwargs)

    return call
