"""What a forger can do to a log that was archived, and to an archive: it is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from clawguard import InvalidArgument, SessionManager, StoreUnavailable
from clawguard.events.archives import verify_archive
from tests.clocks import FakeClock
from tests.contract.archive.scene import NEW, OLD, archive, fault_of
from tests.events import notes
from tests.openers import open_manager, raw, rows

# what a forger can do


def forge(database: Any, cut: int, event: dict[str, Any]) -> None:
    """Cut off the beginning of a log and append an event that says it was archived."""
    from clawguard.events.chain import canonical, link

    seq, head = database.execute("SELECT seq, hash FROM events ORDER BY seq DESC").fetchone()
    body = canonical(event)
    values = (seq + 1, link(head, body.encode()), event["at"], body)
    database.execute("DELETE FROM events WHERE seq <= ?", (cut,))
    database.execute("INSERT INTO events VALUES (?, ?, 'log.archived', ?, NULL, NULL, ?)", values)


@pytest.mark.parametrize("note", ["none", "a checkpoint", "one's own"])
def test_a_beginning_cut_off_by_a_forger_is_found(
    manager: SessionManager, clock: FakeClock, database: str, note: str
) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    checkpoint = str(manager.events.checkpoint())
    text = checkpoint.partition("\n\n")[0] + f"\narchive after 0 AAAA\nfile sha256 {'0' * 64}\n"
    texts = {
        "none": "",
        "a checkpoint": checkpoint,
        "one's own": notes.sign(manager.issuer, text, Ed25519PrivateKey.generate()),
    }
    cut = OLD + NEW if note == "a checkpoint" else OLD
    head = rows(database, f"SELECT hash FROM events WHERE seq = {cut}")[0][0]
    data = {"seq": cut, "hash": head.hex(), "sha256": "0" * 64, "note": texts[note]}
    with raw(database) as inside:
        body = {"type": "log.archived", "at": clock.now(), "id": "x", "data": data}
        forge(inside, OLD if note != "a checkpoint" else cut - 1, body)
    count = rows(database, "SELECT count(*) FROM events")
    for checked in (None, checkpoint):
        found = manager.events.verify(checked)
        assert found.fault is not None
        assert found.fault.kind == "cut"
    manager.prune_expired()
    assert rows(database, "SELECT count(*) FROM events") == count, "nothing is removed for a forged event"


def test_a_forged_event_removes_nothing(manager: SessionManager, clock: FakeClock, database: str) -> None:
    data = {"seq": OLD, "hash": "0" * 64, "sha256": "0" * 64, "note": ""}
    with raw(database) as inside:
        forge(inside, 0, {"type": "log.archived", "at": clock.now(), "id": "x", "data": data})
    manager.prune_expired()
    assert rows(database, "SELECT count(*) FROM events") == [(OLD + NEW + 1,)]


@pytest.mark.parametrize("seq", range(OLD + 1, OLD + NEW + 2))
def test_an_archived_logs_entries_are_guarded_as_before(
    manager: SessionManager, clock: FakeClock, file: Path, database: str, seq: int
) -> None:
    archive(manager, clock, file)
    with raw(database) as inside:
        inside.execute(f"UPDATE events SET body = replace(body, 'at\":1', 'at\":2') WHERE seq = {seq}")
    found = manager.events.verify()
    assert found.fault is not None
    assert found.fault[:] == (seq, "link")


@pytest.mark.parametrize("body", ["not json", "{}", '{"data":5}', '{"data":{"seq":"1"}}'])
def test_an_event_that_tells_of_no_cut_is_a_fault(
    manager: SessionManager, clock: FakeClock, file: Path, database: str, body: str
) -> None:
    archive(manager, clock, file)
    with raw(database) as inside:
        inside.execute("UPDATE events SET body = ? WHERE type = 'log.archived'", (body,))
    found = manager.events.verify()
    assert found.fault is not None
    assert found.fault[:] == (OLD + NEW + 1, "cut")
    with pytest.raises(StoreUnavailable, match=f"entry {OLD + NEW + 1}"):
        manager.events.read(after=OLD)
    with pytest.raises(InvalidArgument, match="does not hold"):
        archive(manager, clock, file.with_name("other"))
    manager.prune_expired()


# an archive by itself


def test_tampering_with_any_line_of_an_archive_is_found(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    key = manager.events.key
    header, *lines = file.read_bytes().splitlines(keepends=True)
    assert fault_of(file, key) is None

    def write(*content: bytes) -> tuple[int, str] | None:
        file.write_bytes(b"".join(content))
        return fault_of(file, key)

    for place in range(OLD):
        before, entry, rest = lines[:place], lines[place], lines[place + 1 :]
        broken = (place + 1, "genesis" if place == 0 else "link")
        assert write(header, *before, entry.replace(b'"subject":"a', b'"subject":"b'), *rest) == broken
        assert write(header, *before, b"{}\n", *rest) == broken
        assert write(header, *before, entry[:-2] + b"\n", *rest) == broken
        missing = (place + 2, "gap") if rest else (OLD, "tail")
        assert write(header, *before, *rest) == missing
        assert write(header, *before, entry, entry, *rest) == (place + 1, "gap")
        assert write(header, *before) == (place + 1, "tail")
    assert write(header, *lines, lines[-1]) == (OLD, "gap")


def relink(lines: list[bytes], head: bytes) -> list[bytes]:
    from clawguard.events.chain import link

    made = []
    for line in lines:
        number, _, text = line.split(b",", 2)
        text = text.removeprefix(b'"event":').removesuffix(b"}\n")
        head = link(head, text)
        made.append(b'%s,"hash":"%s","event":%s}\n' % (number, head.hex().encode(), text))
    return made


def test_an_archive_whose_hashes_were_all_made_anew_is_found(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    header, *lines = file.read_bytes().splitlines(keepends=True)
    head = bytes.fromhex(json.loads(header)["head"])
    assert relink(lines, head) == lines
    for place in range(OLD):
        entry = lines[place].replace(b'"scopes":"x"', b'"scopes":"y"')
        changed = [*lines[:place], entry, *lines[place + 1 :]]
        file.write_bytes(header + b"".join(relink(changed, head)))
        assert fault_of(file, manager.events.key) == (OLD, "rewritten")
    more = lines[0].replace(b'"seq":1,', b'"seq":%d,' % (OLD + 1))
    file.write_bytes(header + b"".join(relink([*lines, more], head)))
    assert fault_of(file, manager.events.key) == (OLD + 1, "unsigned")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("after", 1),
        ("head", "0" * 64),
        ("count", OLD - 1),
        ("issuer", "urn:other"),
        ("issuer", 5),
        ("checkpoint", "none"),
        ("checkpoint", None),
        ("format", "clawguard archive 2"),
    ],
)
def test_a_header_that_was_changed_is_refused(
    manager: SessionManager, clock: FakeClock, file: Path, name: str, value: Any
) -> None:
    archive(manager, clock, file)
    header, _, lines = file.read_text().partition("\n")
    file.write_text(json.dumps(json.loads(header) | {name: value}) + "\n" + lines)
    with pytest.raises(InvalidArgument, match="path"):
        verify_archive(file, key=manager.events.key)


def test_the_front_of_an_archive_cannot_be_cut_off(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    header, *lines = file.read_text().splitlines(keepends=True)
    said = json.loads(header) | {"after": 1, "head": json.loads(lines[0])["hash"], "count": OLD - 1}
    file.write_text(json.dumps(said) + "\n" + "".join(lines[1:]))
    with pytest.raises(InvalidArgument, match="header that was changed"):
        verify_archive(file, key=manager.events.key)


def test_a_checkpoint_in_the_place_of_a_header_is_refused(
    manager: SessionManager, clock: FakeClock, file: Path
) -> None:
    archive(manager, clock, file)
    header, _, lines = file.read_text().partition("\n")
    said = json.loads(header) | {"checkpoint": str(manager.events.checkpoint()), "count": OLD + NEW + 1}
    file.write_text(json.dumps(said) + "\n" + lines)
    with pytest.raises(InvalidArgument, match="header that was changed"):
        verify_archive(file, key=manager.events.key)


def test_an_archive_of_another_log_is_refused(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    archive(manager, clock, file)
    with open_manager() as other, pytest.raises(InvalidArgument, match="of another log"):
        verify_archive(file, key=other.events.key)


def test_no_file_and_no_archive_are_refused(manager: SessionManager, tmp_path: Path) -> None:
    key = manager.events.key
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            verify_archive(path, key=key)
    for content in (b"", b"\xff", b"[]", b"[" * 100_000, b"x" * 2_000_000):
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(InvalidArgument, match="is no archive"):
            verify_archive(tmp_path / "file", key=key)
    with pytest.raises(InvalidArgument, match="key"):
        verify_archive(tmp_path / "file", key="x")


def test_progress_of_a_verification_is_told(manager: SessionManager, clock: FakeClock, file: Path) -> None:
    archive(manager, clock, file)
    told: list[int] = []
    verify_archive(file, key=manager.events.key, progress=told.append)
    assert told == [OLD]
