"""Conversations as files: carried out whole or not at all, carried in all or nothing."""

from __future__ import annotations

import json
import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import ConfigError, InvalidArgument, Session, SessionManager, StoreBusy
from tests.clocks import FakeClock
from tests.history.test_messages import MESSAGES
from tests.openers import open_manager

CRABTALK = """\
{"agent":"crab","created_by":"telegram:12345","created_at":"2026-03-23T10:00:00.123456789+00:00"}
{"role":"user","content":"hello","tool_call_id":"","sender":""}
{"role":"assistant","content":"","reasoning_content":"hm","tool_calls":[{"id":"c1","type":"function",\
"function":{"name":"bash","arguments":"{}"}}],"tool_call_id":""}
{"role":"tool","content":"done","tool_call_id":"c1"}
"""
ZEROCLAW = '{"role":"user","content":"hello"}\n{"role":"assistant","content":"hi"}\n'


@pytest.fixture
def session(manager: SessionManager) -> Session:
    return manager.create("planner", scopes="x", subject="user:ana")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "talk.jsonl"


def say(manager: SessionManager, session: Any, *texts: str) -> None:
    for text in texts:
        manager.history.append(session, {"role": "user", "content": text})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# out


def test_a_file_says_whose_it_is_and_then_one_message_a_line(
    manager: SessionManager, clock: FakeClock, session: Session, file: Path
) -> None:
    clock.advance(3)
    say(manager, session, "größer\nals 東京")
    manager.history.append(session, {"role": "system", "content": "by itself", "auto_injected": True})
    manager.history.append(session, {"kind": "warn", "content": "the disk"})
    heard: list[int] = []
    assert manager.history.export_jsonl(session, file, progress=heard.append) == 2
    at = clock.datetime.isoformat()
    assert lines(file) == [
        {
            "agent": "planner",
            "created_by": "user:ana",
            "created_at": session.created_at.isoformat(),
            "session_id": session.id,
        },
        {"at": at, "role": "user", "content": "größer\nals 東京"},
        {"at": at, "kind": "warn", "content": "the disk"},
    ]
    assert heard == [2]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_second_export_takes_the_first_ones_place_and_says_the_same_of_its_beginning(
    manager: SessionManager, clock: FakeClock, session: Session, file: Path
) -> None:
    say(manager, session, "a")
    file.touch(mode=0o644)
    manager.history.export_jsonl(session, str(file))
    first = file.read_text(encoding="utf-8")
    clock.advance(60)
    say(manager, session, "b")
    manager.end(session)
    assert manager.history.export_jsonl(session.id, file) == 2
    assert file.read_text(encoding="utf-8").startswith(first)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(file.parent.glob(".clawguard-*")) == []


def test_an_export_that_fails_leaves_the_file_that_was_there(
    manager: SessionManager, session: Session, file: Path
) -> None:
    file.write_text("what was there", encoding="utf-8")
    say(manager, session, *("a" for _ in range(1_001)))

    def stop(number: int) -> None:
        raise KeyError(number)

    def clear(number: int) -> None:
        manager.history.clear(session)

    with pytest.raises(KeyError):
        manager.history.export_jsonl(session, file, progress=stop)
    with pytest.raises(StoreBusy, match="removed meanwhile"):
        manager.history.export_jsonl(session, file, progress=clear)
    assert file.read_text(encoding="utf-8") == "what was there"
    assert list(file.parent.glob(".clawguard-*")) == []


def test_a_conversation_that_began_anew_meanwhile_is_not_exported_as_one(
    manager: SessionManager, session: Session, file: Path
) -> None:
    say(manager, session, *("old" for _ in range(1_001)))

    def begin_anew(number: int) -> None:
        if number == 1_000:
            manager.history.clear(session)
            say(manager, session, *("new" for _ in range(1_001)))

    with pytest.raises(StoreBusy, match="removed meanwhile"):
        manager.history.export_jsonl(session, file, progress=begin_anew)
    assert not file.exists()


