"""Proof of the log: its key, signed checkpoints, verification against them, exports of them."""

from __future__ import annotations

import logging
import stat
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from clawguard import ConfigError, InvalidArgument, SessionManager, StoreUnavailable, Verifier
from clawguard.events.chain import genesis
from clawguard.events.checkpoints import Checkpoint
from tests.clocks import FakeClock
from tests.contract.conftest import on_a_file
from tests.events import notes
from tests.openers import open_manager, raw, rows


def fill(manager: SessionManager, count: int = 3) -> None:
    for _ in range(count):
        manager.create("a", scopes="x")


def without_mark(database: str) -> str:
    """Remove the lock file: the mark in it would refuse some tampering before it is looked into."""
    if "://" not in database:
        Path(f"{database}-lock").unlink()
    return database


# what a checkpoint says


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_checkpoint_is_a_note_that_an_independent_reader_accepts(
    manager: SessionManager, clock: FakeClock, count: int
) -> None:
    fill(manager, count)
    clock.advance(0.25)
    made = manager.events.checkpoint()
    read = notes.read_note(str(made), manager.events.key)
    head = manager.events.read()[-1].hash if count else genesis(manager.issuer).hex()
    assert (read.origin, read.size, read.root.hex()) == (manager.issuer, count, head)
    assert read.extensions == [clock.datetime.strftime("%Y-%m-%dT%H:%M:%S.%fZ")]
    assert datetime.fromisoformat(read.extensions[0]) == clock.datetime
    assert (made.origin, made.size, made.head, made.at) == (read.origin, count, head, clock.datetime)
    assert made.text == str(made)
    assert made.text not in repr(made)
    assert manager.events.verify(made)
    assert manager.events.verify(made.text, key=manager.events.key).count == count


def test_an_issuer_of_any_form_gives_an_origin_that_notes_can_have() -> None:
    with open_manager(issuer="https://a.example/log 1+2?\u00e9%20") as manager:
        made = manager.events.checkpoint()
        assert made.origin == "https://a.example/log%201%2B2?%C3%A9%2520"
        assert notes.read_note(str(made), manager.events.key).origin == made.origin


def test_the_time_of_a_checkpoint_is_never_before_its_last_event(
    manager: SessionManager, clock: FakeClock
) -> None:
    fill(manager)
    latest = clock.datetime
    clock.set_back(3)
    assert manager.events.checkpoint().at == latest


def test_what_came_later_harms_no_checkpoint(manager: SessionManager) -> None:
    made = []
    for _ in range(4):
        made.append(manager.events.checkpoint())
        fill(manager)
    assert [each.size for each in made] == [0, 3, 6, 9]
    assert all(manager.events.verify(each) for each in made)


# the key


def test_the_key_is_one_and_stays(database: str) -> None:
    with open_manager(database) as manager, open_manager(database) as other:
        key = manager.events.key
        assert other.events.key == key
        manager.keys.rotate(emergency=True)
        assert manager.events.key == key
        assert key.startswith(f"{manager.issuer}+")
        assert notes.vkey_of(*notes.read_vkey(key)[::2]) == key
        made = manager.events.checkpoint()
    with open_manager(database) as manager, Verifier.open(database, clock=FakeClock()) as verifier:
        assert manager.events.key == verifier.events.key == key
        assert verifier.events.verify(made, key=key)


@on_a_file
def test_the_key_stands_sealed_and_shows_in_no_repr(database: str) -> None:
    path = Path(database)
    with open_manager(path) as manager:
        signer = manager.events._signer()
        private = signer._signing.private_bytes()
        texts = [repr(signer), repr(manager.events), repr(manager.events._known_key)]
        assert not any(private.hex() in text or repr(private)[2:-1] in text for text in texts)
    content = path.read_bytes()
    assert private not in content
    assert private[-32:] not in content


def test_a_verifier_signs_nothing(database: str) -> None:
    with open_manager(database) as manager, Verifier.open(database, clock=FakeClock()) as verifier:
        fill(manager)
        for call in (
            verifier.events.checkpoint,
            lambda: verifier.events.checkpoints(print),
            lambda: verifier.events.archive(FakeClock().datetime, "a"),
        ):
            with pytest.raises(ConfigError, match="public keys only"):
                call()
        assert verifier.events.verify(manager.events.checkpoint())
        verifier.events.upkeep()


def test_a_log_that_was_begun_without_a_key_gets_one_from_the_next_manager(database: str) -> None:
    with open_manager(database) as manager:
        fill(manager)
    with raw(database) as inside:
        inside.execute("DELETE FROM log_keys")
    with Verifier.open(database, clock=FakeClock()) as verifier:
        assert verifier.events.verify().count == 3
        with pytest.raises(ConfigError, match="no key yet"):
            verifier.events.key  # noqa: B018
        with open_manager(database) as manager:
            made = manager.events.checkpoint()
            assert made.size == 3
        assert verifier.events.verify(made)


