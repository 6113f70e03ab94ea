"""The files: private, whole, ours, and nothing else is opened."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from clawguard import ConfigError, InvalidArgument, SessionManager, StoreUnavailable, Verifier
from clawguard.store.files import file_system_of
from tests.clocks import FakeClock
from tests.openers import KEK, open_manager, raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a database that was in use and closed."""
    path = tmp_path / "data" / "clawguard.db"
    with open_manager(path) as manager:
        for _ in range(40):
            manager.create("a", scopes="x")
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_all_that_is_made_is_private(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "deep" / "data"
    before = os.umask(umask)
    try:
        with open_manager(folder / "clawguard.db", kek=None) as manager:
            manager.create("a", scopes="x")
            made = {each.name: mode(each) for each in folder.iterdir()}
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    names = {"clawguard.db" + end for end in ("", "-wal", "-shm", "-lock", "-kek")}
    assert made.keys() == names | {".gitignore"}
    assert {made[name] for name in names} == {0o600}
    assert (folder / ".gitignore").read_text() == "*\n"


def test_a_folder_that_was_there_stays_as_it_was(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    open_manager(tmp_path / "clawguard.db").close()
    assert mode(tmp_path) == 0o755
    assert not (tmp_path / ".gitignore").exists()


def test_the_default_place_is_hidden_below_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CLAWGUARD_URL", raising=False)
    SessionManager.open(sweep_every=None).close()
    assert (tmp_path / ".clawguard" / "clawguard.db").is_file()
    monkeypatch.setenv("CLAWGUARD_URL", f"sqlite:///{tmp_path}/other.db")
    SessionManager.open(sweep_every=None).close()
    assert (tmp_path / "other.db").is_file()


def test_a_change_of_the_working_folder_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with open_manager("data/clawguard.db") as manager:
        made = manager.create("a", scopes="x")
        monkeypatch.chdir(tmp_path / "elsewhere")
        manager.validate(made.token)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_memory_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open_manager(":memory:", kek=None) as manager:
        manager.create("a", scopes="x")
        (folder,) = tmp_path.iterdir()
        assert mode(folder) == 0o700
    assert list(tmp_path.iterdir()) == []
    for refused in (b"short", lambda: 1 / 0):
        with pytest.raises(ConfigError):
            open_manager(":memory:", kek=refused)
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_is_there_after_a_restart(path: Path) -> None:
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        issuer = manager.issuer
    with open_manager(path) as manager:
        assert manager.issuer == issuer
        manager.validate(made.token)
        assert manager.events.verify().count == 41


# what is refused


@pytest.mark.parametrize("opener", [open_manager, Verifier.open])
@pytest.mark.parametrize("others", [0o604, 0o640, 0o606, 0o660, 0o644])
def test_a_file_open_to_others_is_refused(path: Path, others: int, opener: Any) -> None:
    path.chmod(others)
    with pytest.raises(ConfigError, match="chmod 600"):
        opener(path)
    path.chmod(0o600)
    (path.parent / "clawguard.db-lock").chmod(others)
    with pytest.raises(ConfigError, match=r"clawguard\.db-lock"):
        opener(path)


def test_a_side_file_open_to_others_is_refused(path: Path) -> None:
    with open_manager(path):
        (path.parent / "clawguard.db-wal").chmod(0o644)
        with pytest.raises(ConfigError, match=r"clawguard\.db-wal"):
            open_manager(path)


def test_a_folder_that_others_may_write_in_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write"):
        open_manager(tmp_path / "clawguard.db")
    assert list(tmp_path.iterdir()) == []


def test_a_symlink_is_refused(path: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with pytest.raises(ConfigError, match="not a regular file"):
        open_manager(link)


def test_a_symlink_in_the_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clawguard.db-lock").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError):
        open_manager(tmp_path / "clawguard.db")


def test_an_empty_file_is_never_taken_for_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    path.touch(0o600)
    with pytest.raises(ConfigError, match="empty"):
        open_manager(path)
    assert path.stat().st_size == 0


def test_another_applications_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    path.touch(0o600)
    with raw(path) as database:
        database.execute("CREATE TABLE theirs (x)")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="another application"):
        open_manager(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content", [b"x", b"not a database" * 100, bytes(4_096), b"SQLite format 3\0" + bytes(84)]
)
def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "clawguard.db"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError):
        open_manager(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "share",
    [
        0.01,
        0.1,
        0.3,
        0.5,
        0.7,
        0.9,
        0.99,
    ],
)
def test_a_truncated_database_never_lets_anybody_in(path: Path, share: float) -> None:
    with open_manager(path) as manager:
        token = manager.create("a", scopes="x").token
    os.truncate(path, round(path.stat().st_size * share))
    with pytest.raises((ConfigError, StoreUnavailable)):
        use_all_of(path, token)


def use_all_of(path: Path, token: str) -> None:
    """Read what is there; a log that does not hold is a refusal too."""
    with open_manager(path) as manager:
        manager.validate(token)
        manager.sessions.page()
        if not manager.events.verify():
            raise ConfigError("found")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    for url in (tmp_path, f"sqlite:///{tmp_path}", "sqlite:///"):
        with pytest.raises(ConfigError, match="folder"):
            open_manager(url)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="folder"):
        open_manager(tmp_path / "file" / "clawguard.db")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a\0b",
        "mysql://x",
        "sqlite://relative",
        "http://x/y",
        b"bytes",
        5,
    ],
)
def test_a_bad_url_is_a_bad_argument(url: Any) -> None:
    with pytest.raises(InvalidArgument, match="url"):
        open_manager(url)


