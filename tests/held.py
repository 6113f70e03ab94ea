"""A read of PostgreSQL that is held back until an event loop has shown that it turns meanwhile."""

from __future__ import annotations

import asyncio

import psycopg

__all__ = ["hold_reads"]

_WAITERS = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'sessions'::regclass"
_TURNS = 100


async def hold_reads(url: str) -> asyncio.Task[int]:
    """Hold back every read of sessions; return what lets them go once one waits and the loop has turned on.

    A read that waits on this very loop is never let go, and fails after its own patience.
    """
    at, _, schema = url.partition("?schema=")
    holder = await asyncio.to_thread(_lock, at, schema)
    return asyncio.create_task(_let_go(holder))


def _lock(url: str, schema: str) -> psycopg.Connection:
    holder = psycopg.connect(url, options=f"-c search_path={schema}")
    holder.execute("LOCK TABLE sessions IN ACCESS EXCLUSIVE MODE")
    return holder


async def _let_go(holder: psycopg.Connection) -> int:
    turns = 0
    try:
        while not await asyncio.to_thread(_is_waited_for, holder):
            turns += 1
        for _ in range(_TURNS):
            turns += 1
            await asyncio.sleep(0)
        return turns
    finally:
        holder.close()


def _is_waited_for(holder: psycopg.Connection) -> bool:
    found = holder.execute(_WAITERS).fetchone()
    return found is not None and found[0] > 0
