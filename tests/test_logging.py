"""The library configures no logging and prints nothing by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
