"""Serving for real: the first token, a stop that finishes what has begun, and nothing secret in the logs."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import uvicorn

from clawguard import ConfigError, InvalidArgument, SessionManager
from clawguard.server import Settings, create_app, serve
from clawguard.server.first_start import ADMIN_KEY, mint_admin
from clawguard.server.running import _Server
from tests.openers import open_manager
from tests.server.real import KEK, PATIENCE, serving
from tests.servers import free_port


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_the_first_start_prints_one_token_once_and_never_logs_it(tmp_path: Path) -> None:
    database = tmp_path / "store" / "clawguard.db"
    with serving(database, tmp_path / "first") as served:
        assert served.out.count("admin token") == 1
        token = served.token
        assert httpx.get(f"{served.url}/v1/sessions", headers=headers(token)).status_code == 200
        served.stop()
        assert token[-24:] not in served.logs
        logged = [json.loads(line) for line in served.logs.splitlines()]
        assert all(each["event"] for each in logged)
        (console,) = [each["url"] for each in logged if "console" in each["event"]]
        assert console == f"{served.url}/console"
    with serving(database, tmp_path / "second") as served:
        assert "eyJ" not in served.out
        assert httpx.get(f"{served.url}/v1/sessions", headers=headers(token)).status_code == 200


def test_of_servers_that_start_at_once_one_makes_the_admin_session(tmp_path: Path) -> None:
    database = tmp_path / "store" / "clawguard.db"
    count = 3

    def start(number: int) -> str:
        with serving(database, tmp_path / str(number)) as served:
            barrier.wait(PATIENCE)
            return served.out

    barrier = threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        printed = "".join(pool.map(start, range(count)))
    assert printed.count("admin token") == 1
    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        (admin,) = manager.sessions.page().items
        assert (admin.key, str(admin.scopes)) == (ADMIN_KEY, "*")


def test_the_token_goes_into_a_new_private_file_where_one_is_named(tmp_path: Path) -> None:
    file = tmp_path / "admin.token"
    with serving(tmp_path / "store" / "clawguard.db", tmp_path / "out", admin_file=str(file)) as served:
        assert "eyJ" not in served.out
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        token = file.read_text(encoding="utf-8").strip()
        assert httpx.get(f"{served.url}/v1/keys", headers=headers(token)).status_code == 200


def test_a_file_that_is_there_already_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "admin.token"
    file.write_text("mine")
    manager = open_manager()
    with pytest.raises(ConfigError, match="cannot be written"):
        serve(manager, port=free_port(), admin_file=file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("is_file", [True, False])
def test_an_admin_session_whose_token_nobody_was_given_is_ended(tmp_path: Path, is_file: bool) -> None:
    """Else it would be live for a day, hold the key of the first start, and no start would make another."""
    database = tmp_path / "store" / "clawguard.db"
    there = tmp_path / "admin.token"
    there.write_text("mine")
    manager = SessionManager.open(database, kek=KEK, sweep_every=None)
    with pytest.raises((ConfigError, BrokenPipeError)):
        serve(manager, port=free_port(), admin_file=there if is_file else None, out=_Broken())
    with SessionManager.open(database, kek=KEK, sweep_every=None) as after:
        (orphan,) = after.sessions.page().items
        assert (orphan.key, orphan.cause, orphan.reason) == (
            ADMIN_KEY,
            "revoked",
            "nobody was given its token",
        )
        made = mint_admin(after, Settings())
        assert made is not None
        assert after.validate(made.token).scopes


class _Broken(io.StringIO):
    """A pipe that nobody reads."""

    def flush(self) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("wrong", [{"port": 70_000}, {"certificate": "c.pem"}, {"grace": -1}])
def test_settings_that_will_not_do_are_refused_before_anything_happens(wrong: dict[str, object]) -> None:
    with open_manager() as manager:
        with pytest.raises(InvalidArgument, match=next(iter(wrong))):
            serve(manager, **wrong)  # type: ignore[arg-type]
        assert manager.active_count() == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_streams_whole_and_closes_the_store(tmp_path: Path, sign: signal.Signals) -> None:
    database = tmp_path / "store" / "clawguard.db"
    with serving(database, tmp_path / "out") as served:
        stream = f"{served.url}/v1/events/lines"
        with httpx.stream("GET", stream, headers=headers(served.token), timeout=PATIENCE) as answer:
            assert answer.status_code == 200
            started = time.monotonic()
            threading.Timer(0.2, served.process.send_signal, [sign]).start()
            assert answer.read() is not None  # comes to a proper end: else httpx raises RemoteProtocolError
        assert served.process.wait(PATIENCE) == 0
        assert served.out.endswith("closed\n")
        assert time.monotonic() - started < 5 + PATIENCE / 2
        assert '"event": "Finished server process' in served.logs
    side_files = [path.name for path in database.parent.iterdir() if path.name.endswith(("-wal", "-shm"))]
    assert side_files == []


def test_a_stop_lets_requests_under_way_finish(tmp_path: Path) -> None:
    """Requests are sent without a pause; the server stops among them, and none that it took is lost."""
    database = tmp_path / "store" / "clawguard.db"
    with serving(database, tmp_path / "out") as served:
        made: list[str] = []

        def create(number: int) -> None:
            with httpx.Client(base_url=served.url, headers=headers(served.token)) as client:
                for each in range(200):
                    try:
                        body = {"agent_id": f"a-{number}-{each}", "scopes": ["docs:read"]}
                        answer = client.post("/v1/sessions", json=body)
                    except httpx.TransportError:
                        return
                    assert answer.status_code == 201
                    made.append(answer.json()["id"])

        with ThreadPoolExecutor(4) as pool:
            runs = [pool.submit(create, number) for number in range(4)]
            while len(made) < 20:
                time.sleep(0.01)
            served.stop()
            for run in runs:
                run.result(PATIENCE)
    with SessionManager.open(database, kek=KEK, sweep_every=None) as manager:
        kept = {session.id for session in manager.sessions.iter()}
    assert set(made) <= kept
    assert len(kept) - 1 - len(made) <= 4  # at most what was made and whose answer met the end


def test_a_killed_server_comes_back_to_the_same_sessions(tmp_path: Path) -> None:
    database = tmp_path / "store" / "clawguard.db"
    with serving(database, tmp_path / "first") as served:
        token = served.token
        body = {"agent_id": "planner", "scopes": ["docs:read"]}
        made = httpx.post(f"{served.url}/v1/sessions", json=body, headers=headers(token)).json()
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
    with serving(database, tmp_path / "second") as served:
        shown = httpx.get(f"{served.url}/v1/sessions/{made['id']}", headers=headers(token))
        assert shown.json()["agent_id"] == "planner"


@pytest.mark.parametrize(
    ("host", "origin", "expected"),
    [
        ("127.0.0.1", None, r"http://127\.0\.0\.1:\d+/console"),
        ("0.0.0.0", None, r"http://127\.0\.0\.1:\d+/console"),
        ("::1", None, r"http://\[::1\]:\d+/console"),
        ("::", None, r"http://\[::1\]:\d+/console"),
        ("0.0.0.0", "https://auth.example.com", r"https://auth\.example\.com/console"),
    ],
)
def test_where_the_console_is_found_is_said_as_a_browser_takes_it(
    caplog: pytest.LogCaptureFixture, host: str, origin: str | None, expected: str
) -> None:
    caplog.set_level("INFO", logger="clawguard.server")
    with open_manager() as manager:
        app = create_app(manager)
        config = uvicorn.Config(app, host=host, port=0, log_config=None)
        config.load()
        server = _Server(config, app.state.clawguard.tail, threads=2, origin=origin)
        server.lifespan = config.lifespan_class(config)

        async def start_and_stop() -> None:
            await server.startup()
            await server.shutdown()

        asyncio.run(start_and_stop())
    (told,) = [each for each in caplog.records if "console" in each.getMessage()]
    assert re.fullmatch(expected, told.__dict__["url"])


def test_what_is_served_in_the_clear_beyond_the_loopback_is_said(tmp_path: Path) -> None:
    from clawguard.server.running import _is_loopback

    assert [_is_loopback(each) for each in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.com")] == [
        True,
        True,
        True,
        False,
        False,
    ]
