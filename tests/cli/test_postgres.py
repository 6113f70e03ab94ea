"""The commands on a PostgreSQL database: those that need no file work, the others say so."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.cli.commands import Cli
from tests.openers import KEK, open_manager
from tests.schemas import schema


@pytest.fixture
def url(empty: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with schema() as found:
        monkeypatch.setenv("CLAWGUARD_URL", found)
        monkeypatch.setenv("CLAWGUARD_KEK", base64.urlsafe_b64encode(KEK).decode().rstrip("="))
        yield found


def test_sessions_are_made_listed_and_ended(empty: Cli, url: str) -> None:
    open_manager(url).close()
    made = empty.json("create", "planner", "--scope", "docs:read")
    assert [each["id"] for each in empty.json("list")["sessions"]] == [made["session"]["id"]]
    assert empty.json("revoke", made["session"]["id"])["count"] == 1
    assert empty.json("events", "verify")["count"] == 2


@pytest.mark.parametrize("command", [("init",), ("doctor",), ("db", "backup", "copy.db"), ("db", "check")])
def test_what_works_on_a_file_says_so(empty: Cli, url: str, command: tuple[str, ...]) -> None:
    answer = empty(*command, code=6)
    assert "PostgreSQL" in answer.err
    assert url not in answer.err
