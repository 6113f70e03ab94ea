"""Serve: uvicorn around the app, from the first token to a stop that finishes what has begun."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TextIO

import uvicorn

from clawguard.checks import is_integer
from clawguard.clock import SECOND, Duration, microseconds
from clawguard.errors import InvalidArgument
from clawguard.server.app import create_app
from clawguard.server.console import PATH as CONSOLE
from clawguard.server.first_start import hand_over, mint_admin
from clawguard.server.logs import logging_to
from clawguard.server.settings import Settings
from clawguard.server.tail import Tail
from clawguard.sessions.manager import SessionManager

__all__ = ["serve"]

_logger = logging.getLogger("clawguard.server")

_SPARE_THREADS = 32
_KEEP_ALIVE = 75  # seconds: longer than clients keep a connection, so that none is closed under a request


class _Server(uvicorn.Server):
    """End the event streams first when it stops, for they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, tail: Tail, *, threads: int, origin: str | None) -> None:
        super().__init__(config)
        self._tail = tail
        self._threads = threads
        self._origin = origin

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Have more threads than one workspace can take, whatever its requests wait for."""
        pool = ThreadPoolExecutor(self._threads, "clawguard-server")
        asyncio.get_running_loop().set_default_executor(pool)
        await super().startup(sockets)
        if self.started:
            _logger.info("people find the console here", extra={"url": self._reached() + CONSOLE})

    def _reached(self) -> str:
        """Return where clients reach this server, as it knows: its origin, or where it listens."""
        if self._origin is not None:
            return self._origin
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        address = ip_address(host.partition("%")[0])
        if address.is_unspecified:
            address = ip_address("127.0.0.1" if address.version == 4 else "::1")
        name = f"[{address}]" if address.version == 6 else f"{address}"
        return f"{'https' if self.config.is_ssl else 'http'}://{name}:{port}"

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connection, let what has begun come to its end, then stop."""
        self._tail.stop()
        await super().shutdown(sockets)


def serve(
    manager: SessionManager,
    *,
    host: str = "127.0.0.1",
    port: int = 8425,
    settings: Settings | None = None,
    certificate: str | os.PathLike[str] | None = None,
    key: str | os.PathLike[str] | None = None,
    admin_file: str | os.PathLike[str] | None = None,
    trusted_proxies: str | None = None,
    grace: Duration = 10,
    out: TextIO | None = None,
    logs: TextIO | None = None,
) -> None:
    """Serve an open manager until SIGTERM or SIGINT, and close it.

    Where no admin session is live, one is made, and its token goes to `admin_file` (new, 0600), else to `out`
    (stdout): once, and never to `logs` (stderr), which get one JSON object a line. `certificate` and `key`
    are PEM files; without them put TLS in front, and name its addresses in `trusted_proxies`, so that the
    callers' own are known. What has begun has `grace` seconds to finish. Raises InvalidArgument and
    ConfigError before anything listens.
    """
    settings = settings or Settings()
    if not is_integer(port, least=0, most=65_535):
        raise InvalidArgument("port", "must be 0 to 65535")
    if (certificate is None) is not (key is None):
        raise InvalidArgument("certificate", "goes with a key", hint="give both, or none")
    patience = microseconds(grace, argument="grace", least=0) // SECOND
    with manager, logging_to(logs or sys.stderr):
        app = create_app(manager, settings=settings)
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            timeout_keep_alive=_KEEP_ALIVE,
            proxy_headers=trusted_proxies is not None,
            forwarded_allow_ips=trusted_proxies,
            ssl_certfile=certificate,
            ssl_keyfile=None if key is None else os.fspath(key),
            timeout_graceful_shutdown=patience,
        )
        admin = mint_admin(manager, settings)
        if admin is not None:
            try:
                hand_over(admin, out or sys.stdout, admin_file)
            except BaseException:
                manager.revoke(admin, reason="nobody was given its token")
                raise
            _logger.info("an admin session was made", extra={"session_id": admin.id})
        if certificate is None and settings.origin is None and not _is_loopback(host):
            _logger.warning("tokens come in the clear: give a certificate, or an origin with TLS in front")
        with _stopped_by_signals():
            threads = settings.max_requests_each + _SPARE_THREADS
            _Server(config, app.state.clawguard.tail, threads=threads, origin=settings.origin).run()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Survive the signal that stopped the server: uvicorn raises it once more, before the store is closed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