def test_a_name_too_long_for_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises((ConfigError, InvalidArgument)):
        open_manager(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("argument", "given"),
    [
        ("lock_timeout", {"lock_timeout": 0}),
        ("lock_timeout", {"lock_timeout": "5"}),
        ("sweep_every", {"sweep_every": -1}),
        ("sweep_every", {"sweep_every": "1"}),
        ("dispatch", {"dispatch": "later"}),
        ("issuer", {"issuer": "a\n"}),
        ("audience", {"audience": "\0"}),
    ],
)
def test_a_bad_setting_is_named_and_leaves_nothing_open(
    tmp_path: Path, argument: str, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        open_manager(tmp_path / "clawguard.db", **given)
    assert refusal.value.argument == argument


@pytest.mark.parametrize("setting", ["lock_timeout", "sweep_every"])
def test_durations_may_be_timedeltas(setting: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {setting: timedelta(seconds=5)}
    with open_manager(tmp_path / "clawguard.db", **given) as manager:
        assert manager._sweeper._every in (None, 5.0)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_refused_open_leaves_no_descriptor(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    path.touch(0o600)
    before = descriptors()
    for _ in range(3):
        with pytest.raises(ConfigError):
            open_manager(path)
    assert descriptors() == before


# who may open it


def test_a_wrong_key_encryption_key_says_so_at_open(path: Path) -> None:
    for wrong in (bytes(32), "a wrong passphrase", lambda: bytes(32)):
        with pytest.raises(ConfigError, match="key-encryption key"):
            open_manager(path, kek=wrong)
    with open_manager(path, kek=KEK) as manager:
        assert manager.active_count() == 40


def test_a_lost_key_file_is_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    open_manager(path, kek=None).close()
    (tmp_path / "clawguard.db-kek").unlink()
    with pytest.raises(ConfigError, match="missing"):
        open_manager(path, kek=None)
    assert not (tmp_path / "clawguard.db-kek").exists()


def test_another_issuer_or_audience_is_refused(path: Path) -> None:
    with pytest.raises(ConfigError, match="another issuer"):
        open_manager(path, issuer="urn:other")
    with pytest.raises(ConfigError, match="another audience"):
        open_manager(path, audience="other")
    with open_manager(path, audience="clawguard") as manager:
        open_manager(path, issuer=manager.issuer).close()


def test_sealed_keys_and_tokens_do_not_stand_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "clawguard.db"
    with open_manager(path) as manager:
        made = manager.create("a", scopes="x")
        signer = manager._parts.guard.ring.require_signer()
        secrets = [signer.private_bytes(), made.token.encode(), made.token.rpartition(".")[2].encode(), KEK]
        for each in tmp_path.iterdir():
            content = each.read_bytes()
            assert not any(secret in content for secret in secrets), each.name


# where it lies


def test_the_file_system_is_told_by_the_deepest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    inside = tmp_path / "a b"
    inside.mkdir()
    escaped = str(inside).replace(" ", "\\040")
    mounts.write_text(
        f"1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / {tmp_path} rw - tmpfs x rw\n"
        f"3 2 0:3 / {escaped} rw - nfs4 x rw\nbroken\n"
    )
    assert file_system_of(inside, mounts) == "nfs4"
    assert file_system_of(tmp_path, mounts) == "tmpfs"
    assert file_system_of(Path("/"), mounts) == "ext4"
    assert file_system_of(tmp_path, tmp_path / "missing") is None


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from clawguard.store import files

    monkeypatch.setattr(files, "file_system_of", lambda folder: "nfs4")
    with pytest.raises(ConfigError, match="network"):
        open_manager(tmp_path / "clawguard.db", clock=FakeClock())


def test_the_database_is_an_ordinary_sqlite_file(path: Path) -> None:
    with raw(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM sessions").fetchone() == (40,)
    assert sqlite3.sqlite_version_info >= (3, 37)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 4_711, -1)
    with pytest.raises(ConfigError, match="folder belongs to another user"):
        open_manager(tmp_path / "clawguard.db")
    assert list(tmp_path.iterdir()) == []
