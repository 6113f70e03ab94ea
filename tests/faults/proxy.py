"""A proxy before PostgreSQL, in a process of its own, that can hold every byte back or drop every hint."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.servers import HOST, PATIENCE, free_port

_CONTEXT = multiprocessing.get_context("fork")
_TICK = 0.001  # seconds between two looks at what is wanted
_NOTIFICATION = b"A"


class Proxy:
    """Stand between clients and a server. What is held back arrives later: to both sides that is silence."""

    def __init__(self, host: str, port: int) -> None:
        self.port = free_port()
        self._to = (host, port)
        self._is_silent = _CONTEXT.RawValue(ctypes.c_byte, 0)
        self._drops_hints = _CONTEXT.RawValue(ctypes.c_byte, 0)
        self._dropped = _CONTEXT.RawValue(ctypes.c_long, 0)
        self._is_up = _CONTEXT.Event()

    def url(self, url: str) -> str:
        """Return a server's URL as it is through here, in the clear."""
        mark = "&" if "?" in url else "?"
        there = url.replace(f":{urlsplit(url).port}/", f":{self.port}/")
        return f"{there}{mark}sslmode=disable&gssencmode=disable"

    def hold(self) -> None:
        """Pass nothing on from now on, in either direction, and tell nobody."""
        self._is_silent.value = 1
        time.sleep(5 * _TICK)  # until it is so

    def go_on(self) -> None:
        """Pass on what was held back, and what comes."""
        self._is_silent.value = 0

    def drop_hints(self) -> None:
        """Leave every notification out from now on."""
        self._drops_hints.value = 1

    @property
    def dropped(self) -> int:
        """How many notifications were left out."""
        return int(self._dropped.value)

    def run(self) -> None:
        """Serve until the process is ended."""
        asyncio.run(self._serve())

    def wait(self) -> None:
        """Wait until it serves."""
        assert self._is_up.wait(PATIENCE)

    async def _serve(self) -> None:
        async with await asyncio.start_server(self._meet, HOST, self.port) as server:
            self._is_up.set()
            await server.serve_forever()

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await self._pass()
            theirs, ours = await asyncio.open_connection(*self._to)
            ways = self._carry(reader, ours), self._answer(theirs, writer)
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            ours.close()
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while part := await reader.read(65_536):
                await self._pass()
                writer.write(part)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry the server's messages one by one, so that any of them can be left out."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                kind = await reader.readexactly(1)
                length = await reader.readexactly(4)
                message = kind + length + await reader.readexactly(int.from_bytes(length) - 4)
                await self._pass()
                if kind == _NOTIFICATION and self._drops_hints.value:
                    self._dropped.value += 1
                    continue
                writer.write(message)

    async def _pass(self) -> None:
        while self._is_silent.value:  # noqa: ASYNC110  # another process says so
            await asyncio.sleep(_TICK)


@contextmanager
def proxy(url: str) -> Iterator[Proxy]:
    """Run a proxy before the server of a URL."""
    parts = urlsplit(url)
    made = Proxy(parts.hostname or HOST, parts.port or 5432)
    process = _CONTEXT.Process(target=made.run, daemon=True)
    process.start()
    try:
        made.wait()
        yield made
    finally:
        process.kill()
        process.join()
