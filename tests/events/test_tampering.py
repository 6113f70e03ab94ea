"""Tampering with every entry of a log: what the chain alone finds, and what a checkpoint finds.

A forger who computes all later hashes anew leaves a chain that holds; only the head that was signed tells.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from clawguard import Verifier
from clawguard.events.chain import Verification, canonical, genesis, link
from clawguard.events.checkpoints import Checkpoint
from tests.clocks import FakeClock
from tests.openers import open_manager, raw

SIZE = 200
MIDDLE = 100


class Entry(NamedTuple):
    seq: int
    digest: bytes
    type: str
    at: int
    session_id: str | None
    cause_id: str | None
    body: str


Log = list[Entry]
Tamper = Callable[[Log, int], Log]


class Lab:
    """A log of 200 entries that can be exchanged for another one, and an auditor beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_manager(path) as manager:
            for number in range(SIZE // 2):
                made = manager.create(f"agent-{number}", scopes="x")
                if manager.events.last()[0] == MIDDLE:
                    self.middle = manager.events.checkpoint()
                manager.revoke(made, reason="done")
                if manager.events.last()[0] == MIDDLE:
                    self.middle = manager.events.checkpoint()
            self.end = manager.events.checkpoint()
            self.key, self.start = manager.events.key, genesis(manager.issuer)
        path.with_name(path.name + "-lock").unlink()  # the mark in it would refuse some at open
        with raw(path) as database:
            query = "SELECT seq, hash, type, at, session_id, cause_id, body FROM events ORDER BY seq"
            self.log = [Entry(*row) for row in database.execute(query)]
        assert len(self.log) == self.end.size == SIZE

    def verify(self, log: Log) -> tuple[Verification, Verification, Verification]:
        """Return what is found by the chain alone, against the checkpoint in the middle, and at the end."""
        with raw(self.path) as database:
            database.execute("PRAGMA synchronous = OFF")
            database.execute("BEGIN")
            database.execute("DELETE FROM events")
            database.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", log)
            database.execute("COMMIT")
        with Verifier.open(self.path, clock=FakeClock()) as auditor:
            verify = auditor.events.verify
            return verify(), verify(str(self.middle), key=self.key), verify(str(self.end), key=self.key)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab") / "data" / "clawguard.db")


def relinked(log: Log, start: bytes) -> Log:
    """Return the log as a forger leaves it who knows the format: every hash computed anew."""
    made, head = [], start
    for entry in log:
        head = link(head, entry.body.encode())
        made.append(entry._replace(digest=head))
    return made


def renumbered(log: Log) -> Log:
    return [entry._replace(seq=seq) for seq, entry in enumerate(log, start=1)]


def with_body(entry: Entry, **changes: Any) -> Entry:
    return entry._replace(body=canonical(json.loads(entry.body) | changes))


# what is done to the entry at `place`, counted from 0


def edit_text(log: Log, place: int) -> Log:
    return [*log[:place], with_body(log[place], subject="user:nobody"), *log[place + 1 :]]


def edit_text_and_columns(log: Log, place: int) -> Log:
    entry = with_body(log[place], at=log[place].at + 1)
    return [*log[:place], entry._replace(at=entry.at + 1), *log[place + 1 :]]


def delete(log: Log, place: int) -> Log:
    return renumbered(log[:place] + log[place + 1 :])


def insert(log: Log, place: int) -> Log:
    return renumbered([*log[:place], with_body(log[place], id="another"), *log[place:]])


def swap(log: Log, place: int) -> Log:
    other = place + 1 if place + 1 < len(log) else place - 1
    swapped = list(log)
    swapped[place], swapped[other] = swapped[other], swapped[place]
    return renumbered(swapped)


CHANGES: dict[str, Tamper] = {
    "edit text": edit_text,
    "edit text and columns": edit_text_and_columns,
    "delete": delete,
    "insert": insert,
    "swap": swap,
}


def told(found: Verification) -> tuple[int, str] | None:
    assert bool(found) is (found.fault is None)
    return None if found.fault is None else (found.fault.seq, found.fault.kind)


def first_touched(tamper: Tamper, place: int) -> int:
    return place if tamper is swap and place == SIZE - 1 else place + 1


def places() -> Iterator[int]:
    yield from range(SIZE)


def test_an_honest_log_holds_against_both(lab: Lab) -> None:
    assert [told(each) for each in lab.verify(lab.log)] == [None, None, None]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_careless_change_is_named_at_every_place_by_the_chain_alone(lab: Lab, change: str) -> None:
    for place in places():
        alone, _, end = lab.verify(CHANGES[change](lab.log, place))
        first = first_touched(CHANGES[change], place)
        fault: tuple[int, str] | None = (first, "genesis" if first == 1 else "link")
        if CHANGES[change] is delete and place == SIZE - 1:
            fault = None  # that is a truncation: nothing is left to tell by
        assert told(alone) == fault, place
        assert told(end) == (fault or (SIZE, "tail")), place


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_with_all_later_hashes_is_found_against_a_checkpoint_only(lab: Lab, change: str) -> None:
    for place in places():
        log = relinked(CHANGES[change](lab.log, place), lab.start)
        alone, middle, end = lab.verify(log)
        assert alone, place
        assert told(end) == ((SIZE, "tail") if len(log) < SIZE else (SIZE, "rewritten")), place
        precedes = first_touched(CHANGES[change], place) <= MIDDLE
        assert told(middle) == ((MIDDLE, "rewritten") if precedes else None), place


@pytest.mark.slow
@pytest.mark.parametrize("column", ["type", "at", "session_id", "cause_id"])
def test_an_edited_column_is_named_at_every_place(lab: Lab, column: str) -> None:
    for place in places():
        edit: dict[str, Any] = {column: 5 if column == "at" else "session.x"}
        changed = lab.log[place]._replace(**edit)
        log = [*lab.log[:place], changed, *lab.log[place + 1 :]]
        assert [told(each) for each in lab.verify(log)] == [(place + 1, "columns")] * 3
        assert relinked(log, lab.start) == log, "there is nothing to compute anew"


@pytest.mark.slow
def test_a_deletion_that_leaves_the_numbers_is_a_gap_at_every_place(lab: Lab) -> None:
    for place in range(SIZE - 1):
        log = lab.log[:place] + lab.log[place + 1 :]
        assert {told(each) for each in lab.verify(log)} == {(place + 2, "gap")}
        assert told(lab.verify(relinked(log, lab.start))[2]) == (place + 2, "gap")


@pytest.mark.slow
def test_a_truncation_at_every_length_is_found_against_a_checkpoint_only(lab: Lab) -> None:
    for length in range(SIZE):
        alone, middle, end = lab.verify(lab.log[:length])
        assert alone.count == length
        assert alone, "the chain alone cannot tell: stated in the guarantees"
        assert told(end) == (length + 1, "tail")
        assert told(middle) == ((length + 1, "tail") if length < MIDDLE else None)


def test_a_rewritten_log_of_any_other_length_is_found(lab: Lab) -> None:
    """What was cut off and filled up again is as long as before, or longer."""
    for extra in (0, 1, 50):
        more = [lab.log[number] for number in range(extra + 1)]
        log = relinked(renumbered([*lab.log[:-1], *more]), lab.start)
        alone, middle, end = lab.verify(log)
        assert (told(alone), told(middle), told(end)) == (None, None, (SIZE, "rewritten"))


def test_a_log_that_went_on_holds_against_its_older_checkpoints(lab: Lab) -> None:
    log = relinked(renumbered([*lab.log, lab.log[0]]), lab.start)
    found = lab.verify(log)
    assert [told(each) for each in found] == [None, None, None]
    assert {each.count for each in found} == {SIZE + 1}
    assert isinstance(lab.end, Checkpoint)