def test_what_comes_while_it_is_exported_is_for_the_next_time(
    manager: SessionManager, session: Session, file: Path
) -> None:
    say(manager, session, *("a" for _ in range(1_000)))
    more = manager.history.export_jsonl(session, file, progress=lambda _: say(manager, session, "later"))
    assert more == 1_000
    assert manager.history.export_jsonl(session, file) == 1_002


def test_an_export_takes_the_place_of_no_folder_device_or_database(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "data" / "clawguard.db"
    folder, fifo, link = tmp_path / "folder", tmp_path / "fifo", tmp_path / "link"
    folder.mkdir()
    os.mkfifo(fifo)
    link.symlink_to("/dev/null")
    with open_manager(path, clock=clock) as manager:
        session = manager.create("a", scopes="x")
        say(manager, session, "kept")
        for place, why in ((folder, "regular"), (fifo, "regular"), (link, "regular"), (path, "database")):
            with pytest.raises(ConfigError, match=f"the export {place} cannot be written: .*{why}"):
                manager.history.export_jsonl(session, place)
        assert manager.history.count(session) == 1
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert link.is_symlink()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["data", "fifo", "folder", "link"]
    with open_manager(path, clock=clock) as manager:
        assert manager.history.count(session) == 1


def test_a_relative_path_in_a_folder_that_is_gone_is_told(
    manager: SessionManager, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    for verb in (manager.history.export_jsonl, manager.history.import_jsonl):
        with pytest.raises(ConfigError, match="working folder"):
            verb(session, "talk.jsonl")


class NoPath(os.PathLike[str]):
    def __fspath__(self) -> str:
        return 7  # type: ignore[return-value]


@pytest.mark.parametrize("wrong", [NoPath(), "", 7, "a\0b", b"a", "\ud800", None])
def test_a_path_that_none_can_be_is_refused(manager: SessionManager, session: Session, wrong: Any) -> None:
    for verb in (manager.history.export_jsonl, manager.history.import_jsonl):
        with pytest.raises(InvalidArgument, match="path"):
            verb(session, wrong)
        with pytest.raises(InvalidArgument, match="progress"):
            verb(session, "x", progress=7)  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_to_is_said(
    manager: SessionManager, session: Session, tmp_path: Path
) -> None:
    for place in (tmp_path, tmp_path / "missing" / "x"):
        with pytest.raises(ConfigError, match="cannot be written"):
            manager.history.export_jsonl(session, place)
    assert list(tmp_path.glob(".clawguard-*")) == []


# in


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(MESSAGES, max_size=6))
def test_what_is_carried_out_and_in_again_is_the_same(tmp_path: Path, messages: list[dict[str, Any]]) -> None:
    with open_manager() as manager:
        one, other = (manager.create(each, scopes="x") for each in "ab")
        for message in messages:
            manager.history.append(one, message)
        count = manager.history.export_jsonl(one, tmp_path / "x")
        assert manager.history.import_jsonl(other, tmp_path / "x").count == count
        kept = [each for each in manager.history.load(one) if not each.auto_injected]
        assert list(manager.history.load(other)) == kept


def test_times_are_those_of_the_file_or_now(
    manager: SessionManager, clock: FakeClock, session: Session, file: Path
) -> None:
    file.write_text('{"role":"user","content":"a","at":"2026-01-02T03:04:05+01:00","seq":9}\n' + ZEROCLAW)
    assert manager.history.import_jsonl(session, file).header is None
    first, second, _ = manager.history.load_with_timestamps(session)
    assert (first.seq, first.at.isoformat()) == (1, "2026-01-02T02:04:05+00:00")
    assert second.at == clock.datetime


@pytest.mark.parametrize(("text", "count"), [(CRABTALK, 3), (ZEROCLAW, 2), ("", 0), ("\n\n" + ZEROCLAW, 2)])
def test_files_of_others_are_read(
    manager: SessionManager, session: Session, file: Path, text: str, count: int
) -> None:
    file.write_text(text, encoding="utf-8")
    done = manager.history.import_jsonl(session, file)
    assert (done.count, done.repeated) == (count, False)
    assert manager.history.count(session) == count
    if text == CRABTALK:
        assert done.header is not None
        assert done.header["created_by"] == "telegram:12345"
        assert manager.history.load(session)[1].to_dict()["reasoning_content"] == "hm"
        assert manager.get_session(session).created_at == session.created_at


def test_an_import_goes_on_where_the_conversation_is_and_is_an_event(
    manager: SessionManager, session: Session, file: Path
) -> None:
    say(manager, session, "before")
    file.write_text(ZEROCLAW, encoding="utf-8")
    manager.history.import_jsonl(session, file, actor="user:ana")
    say(manager, session, "after")
    entries = manager.history.load_with_timestamps(session)
    assert [(each.seq, each.text) for each in entries] == [
        (1, "before"),
        (2, "hello"),
        (3, "hi"),
        (4, "after"),
    ]
    assert [hit.seq for hit in manager.history.search("hello")] == [2]
    [event] = manager.events.read(types="history.imported")
    assert (event.session_id, event.actor, event.data) == (session.id, "user:ana", {"count": 2})


def test_the_same_file_is_imported_once_until_the_conversation_is_cleared(
    manager: SessionManager, session: Session, file: Path
) -> None:
    file.write_text(CRABTALK, encoding="utf-8")
    first = manager.history.import_jsonl(session, file)
    copy = file.with_name("copy.jsonl")
    copy.write_bytes(file.read_bytes())
    again = manager.history.import_jsonl(session, copy)
    assert (again.count, again.repeated, again.header) == (3, True, first.header)
    assert manager.history.count(session) == 3
    assert len(manager.events.read(types="history.imported")) == 1
    assert not manager.history.import_jsonl(manager.create("b", scopes="x"), file).repeated
    manager.history.clear(session)
    assert not manager.history.import_jsonl(session, file).repeated
    assert manager.history.count(session) == 3


def test_a_mark_of_the_byte_order_and_ends_of_lines_of_windows_are_no_fault(
    manager: SessionManager, session: Session, file: Path
) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + CRABTALK.replace("\n", "\r\n").encode())
    done = manager.history.import_jsonl(session, file)
    assert (done.count, done.header and done.header["agent"]) == (3, "crab")


