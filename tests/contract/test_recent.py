"""The newest entries: what is remembered of them is what stands in the store, whoever changed it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clawguard import Session, SessionManager
from tests.openers import open_manager

LIMITS = (1, 2, 5, 300)

Act = Callable[[SessionManager, Session, str], object]


def say(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def begin_with_a_copy(manager: SessionManager, session: Session, text: str) -> None:
    source = manager.create("source", scopes="x")
    manager.history.append(source, say(text))
    manager.history.append(source, say("copied"))
    manager.history.clear(session)
    manager.history.fork(source, session)


ACTS: dict[str, Act] = {
    "append": lambda m, s, text: m.history.append(s, say(text)),
    "append three": lambda m, s, text: [m.history.append(s, say(f"{text}{n}")) for n in range(3)],
    "update_last": lambda m, s, text: m.history.update_last(s, say(text)),
    "remove_last": lambda m, s, _: m.history.remove_last(s),
    "say it in its place": lambda m, s, text: m.history.remove_last(s) and m.history.append(s, say(text)),
    "clear": lambda m, s, _: m.history.clear(s),
    "fork": begin_with_a_copy,
}
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(ACTS)), st.booleans(), st.sampled_from(LIMITS)), max_size=25
)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SessionManager, SessionManager]]:
    path = tmp_path_factory.mktemp("data") / "private" / "clawguard.db"
    with open_manager(path) as here, open_manager(path) as elsewhere:
        yield here, elsewhere


@given(steps=STEPS)
def test_a_tail_is_the_end_of_what_is_loaded_whoever_changed_it(
    both: tuple[SessionManager, SessionManager], steps: list[tuple[str, bool, int]]
) -> None:
    here, elsewhere = both
    session = here.create("planner", scopes="x")
    for number, (act, is_elsewhere, limit) in enumerate(steps):
        ACTS[act](elsewhere if is_elsewhere else here, session, f"said {number} ")
        assert here.history.tail(session, limit) == here.history.load_with_timestamps(session)[-limit:]


def test_what_is_remembered_is_not_read_again(
    manager: SessionManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = manager.create("planner", scopes="x")
    for number in range(50):
        manager.history.append(session, say(str(number)))
    manager.history.tail(session, 40)
    store = manager.history._store
    seen: list[int] = []
    read = store.read

    def counted(name: str, *args: Any, **params: Any) -> Any:
        rows = read(name, *args, **params)
        seen.extend([len(rows)] if name.startswith("entry.") else ())
        return rows

    monkeypatch.setattr(store, "read", counted)
    manager.history.append(session, say("one more"))
    assert [entry.text for entry in manager.history.tail(session, 3)] == ["48", "49", "one more"]
    assert seen == [2]  # the newest that was known, and what came after it


def test_long_conversations_and_long_messages_are_read_as_they_are(manager: SessionManager) -> None:
    session = manager.create("planner", scopes="x")
    for text in ("a" * 5_000_000, "b" * 5_000_000, "c"):
        manager.history.append(session, say(text))
        assert manager.history.tail(session, 100)[-1].text == text
    assert [len(entry.text) for entry in manager.history.tail(session, 100)] == [5_000_000, 5_000_000, 1]
    manager.history.clear(session)
    for number in range(300):
        manager.history.append(session, say(str(number)))
        assert len(manager.history.tail(session, 300)) == number + 1
    for limit in (299, 256, 257, 300, 1_000):
        assert manager.history.tail(session, limit) == manager.history.load_with_timestamps(session)[-limit:]


def test_the_tail_of_a_deleted_conversation_is_empty(manager: SessionManager) -> None:
    session = manager.create("planner", scopes="x")
    manager.history.append(session, say("gone soon"))
    assert len(manager.history.tail(session)) == 1
    manager.history.delete(session)
    assert manager.history.tail(session) == ()
