"""The helpers for other people's tests, and the plugin that pytest loads by itself."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from clawguard import SessionEnded, SessionManager
from clawguard.clock import SystemClock
from clawguard.errors import InsufficientScope, InvalidArgument
from clawguard.guard import ProofKey
from clawguard.testing import ManualClock, assert_event, auth_headers

ROOT = Path(__file__).resolve().parents[1]


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def test_a_session_lives_as_long_as_the_clock_says(
    clawguard_manager: SessionManager, clawguard_clock: ManualClock
) -> None:
    session = clawguard_manager.create("planner", scopes="docs:read", ttl=60)
    clawguard_clock.tick(59)
    assert clawguard_manager.validate(session.token).agent_id == "planner"
    clawguard_clock.tick()
    with pytest.raises(SessionEnded):
        clawguard_manager.validate(session.token)
    event = assert_event(clawguard_manager, "session.expired", cause="ttl", session_id=session.id)
    assert event.at == clawguard_clock.datetime


def test_each_test_has_a_manager_of_its_own_that_leaves_nothing_behind(
    clawguard_manager: SessionManager,
) -> None:
    assert clawguard_manager.active_count() == 0
    heard: list[object] = []
    clawguard_manager.on("session.*", heard.append)
    clawguard_manager.create("planner", scopes="")
    assert len(heard) == 1  # at once


def test_a_denial_is_found_with_all_that_is_gathered_in_memory(clawguard_manager: SessionManager) -> None:
    session = clawguard_manager.create("planner", scopes="docs:read")
    with pytest.raises(InsufficientScope):
        clawguard_manager.validate(session.token, require="mail:send")
    assert assert_event(clawguard_manager, "guard.denied", agent_id="planner").session_id == session.id


def test_the_newest_event_that_fits_is_returned(clawguard_manager: SessionManager) -> None:
    for agent in ("first", "second", "third"):
        session = clawguard_manager.create(agent, scopes="")
        clawguard_manager.revoke(session, reason=f"of {agent}")
    assert assert_event(clawguard_manager, "session.*").reason == "of third"
    assert assert_event(clawguard_manager, "session.*", agent_id="first").reason == "of first"
    assert assert_event(clawguard_manager, "session.created", agent_id="second").reason is None


def test_events_on_any_page_of_the_log_are_found(
    clawguard_manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clawguard.testing._PAGE", 2)
    sessions = [clawguard_manager.create("planner", scopes="") for _ in range(5)]
    for session in sessions:
        assert assert_event(clawguard_manager, "session.created", session_id=session.id)


def test_a_missing_event_fails_with_those_that_are_there(clawguard_manager: SessionManager) -> None:
    with pytest.raises(AssertionError, match=r"no session\.created with any fields; there are: none"):
        assert_event(clawguard_manager, "session.created")
    session = clawguard_manager.create("planner", scopes="")
    with pytest.raises(AssertionError, match=r"no session\.created with agent_id='x'; there are:") as failed:
        assert_event(clawguard_manager, "session.created", agent_id="x")
    assert session.id in str(failed.value)


def test_a_field_that_no_event_has_is_no_assertion_that_holds(clawguard_manager: SessionManager) -> None:
    with pytest.raises(InvalidArgument, match="agent"):
        assert_event(clawguard_manager, "session.created", agent="planner")
    with pytest.raises(InvalidArgument):
        assert_event(clawguard_manager, "session.revoked")


def test_headers_carry_a_token(clawguard_manager: SessionManager) -> None:
    session = clawguard_manager.create("planner", scopes="")
    assert auth_headers(session) == auth_headers(session.token) == session.headers()
    bound = clawguard_manager.create("planner", scopes="", cnf=ProofKey.generate().cnf)
    assert auth_headers(bound)["Authorization"].startswith("DPoP ")
    without: Any = clawguard_manager.get_session(session.id)
    with pytest.raises(InvalidArgument, match="token"):
        auth_headers(without)


def test_a_clock_starts_now_or_where_it_is_told() -> None:
    assert 0 <= SystemClock().now() - ManualClock().now() < 60_000_000
    clock = ManualClock(datetime(2030, 1, 1, tzinfo=UTC))
    clock.tick(timedelta(days=1))
    clock.tick(0.5)
    assert clock.datetime == datetime(2030, 1, 2, 0, 0, 0, 500_000, tzinfo=UTC)
    assert clock.elapsed() == 86_400_500_000


@pytest.mark.parametrize("seconds", [-1, float("nan"), "1", None, True])
def test_time_only_goes_on(seconds: Any) -> None:
    clock = ManualClock()
    with pytest.raises(InvalidArgument, match="seconds"):
        clock.tick(seconds)
    assert clock.elapsed() == 0


def test_the_fixtures_are_there_by_themselves_in_a_project_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(
        "def test_own(clawguard_manager, clawguard_clock):\n"
        "    clawguard_manager.create('planner', scopes='', ttl=1)\n"
        "    clawguard_clock.tick(1)\n"
        "    assert clawguard_manager.active_count() == 0\n",
        encoding="utf-8",
    )
    done = python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} <= {"test_own.py", "__pycache__"}


def test_a_project_that_asks_for_none_pays_for_none(tmp_path: Path) -> None:
    """Pytest loads the plugin in every project that has clawguard installed."""
    (tmp_path / "test_own.py").write_text(
        "import sys\n\n\ndef test_own():\n"
        "    assert 'clawguard_pytest' in sys.modules\n"
        "    loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "    assert not loaded & {'clawguard', 'cryptography', 'jwt', 'pydantic'}\n",
        encoding="utf-8",
    )
    others = [each.name for each in entry_points(group="pytest11") if each.name != "clawguard"]
    without = [part for name in ("cacheprovider", *others) for part in ("-p", f"no:{name}")]
    done = python(tmp_path, "-m", "pytest", "-q", *without)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_the_helpers_need_no_pytest(tmp_path: Path) -> None:
    done = python(tmp_path, "-c", "import sys, clawguard.testing; assert 'pytest' not in sys.modules")
    assert done.returncode == 0, done.stderr
