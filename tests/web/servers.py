"""Real servers of ASGI apps on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

__all__ = ["serving"]


@contextmanager
def serving(app: Any, **settings: Any) -> Iterator[int]:
    """Serve an app for a block, with settings of uvicorn's; return the port."""
    config = uvicorn.Config(app, log_config=None, lifespan="auto", ws="websockets-sansio", **settings)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()