def test_a_first_line_with_something_in_it_is_a_message(
    manager: SessionManager, session: Session, file: Path
) -> None:
    file.write_text('{"kind":"warn","content":"the disk","agent":"crab"}\n', encoding="utf-8")
    done = manager.history.import_jsonl(session, file)
    assert (done.count, done.header) == (1, None)
    file.write_text('{"content":"nobody said it","agent":"crab"}\n', encoding="utf-8")
    with pytest.raises(InvalidArgument, match="line 1: a message needs a role"):
        manager.history.import_jsonl(session, file)
    assert [each.text for each in manager.history.load(session)] == ["the disk"]


def test_what_was_removed_one_by_one_is_forgotten_by_a_clear_too(
    manager: SessionManager, session: Session, file: Path
) -> None:
    file.write_text(ZEROCLAW, encoding="utf-8")
    manager.history.import_jsonl(session, file)
    while manager.history.remove_last(session):
        pass
    assert manager.history.import_jsonl(session, file).repeated
    assert manager.history.clear(session) == 0
    assert manager.events.read(types="history.cleared") == []
    assert not manager.history.import_jsonl(session, file).repeated
    while manager.history.remove_last(session):
        pass
    manager.history.delete(session)
    receipts = manager._parts.store.read(
        "receipt.get", session_id=session.id, digest=sha256(file.read_bytes()).digest()
    )
    assert receipts == []