def exchange_key(database: str, *, kid: bool) -> None:
    """Put one's own public key in the place of the log's, with its name or without."""
    with open_manager() as other, raw(database) as inside:
        [(stolen, public, _)] = other._store.read("log_key.get")
        if kid:
            inside.execute("UPDATE log_keys SET kid = ?", (stolen,))
        inside.execute("UPDATE log_keys SET public_jwk = ?", (public,))


@pytest.mark.parametrize("kid", [True, False])
def test_an_exchanged_public_key_is_found_by_a_manager_and_by_who_brings_his_own(
    database: str, kid: bool
) -> None:
    with open_manager(database) as manager:
        fill(manager)
        made, key = manager.events.checkpoint(), manager.events.key
    exchange_key(database, kid=kid)
    with pytest.raises(ConfigError, match="key"), open_manager(database) as manager:
        manager.events.checkpoint()
    with Verifier.open(database, clock=FakeClock()) as verifier:
        assert verifier.events.key != key
        with pytest.raises(InvalidArgument, match="is not signed with the key"):
            verifier.events.verify(made)
        assert verifier.events.verify(made, key=key)


# what is refused


def refused(manager: SessionManager, checkpoint: Any, key: Any = None) -> str:
    with pytest.raises(InvalidArgument) as refusal:
        manager.events.verify(checkpoint, key=key)
    return str(refusal.value)


def test_a_checkpoint_that_is_foreign_forged_or_altered_says_so(manager: SessionManager) -> None:
    fill(manager)
    made = str(manager.events.checkpoint())
    with open_manager() as other:
        fill(other)
        foreign = str(other.events.checkpoint())
        assert "is of another log" in refused(manager, foreign)
        assert "is of another log" in refused(manager, foreign, other.events.key)
        assert "is of another log" in refused(manager, made, other.events.key)
    mine = Ed25519PrivateKey.generate()
    forged = notes.sign(manager.issuer, made.rpartition("\n\n")[0] + "\n", mine)
    assert "is not signed with the key of this log" in refused(manager, forged)
    altered = made.replace("\n3\n", "\n2\n")
    assert "was changed after it was signed" in refused(manager, altered)
    record = manager.events.checkpoint()
    assert manager.events.verify(record)
    dressed = Checkpoint(altered, record.origin, record.size, record.head, record.at)
    assert "was changed after it was signed" in refused(manager, dressed)


@pytest.mark.parametrize("given", [5, b"note", "", "text\n", object()])
def test_what_is_no_checkpoint_is_refused(manager: SessionManager, given: Any) -> None:
    assert "checkpoint" in refused(manager, given)


@pytest.mark.parametrize("key", [5, "", "a+b+c"])
def test_what_is_no_key_is_refused(manager: SessionManager, key: Any) -> None:
    assert "key" in refused(manager, None, key)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        (1, "-1"),
        (1, "03"),
        (1, ""),
        (1, "1" * 30),
        (1, "\u0663"),
        (2, "AAAA"),
        (2, ""),
        (3, ""),
        (3, "yesterday"),
        (3, "2026-09-21T14:13:20.000000+00:00"),
        (3, "2026-09-21 14:13:20.000000Z"),
        (3, None),
    ],
)
def test_a_note_of_the_log_key_that_is_no_checkpoint_is_refused(
    manager: SessionManager, line: int, changed: str | None
) -> None:
    fill(manager)
    lines: list[str | None] = list(str(manager.events.checkpoint()).partition("\n\n")[0].split("\n"))
    lines[line] = changed
    note = manager.events._signer().sign("".join(f"{each}\n" for each in lines if each is not None))
    assert "is signed, but no checkpoint" in refused(manager, note)


def test_further_lines_and_further_signatures_do_no_harm(manager: SessionManager) -> None:
    fill(manager)
    made = str(manager.events.checkpoint())
    text, _, _ = made.partition("\n\n")
    extended = manager.events._signer().sign(f"{text}\nan extension\n")
    witnessed = extended + notes.sign("w.example", f"{text}\n", Ed25519PrivateKey.generate()).split("\n\n")[1]
    assert manager.events.verify(witnessed)


# a log that was changed


def test_nothing_is_signed_that_does_not_go_on_from_what_was(database: str) -> None:
    with open_manager(database) as manager:
        fill(manager, 5)
        manager.events.checkpoint()
        fill(manager, 2)
        with raw(database) as inside:
            inside.execute("UPDATE events SET body = body || ' ' WHERE seq = 6")
        with pytest.raises(StoreUnavailable, match="nothing was signed"):
            manager.events.checkpoint()
        with raw(database) as inside:
            inside.execute("DELETE FROM events WHERE seq > 4")
        with pytest.raises(StoreUnavailable, match="nothing was signed"):
            manager.events.checkpoint()


