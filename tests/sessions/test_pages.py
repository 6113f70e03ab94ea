"""Walking a listing page by page gives what one page of it all gives, whatever it is narrowed by."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from clawguard import Session, SessionManager, SessionNotFound
from tests.clocks import FakeClock
from tests.openers import open_manager

HELLO = {"role": "user", "content": "hello"}


@pytest.fixture(scope="module")
def manager() -> Iterator[SessionManager]:
    """Return a manager with a tree of seven, and sessions of two agents in two workspaces that all talked."""
    clock = FakeClock()
    with open_manager(clock=clock) as opened:
        top = opened.create("top", scopes="x", subject="user:ana")
        for name in ("a", "b"):
            child = opened.delegate(top, name, scopes="x")
            for _ in range(2):
                clock.advance(1)
                opened.history.append(opened.delegate(child, name, scopes="x"), HELLO)
        for workspace in ("default", "acme"):
            for agent in "abab":
                clock.advance(1)
                made = opened.create(agent, scopes="x", workspace_id=workspace, subject=f"user:{agent}")
                opened.history.append(made, HELLO)
        yield opened


def top_of(manager: SessionManager) -> Session:
    found = manager.sessions.last(agent_id="top")
    assert found is not None
    return found


LISTINGS: dict[str, Callable[[SessionManager], tuple[Callable[..., Any], dict[str, Any]]]] = {
    "sessions": lambda m: (m.sessions.page, {}),
    "an agent's": lambda m: (m.sessions.page, {"agent_id": "a"}),
    "a subject's": lambda m: (m.sessions.page, {"agent_id": "b", "subject": "user:ana"}),
    "of a workspace": lambda m: (m.sessions.page, {"workspace_id": "acme"}),
    "a tree": lambda m: (lambda **given: m.sessions.tree_page(top_of(m), **given), {}),
    "agents": lambda m: (m.agents.page, {}),
    "conversations": lambda m: (m.history.page, {}),
    "an agent's conversations": lambda m: (m.history.page, {"agent_id": "a"}),
    "conversations of a workspace": lambda m: (m.history.page, {"workspace_id": "acme", "agent_id": "b"}),
}


@pytest.mark.parametrize("limit", [1, 2, 3, 5])
@pytest.mark.parametrize("name", LISTINGS)
def test_page_by_page_is_the_same_as_all_at_once(manager: SessionManager, name: str, limit: int) -> None:
    page, filters = LISTINGS[name](manager)
    whole = page(limit=1_000, **filters)
    assert whole.next_cursor is None
    assert len(whole.items) > 1
    found: list[Any] = []
    cursor = None
    for _ in range(len(whole.items)):
        part = page(limit=limit, cursor=cursor, **filters)
        found += part.items
        assert len(part.items) == limit or part.next_cursor is None
        cursor = part.next_cursor
        if cursor is None:
            break
    assert cursor is None
    assert tuple(found) == whole.items


def test_a_tree_is_the_same_page_by_page_and_is_of_its_workspace(manager: SessionManager) -> None:
    top = top_of(manager)
    assert set(manager.sessions.tree_page(top).items) == set(manager.sessions.tree(top))
    assert len(manager.sessions.tree(top)) == 7
    assert manager.sessions.tree_page(top, workspace_id="default").items[0] == top
    with pytest.raises(SessionNotFound):
        manager.sessions.tree_page(top.id, workspace_id="acme")


def test_a_page_has_fifty_unless_a_call_says_otherwise() -> None:
    with open_manager(clock=FakeClock()) as manager:
        top = manager.create("top", scopes="x")
        for number in range(60):
            manager.history.append(manager.delegate(top, f"a{number}", scopes="x"), HELLO)
        for page in (manager.sessions.page, manager.agents.page, manager.history.page):
            assert len(page().items) == 50
        assert len(manager.sessions.tree_page(top).items) == 50
        assert len(manager.sessions.children(top).items) == 50