GOOD = '{"role":"user","content":"good"}'
FAULTS: dict[str, tuple[str, str]] = {
    "no JSON": ("hush", "is no JSON object"),
    "half a line": ('{"role":"user","con', "is no JSON object"),
    "a list": ("[1]", "is no JSON object"),
    "deep": ("[" * 100_000, "is no JSON object"),
    "a huge number": ('{"role":"user","x":' + "9" * 5_000 + "}", "is no JSON object"),
    "no role": ('{"content":"hush"}', "needs a role"),
    "another role": ('{"role":"hush","content":""}', "role: "),
    "a second header": ('{"agent":"hush","created_at":"now"}', "needs a role"),
    "a time that is none": ('{"role":"user","content":"","at":"hush"}', "at: must be an instant"),
    "a time without a zone": ('{"role":"user","content":"","at":"2026-01-01T00:00:00"}', "with a time zone"),
    "a time after all times": ('{"role":"user","at":"9999-12-31T23:59:59-12:00"}', "at: must be an instant"),
    "a time before them": ('{"role":"user","at":"0001-01-01T00:00:00+12:00"}', "at: must be an instant"),
    "a name twice": ('{"role":"user","content":"a","content":"hush"}', "a name twice"),
    "a name twice within": ('{"role":"user","x":[{"y":1,"y":"hush"}]}', "a name twice"),
    "a number as a time": ('{"role":"user","content":"","at":7}', "at: must be an instant"),
    "not a number": ('{"role":"user","x":NaN}', "JSON values only"),
    "a surrogate": ('{"role":"user","content":"hush\\ud800"}', "lone surrogate"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_line_at_fault_is_named_and_nothing_is_imported(
    manager: SessionManager, session: Session, file: Path, fault: str
) -> None:
    bad, why = FAULTS[fault]
    file.write_text("\n".join([GOOD] * 5 + ["", bad, GOOD, bad]), encoding="utf-8")
    with pytest.raises(InvalidArgument, match=f"path: line 7: .*{why}") as caught:
        manager.history.import_jsonl(session, file)
    assert "hush" not in str(caught.value)
    assert manager.history.count(session) == 0
    assert manager.history.load(session) == ()
    assert manager.history.search("good") == ()
    assert manager.events.read(types="history.imported") == []


def test_a_bad_line_near_the_end_of_ten_thousand_imports_nothing(
    manager: SessionManager, session: Session, file: Path
) -> None:
    file.write_text("\n".join([GOOD] * 9_998 + ['{"role":"user"', GOOD]), encoding="utf-8")
    heard: list[int] = []
    with pytest.raises(InvalidArgument, match="line 9999: "):
        manager.history.import_jsonl(session, file, progress=heard.append)
    assert heard == list(range(1_000, 10_000, 1_000))
    assert manager.history.count(session) == 0


def test_bytes_that_are_no_text_are_a_fault(manager: SessionManager, session: Session, file: Path) -> None:
    file.write_bytes(GOOD.encode() + b'\n{"role":"user","content":"\xff"}\n')
    with pytest.raises(InvalidArgument, match="line 2"):
        manager.history.import_jsonl(session, file)


def test_a_file_that_changes_while_it_is_read_imports_nothing(
    manager: SessionManager, session: Session, file: Path
) -> None:
    file.write_text("\n".join([GOOD] * 1_000), encoding="utf-8")

    def change(number: int) -> None:
        file.write_text("\n".join([GOOD] * 999 + [GOOD.replace("good", "evil")]), encoding="utf-8")

    with pytest.raises(InvalidArgument, match="was changed"):
        manager.history.import_jsonl(session, file, progress=change)
    assert manager.history.count(session) == 0
    assert manager.history.load(session) == ()


def test_what_is_no_file_is_refused_at_once(
    manager: SessionManager, session: Session, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    for place in (tmp_path, tmp_path / "missing", tmp_path / "fifo"):
        with pytest.raises(InvalidArgument, match="path"):
            manager.history.import_jsonl(session, place)
