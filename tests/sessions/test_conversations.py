"""The last entry of a conversation, where there is just one, and what was prepared too late."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from clawguard import SessionManager
from clawguard.errors import SearchUnavailable
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


def test_what_is_encrypted_is_in_no_index_and_a_search_says_so() -> None:
    with open_manager() as manager:
        made = manager.create("a", scopes="x")
        manager.history.append(made, HELLO)
        assert len(manager.history.search("hello")) == 1
        manager.history.encryption.enable()
        with pytest.raises(SearchUnavailable) as refused:
            manager.history.search("hello")
        assert str(refused.value) == (
            "conversations are encrypted here, and there is no index of their words; "
            "load() a conversation and look in it"
        )
        found = manager.history.check_index()
        assert (found.missing, found.stray) == (0, 0)
