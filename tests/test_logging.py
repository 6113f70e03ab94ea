"""The library configures no logging and prints nothing by itself."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from clawguard import SessionManager
from tests.openers import open_manager

ROOT = Path(__file__).parents[1]


def test_a_refusal_prints_nothing_where_nobody_asked_for_logs() -> None:
    code = (
        "from clawguard import InvalidToken, SessionManager\n"
        "with SessionManager.open(':memory:') as manager:\n"
        "    try: manager.validate('a.b.c')\n"
        "    except InvalidToken: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_ends_are_logged_once_they_stand_and_a_broken_filter_breaks_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logger = logging.getLogger("clawguard.sessions")
    caplog.set_level(logging.INFO, logger.name)

    class Broken(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("broken")

    with open_manager() as manager:
        first, second = manager.create("a", scopes="x"), manager.create("a", scopes="x")
        manager.revoke(first)
        assert f"ended 1 session(s), the first {first.id}: revoked" in caplog.text
        broken = Broken()
        logger.addFilter(broken)
        try:
            assert manager.revoke(second)
        finally:
            logger.removeFilter(broken)
        caplog.clear()
        with pytest.raises(ValueError, match="not to be"):
            end_and_fail(manager, manager.create("a", scopes="x").id)
        assert "ended" not in caplog.text


def end_and_fail(manager: SessionManager, session_id: str) -> None:
    with manager._parts.change(durable=True) as change:
        manager._endings.end_in(change, session_id, cause="revoked", reason=None, actor="host")
        raise ValueError("not to be")
