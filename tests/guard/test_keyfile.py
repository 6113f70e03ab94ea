"""The key file: modes, owners, links, and two processes that make it at once."""

from __future__ import annotations

import multiprocessing
import os
import socket
import stat
from pathlib import Path
from typing import Any

import pytest

from clawguard.errors import ConfigError
from clawguard.guard.encoding import b64encode
from clawguard.guard.keyfile import create_key_file, read_key_file

KEY = bytes(range(32))


def key_file(path: Path, *, text: bytes = b64encode(KEY) + b"\n", mode: int = 0o600) -> Path:
    path.write_bytes(text)
    path.chmod(mode)
    return path


def names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_key_file(tmp_path / "kek") is None


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_file_is_read(tmp_path: Path, mode: int) -> None:
    assert read_key_file(key_file(tmp_path / "kek", mode=mode)) == KEY
    assert read_key_file(key_file(tmp_path / "bare", text=b64encode(KEY))) == KEY


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_attack_95_a_file_that_others_can_reach(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path / "kek", mode=mode)
    with pytest.raises(ConfigError, match="mode") as caught:
        read_key_file(path)
    assert caught.value.hint == f"chmod 600 {path}"


def test_attack_95_a_symlink(tmp_path: Path) -> None:
    target = key_file(tmp_path / "target")
    link = tmp_path / "kek"
    link.symlink_to(target)
    with pytest.raises(ConfigError, match="cannot be opened"):
        read_key_file(link)


def test_attack_95_a_dangling_symlink_is_not_written_through(tmp_path: Path) -> None:
    link = tmp_path / "kek"
    link.symlink_to(tmp_path / "elsewhere")
    create_key_file(link)
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(ConfigError, match="cannot be opened"):
        read_key_file(link)


def test_attack_95_a_fifo_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "kek", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_key_file(tmp_path / "kek")


def test_attack_95_a_folder_and_a_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="not a regular file"):
        read_key_file(tmp_path)
    monkeypatch.chdir(tmp_path)  # a socket's path has a low limit
    with socket.socket(socket.AF_UNIX) as end:
        end.bind("kek")
        with pytest.raises(ConfigError, match="cannot be opened"):
            read_key_file(Path("kek"))


def test_attack_95_another_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = key_file(tmp_path / "kek")
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    with pytest.raises(ConfigError, match="belongs to") as caught:
        read_key_file(path)
    assert "chown" in str(caught.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        KEY,
        b64encode(KEY[:31]) + b"\n",
        b64encode(KEY + b"\0") + b"\n",
        b64encode(KEY) + b"\n\n",
        b64encode(KEY) + b"=\n",
        b" " + b64encode(KEY) + b"\n",
        b64encode(KEY) + b"\r\n",
        b64encode(KEY) * 1_000,
    ],
)
def test_a_file_that_holds_something_else(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(ConfigError, match="does not hold") as caught:
        read_key_file(key_file(tmp_path / "kek", text=text))
    assert b64encode(KEY).decode() not in str(caught.value)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
def test_a_made_file_is_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        create_key_file(tmp_path / "kek")
    finally:
        os.umask(before)
    found = (tmp_path / "kek").lstat()
    assert stat.S_IMODE(found.st_mode) == 0o600
    assert found.st_nlink == 1
    assert read_key_file(tmp_path / "kek")


def test_a_made_file_never_replaces_another(tmp_path: Path) -> None:
    path = key_file(tmp_path / "kek")
    create_key_file(path)
    assert read_key_file(path) == KEY
    assert names(tmp_path) == ["kek"]


def test_a_file_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be made"):
        create_key_file(tmp_path / "missing" / "kek")


def test_a_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        create_key_file(tmp_path / "kek")
    assert names(tmp_path) == []


def test_what_kept_a_file_from_being_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("clawguard.guard.keyfile.write_private", full)
    with pytest.raises(ConfigError, match="cannot be made: No space left"):
        create_key_file(tmp_path / "kek")


def _make(path: str, barrier: Any, results: Any) -> None:
    barrier.wait(60)
    create_key_file(Path(path))
    results.put(read_key_file(Path(path)))


@pytest.mark.slow
def test_two_processes_at_once_agree(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    for round_ in range(3):
        barrier, results = spawn.Barrier(2), spawn.Queue()
        path = str(tmp_path / f"kek{round_}")
        makers = [spawn.Process(target=_make, args=(path, barrier, results)) for _ in range(2)]
        for maker in makers:
            maker.start()
        keys = {results.get(timeout=60) for _ in makers}
        for maker in makers:
            maker.join(60)
        assert len(keys) == 1
        assert None not in keys
    assert len(names(tmp_path)) == 3


def test_many_threads_at_once_agree(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = tmp_path / "kek"

    def make(_: int) -> bytes | None:
        create_key_file(path)
        return read_key_file(path)

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(make, range(32)))
    assert len(keys) == 1
    assert names(tmp_path) == ["kek"]
