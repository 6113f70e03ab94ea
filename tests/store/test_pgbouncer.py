"""Behind PgBouncer all of it works in session mode; the other modes are refused when they are met."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from clawguard import ConfigError, SessionEnded, SessionManager, Verifier
from tests.openers import KEK, open_manager
from tests.schemas import schema
from tests.servers import HOST, PATIENCE, POSTGRES, Server, answers, free_port, path_of

_INI = """
[databases]
test = host={host} port={postgres} dbname=test user=postgres
[pgbouncer]
listen_addr = {host}
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 40
"""


@contextmanager
def pgbouncer(mode: str) -> Iterator[Server]:
    """Run a PgBouncer of the test's own before the PostgreSQL at its standard port."""
    program, user = path_of("pgbouncer"), "postgres" if os.geteuid() == 0 else None  # it does not run as root
    folder, port = Path(tempfile.mkdtemp(prefix="clawguard-pgbouncer-")), free_port()
    try:
        ini = folder / "pgbouncer.ini"
        ini.write_text(_INI.format(host=HOST, postgres=POSTGRES, port=port, mode=mode))
        if user is not None:
            shutil.chown(folder, user)
            shutil.chown(ini, user)
        with Server(program, str(ini), port=port, folder=folder, is_ready=answers, user=user) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def url() -> Iterator[str]:
    with schema() as made:
        open_manager(made).close()
        yield made


def through(server: Server, url: str) -> str:
    return url.replace(f":{POSTGRES}/", f":{server.port}/") + "&sslmode=disable"


def is_refused(manager: SessionManager, token: str) -> bool:
    try:
        manager.validate(token)
    except SessionEnded:
        return True
    return False


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pool_of_transactions_is_refused_and_the_error_says_what_to_use(url: str, mode: str) -> None:
    with pgbouncer(mode) as server:
        for _ in range(3):
            with pytest.raises(ConfigError, match=r"each transaction.*pool_mode=session"):
                SessionManager.open(through(server, url), kek=KEK)
        with pytest.raises(ConfigError, match="each transaction"):
            Verifier.open(through(server, url))


def test_a_pool_of_transactions_loses_what_is_listened_for(url: str) -> None:
    """The reason for the refusal: `LISTEN` succeeds, and nothing ever comes."""
    with (
        pgbouncer("transaction") as server,
        psycopg.connect(through(server, url).partition("?")[0], autocommit=True) as pooled,
        psycopg.connect(url.partition("?")[0], autocommit=True) as direct,
    ):
        pooled.execute("LISTEN told")
        direct.execute("NOTIFY told")
        assert list(pooled.notifies(timeout=0.2)) == []


def test_a_pool_of_sessions_does_all_of_it(url: str) -> None:
    with (
        pgbouncer("session") as server,
        open_manager(through(server, url)) as manager,
        open_manager(through(server, url), max_staleness=86_400) as here,
    ):
        session = manager.create("planner", scopes="a")
        here.validate(session.token)
        manager.revoke(session)
        end = time.monotonic() + PATIENCE
        while not is_refused(here, session.token):  # the hint comes through
            assert time.monotonic() < end
