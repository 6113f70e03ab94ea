"""Between which two databases a copy may go on: only from one that is in use to one that is its own part."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from clawguard.errors import ClawguardError, StoreUnavailable
from clawguard.sessions import moving
from clawguard.sessions.ends import check_pair, checked_url
from clawguard.sessions.moving import abandon_copy, copy_database
from clawguard.store.shut import MoveState
from tests.moves import contents, fill, making_places, move
from tests.openers import open_manager

HERE, THERE = "urn:clawguard:here", "urn:clawguard:there"
PLACE, ELSEWHERE = "/data/new.db", "/data/other.db"
IN_USE = "ConfigError: the new database is in use already; give an empty one, such as a new schema"
ANOTHER = (
    "ConfigError: the new database is a part of another copy; give an empty one, or go on with that copy"
)
MOVED = f"StoreMoved: the database was moved; open {PLACE}"
MOVED_ELSEWHERE = f"StoreMoved: the database was moved; open {ELSEWHERE}"
NOT_WHOLE = (
    f"ConfigError: the copy of {PLACE} into this database is not whole; "
    "repeat it: clawguard db copy OLD NEW; or begin anew with an empty database"
)

WATCHED = MoveState("watched", "c1", "", PLACE, "")
LEFT = MoveState("moved", "c1", "n1", PLACE, "")
LEFT_FOR_ELSEWHERE = MoveState("moved", "c1", "n1", ELSEWHERE, "")
RECEIVING = MoveState("receiving", "c1", "n1", PLACE, "")
RECEIVING_ANOTHER = MoveState("receiving", "c2", "n2", PLACE, "")


def told(state: MoveState | None, partial: MoveState | None, founded: str) -> str:
    """Return what is said of a pair, or nothing where a copy may go on between the two."""
    try:
        check_pair(state, partial, issuer=HERE, founded=founded, place=PLACE)
    except ClawguardError as error:
        return f"{type(error).__name__}: {error}"
    return ""


# By what is known in the old one: what may stand in the new one, and what is said of it.
SAID: list[tuple[MoveState | None, MoveState | None, str, str]] = [
    (None, None, "", ""),
    (None, None, HERE, IN_USE),
    (None, None, THERE, IN_USE),
    (None, RECEIVING, "", ANOTHER),
    (None, WATCHED, HERE, IN_USE),
    (None, LEFT, HERE, MOVED),
    (WATCHED, None, "", ""),
    (WATCHED, None, HERE, IN_USE),
    (WATCHED, RECEIVING, "", ""),
    (WATCHED, RECEIVING_ANOTHER, "", ANOTHER),
    (WATCHED, LEFT, HERE, MOVED),
    (LEFT, RECEIVING, "", ""),
    (LEFT, RECEIVING_ANOTHER, "", MOVED),
    (LEFT, None, HERE, ""),
    (LEFT, None, THERE, MOVED),
    (LEFT, None, "", MOVED),
    (LEFT_FOR_ELSEWHERE, None, HERE, MOVED_ELSEWHERE),
    (LEFT_FOR_ELSEWHERE, RECEIVING, "", ""),
    (LEFT_FOR_ELSEWHERE, RECEIVING_ANOTHER, "", MOVED_ELSEWHERE),
]


@pytest.mark.parametrize(("state", "partial", "founded", "said"), SAID)
def test_a_copy_goes_on_with_its_own_part_and_with_nothing_else(
    state: MoveState | None, partial: MoveState | None, founded: str, said: str
) -> None:
    assert told(state, partial, founded) == said


def test_what_is_a_part_itself_is_copied_nowhere() -> None:
    parts = (None, WATCHED, LEFT, RECEIVING, RECEIVING_ANOTHER)
    for partial, founded in product(parts, ("", HERE, THERE)):
        assert told(RECEIVING, partial, founded) == NOT_WHOLE


@pytest.mark.parametrize("url", ["", ":memory:", 7, None])
def test_only_what_outlives_this_process_is_copied(url: object) -> None:
    with pytest.raises(ClawguardError) as refused:
        checked_url(url, argument="source")  # type: ignore[arg-type]
    assert str(refused.value) == "source: must be a file or a server that outlives this process"


# what a copy would do


class Cut(BaseException):
    """Ends a copy somewhere."""


def cut(done: int, _of: int) -> None:
    if done:
        raise Cut


def test_a_dry_run_counts_what_there_is_and_what_the_copy_has_by_now(tmp_path: Path) -> None:
    with making_places(tmp_path) as places:
        source, target, other = (places("file") for _ in range(3))
        with open_manager(source) as manager:
            fill(manager, source, tmp_path)
            issuer = manager.issuer
        counts = {name: len(found) for name, found in contents(source).items()}
        plan = move(source, target, dry_run=True)
        assert (plan.issuer, plan.target, plan.moved, plan.refusals) == (issuer, target, False, ())
        assert {each.name: (each.rows, each.copied) for each in plan.tables} == {
            name: (count, 0) for name, count in counts.items()
        }
        assert plan.events == counts["events"]
        assert not Path(target).exists()
        with pytest.raises(Cut):
            move(source, target, progress=cut)
        plan = move(source, target, dry_run=True)
        assert (plan.moved, plan.refusals) == (False, ())
        assert 0 < sum(each.copied for each in plan.tables) < sum(counts.values())
        open_manager(other).close()
        assert [str(each) for each in move(other, target, dry_run=True).refusals] == [
            ANOTHER.removeprefix("ConfigError: ")
        ]
        assert move(source, target).moved
        assert move(source, target, dry_run=True).refusals == ()


def test_a_copy_into_itself_or_without_patience_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "data" / "clawguard.db"
    for target in (place, f"sqlite:///{place}"):
        with pytest.raises(ClawguardError) as refused:
            copy_database(place, target)
        assert str(refused.value) == "target: is the database itself; name an empty one"
    calls: tuple[Callable[[], object], ...] = (
        lambda: copy_database(place, tmp_path / "b" / "b.db", lock_timeout=0),
        lambda: abandon_copy(place, lock_timeout=0),
    )
    for call in calls:
        with pytest.raises(ClawguardError) as refused:
            call()
        assert str(refused.value) == "lock_timeout: must be more than 0 seconds"


@pytest.mark.parametrize("last", ["another", "none"])
def test_a_copy_whose_log_does_not_end_as_the_old_one_is_not_left_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    compare: Any = moving._Copy._compare

    def spoilt(self: Any, *given: Any) -> None:
        self._last = None if last == "none" else self._last._replace(head=bytes(32))
        compare(self, *given)

    monkeypatch.setattr(moving._Copy, "_compare", spoilt)
    source = tmp_path / "a" / "a.db"
    with open_manager(source) as manager:
        manager.create("a", scopes="x")
        with pytest.raises(StoreUnavailable) as refused:
            move(str(source), str(tmp_path / "b" / "b.db"))
        assert str(refused.value) == (
            "the copy of events is not what it was made from; begin anew with an empty database"
        )
        manager.create("a", scopes="x")
