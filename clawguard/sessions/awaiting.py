"""How a plain object's methods are awaited: as they are, on the loop, or with one hop to a worker thread.

Names, parameters and docstrings are those of the plain class, by construction.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from operator import attrgetter
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

__all__ = ["Awaited", "Plain", "Twin", "direct", "hop", "inline", "inline_or_hop", "own", "waits"]

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
    """Await a method that takes microseconds, but writes where it is given a proof: then it takes a hop."""
    on_the_loop, in_a_thread = inline(method), hop(method)

    @functools.wraps(method)
    async def call(self: Twin[K], /, *args: P.args, **kwargs: P.kwargs) -> T:
        awaited = on_the_loop if kwargs.get("proof") is None else in_a_thread
        return await awaited(self, *args, **kwargs)

    return call
