"""The last entry of a conversation, where there is just one, and what was prepared too late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clawguard import SessionManager
from tests.openers import open_manager

HELLO, BYE = ({"role": "user", "content": text} for text in ("hello", "bye"))


@pytest.fixture(params=[False, True])
def manager(request: pytest.FixtureRequest) -> Iterator[SessionManager]:
    with open_manager(encrypt_history=request.param) as opened:
        yield opened


def said(manager: SessionManager, session: Any) -> list[Any]:
    return [each.message.content for each in manager.history.tail(session, 9)]


def test_the_only_entry_is_the_last_one(manager: SessionManager) -> None:
    made = manager.create("a", scopes="x")
    assert manager.history.update_last(made, HELLO) is False
    assert manager.history.remove_last(made) is False
    assert manager.history.append(made, HELLO) == 1
    assert manager.history.update_last(made, BYE) is True
    assert said(manager, made) == ["bye"]
    assert manager.history.remove_last(made) is True
    assert said(manager, made) == []
    assert manager.history.append(made, HELLO) == 1