def test_progress_is_told(manager: SessionManager) -> None:
    fill(manager, 3)
    told: list[int] = []
    assert manager.events.verify(manager.events.checkpoint(), progress=told.append)
    assert told == [3]
    with pytest.raises(InvalidArgument, match="progress"):
        manager.events.verify(progress=5)  # type: ignore[arg-type]


# exported by themselves


def test_checkpoints_come_by_number_and_by_time(manager: SessionManager, clock: FakeClock) -> None:
    got: list[Checkpoint] = []
    manager.events.checkpoints(got.append, every=3, seconds=60)
    manager.prune_expired()
    assert [each.size for each in got] == [0]
    fill(manager, 2)
    manager.prune_expired()
    assert [each.size for each in got] == [0]
    fill(manager, 1)
    manager.prune_expired()
    assert [each.size for each in got] == [0, 3]
    fill(manager, 1)
    clock.advance(59)
    manager.prune_expired()
    assert [each.size for each in got] == [0, 3]
    clock.advance(1)
    manager.prune_expired()
    assert [each.size for each in got] == [0, 3, 4]
    clock.advance(600)
    manager.prune_expired()
    assert len(got) == 3, "nothing came"
    fill(manager, 1)
    manager.close()
    assert [each.size for each in got] == [0, 3, 4, 5]


def test_a_file_always_holds_the_newest_and_a_restart_goes_on_from_it(database: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint"
    with open_manager(database) as manager:
        manager.events.checkpoints(file, every=1)
        for size in (1, 2, 3):
            fill(manager, 1)
            manager.prune_expired()
            assert notes.read_note(file.read_text(), manager.events.key).size == size
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with open_manager(database) as manager:
        manager.events.checkpoints(str(file))
        fill(manager)
    assert notes.read_note(file.read_text(), manager.events.key).size == 6
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["checkpoint"]


def test_a_log_that_was_rewritten_between_two_starts_is_not_signed(
    database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "checkpoint"
    with open_manager(database) as manager:
        manager.events.checkpoints(file)
        fill(manager)
    before = file.read_text()
    with raw(without_mark(database)) as inside:
        inside.execute("DELETE FROM events WHERE seq = 3")
    with open_manager(database) as manager, caplog.at_level(logging.ERROR):
        manager.events.checkpoints(file)
        fill(manager)
        manager.prune_expired()
    assert "nothing was signed" in caplog.text
    assert file.read_text() == before


def test_a_receiver_that_fails_is_logged_and_tried_again(
    manager: SessionManager, caplog: pytest.LogCaptureFixture
) -> None:
    got: list[Checkpoint] = []

    def fail_once(made: Checkpoint) -> None:
        got.append(made)
        if len(got) == 1:
            raise OSError("no way")

    manager.events.checkpoints(fail_once)
    fill(manager)
    manager.prune_expired()
    assert "no way" in caplog.text
    manager.prune_expired()
    manager.prune_expired()
    assert len(got) == 2


def test_the_sweeper_hands_them_over(database: str) -> None:
    import threading

    arrived = threading.Event()
    with SessionManager.open(database, kek=bytes(32), sweep_every=0.01) as manager:
        manager.events.checkpoints(lambda made: arrived.set() if made.size else None, every=1)
        fill(manager)
        assert arrived.wait(30)


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("every", {"every": 0}),
        ("every", {"every": True}),
        ("every", {"every": 1.5}),
        ("seconds", {"seconds": 0}),
        ("seconds", {"seconds": "60"}),
        ("to", {"to": ""}),
        ("to", {"to": 5}),
        ("to", {"to": "a\0b"}),
        ("to", {"to": "missing/folder/file"}),
    ],
)
def test_bad_arguments_are_named(
    manager: SessionManager, argument: str, given: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        manager.events.checkpoints(**({"to": tmp_path / "file"} | given))
    assert refusal.value.argument == argument


@pytest.mark.parametrize("content", [b"", b"somebody's notes\n", b"\xff\xfe", b"x" * 300_000])
def test_nothing_of_somebody_else_is_written_over(
    manager: SessionManager, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "file"
    file.write_bytes(content)
    with pytest.raises(InvalidArgument, match="to"):
        manager.events.checkpoints(file)
    with pytest.raises(InvalidArgument, match="to"):
        manager.events.checkpoints(tmp_path)
    with open_manager() as other:
        file.write_text(str(other.events.checkpoint()))
    with pytest.raises(InvalidArgument, match="to: is of another log"):
        manager.events.checkpoints(file)


def test_seconds_may_be_a_timedelta(manager: SessionManager) -> None:
    manager.events.checkpoints(print, seconds=timedelta(minutes=1))


def test_a_power_safe_commit_stands_behind_a_checkpoint(database: str) -> None:
    with open_manager(database) as manager:
        barriers = []
        for count in (1, 1, 0):
            fill(manager, count)  # creates alone are not power-safe
            manager.events.checkpoint()
            barriers.append(rows(database, "SELECT barrier FROM meta")[0][0])
        assert barriers == [1, 2, 2]
