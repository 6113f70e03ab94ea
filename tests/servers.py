"""Servers for tests: those at their standard ports, and servers of a test's own. All on the loopback."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import nats
import psycopg
import pytest
import redis

HOST = "127.0.0.1"
REDIS, NATS, POSTGRES = 6379, 4222, 5432
STANDBY = "standby"  # what a standby of ours is called in synchronous_standby_names
PATIENCE = 30.0


def missing(what: str) -> None:
    """Skip a test that lacks something, and say what; where CI is to have everything, fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI is to have {what}")
    pytest.skip(f"needs {what}")


def answers(port: int) -> bool:
    """Tell whether something listens at a port of the loopback."""
    try:
        with socket.create_connection((HOST, port), 1):
            return True
    except OSError:
        return False


def redis_url() -> str:
    """Return where Redis is at its standard port, or skip the test."""
    if not answers(REDIS):
        missing(f"Redis at {HOST}:{REDIS}")
    return f"redis://{HOST}:{REDIS}/0"


def nats_url() -> str:
    """Return where NATS is at its standard port, or skip the test."""
    if not answers(NATS):
        missing(f"NATS with JetStream at {HOST}:{NATS}")
    return f"nats://{HOST}:{NATS}"


def postgres_url() -> str:
    """Return a database of the PostgreSQL at its standard port, or skip the test."""
    if not answers(POSTGRES):
        missing(f"PostgreSQL at {HOST}:{POSTGRES}, with a database test that the user postgres may use")
    return f"postgresql://postgres@{HOST}:{POSTGRES}/test"


def unique(prefix: str) -> str:
    """Return a name that no other test uses."""
    return f"{prefix}-{secrets.token_hex(6)}"


def free_port() -> int:
    """Return a port of the loopback that nobody listens at."""
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def path_of(program: str) -> str:
    """Return where a program is, or skip the test."""
    folders = [os.environ.get("PATH", ""), "/usr/sbin", *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    path = shutil.which(program, path=":".join(folders))
    if path is None:
        missing(f"the program {program}")
    return path or ""


class Server:
    """Run a broker of the test's own at one port, on files that outlive it; `kill` and `start` it again."""

    def __init__(
        self,
        program: str,
        *arguments: str,
        port: int,
        folder: Path,
        is_ready: Callable[[int], bool],
        user: str | None = None,
    ) -> None:
        self.port = port
        self._command = [path_of(program), *arguments]
        self._user = user
        self._folder = folder
        self._is_ready = is_ready
        self._process: subprocess.Popen[bytes] | None = None
        self.answered_at = 0.0
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "server.out").open("ab") as out:
            self._process = subprocess.Popen(
                self._command, cwd=self._folder, stdout=out, stderr=out, user=self._user
            )
        end = time.monotonic() + PATIENCE
        while not self._is_ready(self.port):
            assert self._process.poll() is None, (self._folder / "server.out").read_text()
            assert time.monotonic() < end, "the server never answered"
            time.sleep(0.002)
        self.answered_at = time.monotonic()

    def stop(self, seconds: float) -> None:
        """Halt it for a while: connections stay, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)
        self.answered_at = time.monotonic()

    def kill(self) -> None:
        """End it with SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _redis_is_ready(port: int) -> bool:
    try:
        with redis.Redis(host=HOST, port=port) as client:
            return bool(client.ping())
    except (redis.AuthenticationError, redis.exceptions.NoPermissionError):
        return True
    except redis.RedisError:  # also while it is loading
        return False


def _nats_is_ready(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), 1) as one:
            return one.recv(5) == b"INFO "
    except OSError:
        return False


def redis_server(folder: Path, *arguments: str, port: int | None = None) -> Server:
    """Return a Redis that writes every change into its file before it answers."""
    port = port or free_port()
    own = ["--bind", HOST, "--port", str(port), "--dir", str(folder), "--save", ""]
    own += ["--appendonly", "yes", "--appendfsync", "always"]
    return Server("redis-server", *own, *arguments, port=port, folder=folder, is_ready=_redis_is_ready)


