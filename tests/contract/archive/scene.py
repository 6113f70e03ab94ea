"""What tests of archives share: how much is old, and how it is archived."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from clawguard import SessionManager
from clawguard.events.archives import Archive, verify_archive
from tests.clocks import FakeClock

OLD, NEW = 20, 5


def archive(manager: SessionManager, clock: FakeClock, file: Path, **given: Any) -> Archive:
    return manager.events.archive(clock.datetime - timedelta(seconds=50), file, **given)


def fault_of(file: Path, key: str, **given: Any) -> tuple[int, str] | None:
    found = verify_archive(file, key=key, **given)
    return None if found.fault is None else (found.fault.seq, found.fault.kind)