def nats_server(folder: Path, *arguments: str, port: int | None = None) -> Server:
    """Return a NATS with JetStream, its streams on disk."""
    port = port or free_port()
    own = ["-a", HOST, "-p", str(port), "-js", "-sd", str(folder / "streams")]
    return Server("nats-server", *own, *arguments, port=port, folder=folder, is_ready=_nats_is_ready)


def _postgres_is_ready(port: int) -> bool:
    try:
        with psycopg.connect(f"postgresql://postgres@{HOST}:{port}/postgres", connect_timeout=1):
            return True
    except psycopg.OperationalError:
        return False


class PostgresServer(Server):
    """Run a PostgreSQL of the test's own; one that was killed is waited for until it can be started again."""

    @property
    def url(self) -> str:
        """Where its one database is."""
        return f"postgresql://postgres@{HOST}:{self.port}/postgres"

    @property
    def data(self) -> Path:
        """Where its cluster is."""
        return self._folder / "data"

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask it something as its superuser."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it; what a killed one has left goes a moment later than it."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return super().start()
            except AssertionError:
                assert time.monotonic() < end, "the server did not start again"
                time.sleep(0.05)


@contextmanager
def postgres_server(
    *settings: str, standby: bool = False, of: PostgresServer | None = None
) -> Iterator[PostgresServer]:
    """Make and run a PostgreSQL in a folder of its own; it is removed at the end.

    With `of` it is a standby that streams from another, and is called `STANDBY` there.
    """
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    folder, port = Path(tempfile.mkdtemp(prefix="clawguard-postgres-")), free_port()
    try:
        if user is not None:
            shutil.chown(folder, user)
        data = str(folder / "data")
        made = [path_of("initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        if of is not None:
            made = [path_of("pg_basebackup"), "-D", data, "-d", f"{of.url}?application_name={STANDBY}"]
            made += ["-R", "-X", "stream", "-c", "fast", "--no-sync"]
        subprocess.run(made, user=user, check=True, capture_output=True, cwd=folder)
        if standby:
            (folder / "data" / "standby.signal").touch()
        own = ["-D", data, "-h", HOST, "-p", str(port), "-k", str(folder)]
        own += [part for each in ("shared_buffers=16MB", *settings) for part in ("-c", each)]
        server = PostgresServer(
            "postgres", *own, port=port, folder=folder, is_ready=_postgres_is_ready, user=user
        )
        with server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


Entry = dict[str, str]


def entries(port: int, stream: str) -> list[Entry]:
    """Return the fields of every entry of a Redis stream, in order."""
    with redis.Redis(host=HOST, port=port, decode_responses=True) as client:
        return [fields for _, fields in client.xrange(stream)]


class Published(NamedTuple):
    """Hold a message as JetStream keeps it."""

    subject: str
    body: bytes
    headers: dict[str, str]


def in_jetstream(port: int, work: Any, **options: Any) -> Any:
    """Run `work(context)` on a connection of its own, and return what it returns."""

    async def connected() -> Any:
        client = await nats.connect(f"nats://{HOST}:{port}", **options)
        try:
            return await work(client.jetstream())
        finally:
            await client.close()

    return asyncio.run(connected())


def published(port: int, stream: str) -> list[Published]:
    """Return every message of a JetStream stream, in order."""

    async def read(context: Any) -> list[Published]:
        count = (await context.stream_info(stream)).state.messages
        if not count:
            return []
        told = await context.subscribe(">", stream=stream, ordered_consumer=True)
        messages = [await told.next_msg(timeout=PATIENCE) for _ in range(count)]
        return [Published(each.subject, each.data, each.headers or {}) for each in messages]

    found: list[Published] = in_jetstream(port, read)
    return found


@contextmanager
def stream_of(port: int, *subjects: str, **settings: Any) -> Iterator[str]:
    """Make a JetStream stream for some subjects; it is removed at the end of the block."""
    name = unique("test")
    in_jetstream(port, lambda context: context.add_stream(name=name, subjects=list(subjects), **settings))
    try:
        yield name
    finally:
        drop_stream(port, name)


def drop_stream(port: int, name: str) -> None:
    """Remove a JetStream stream."""
    in_jetstream(port, lambda context: context.delete_stream(name))
