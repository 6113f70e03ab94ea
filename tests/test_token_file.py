"""The token file: what is believed, what is refused, and that nothing of it shows."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import socket
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard import InvalidArgument
from clawguard.refresh_client import RefreshClient
from tests.clocks import FakeClock
from tests.refresh_hosts import TOKEN, Host, refused


@pytest.fixture
def host() -> Host:
    return Host(FakeClock())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def client(path: Path, host: Host) -> RefreshClient:
    made = RefreshClient(path, host.redeem, clock=host.clock)
    made.keep(host.issue())
    return made


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


# What is refused


def others_can_read(path: Path) -> None:
    path.chmod(0o640)


def a_symlink(path: Path) -> None:
    path.rename(path.with_name("target"))
    path.symlink_to("target")


def a_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir(0o700)


def a_socket(path: Path) -> None:
    path.unlink()
    os.chdir(path.parent)  # a socket's path has a low limit
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(path.name)


FAULTS: dict[Callable[[Path], object], str] = {
    others_can_read: "chmod 600",
    a_symlink: "no symlink",
    a_fifo: "not a regular file",
    a_folder: "a regular file",
    a_socket: "a regular file",
}


@pytest.mark.parametrize("spoil", FAULTS)
@pytest.mark.parametrize("which", ["tokens", "tokens.lock"])
def test_a_file_that_is_not_as_it_must_be_is_refused_before_anything_is_redeemed(
    path: Path,
    client: RefreshClient,
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], object],
    which: str,
) -> None:
    monkeypatch.chdir(path.parent)
    host.clock.advance(45)
    spoil(path.with_name(which))
    for call in (client.token, lambda: client.refresh(TOKEN)):
        assert FAULTS[spoil] in refused(call)
    assert host.redeemed == []


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666, 0o777])
def test_every_mode_that_lets_others_in_is_refused(path: Path, client: RefreshClient, mode: int) -> None:
    path.chmod(mode)
    refused(client.token, match="others can reach it; chmod 600")
    path.chmod(0o400)
    assert client.token() == TOKEN


@pytest.mark.parametrize("which", ["token file", "lock file"])
def test_another_owner_is_refused(
    path: Path, client: RefreshClient, host: Host, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    host.clock.advance(45)
    stranger = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    if which == "lock file":
        if os.getuid() != 0:
            pytest.skip("only root gives files away")
        os.chown(path, stranger, -1)
    refused(client.token, match=f"the {which} .* belongs to user")
    assert host.redeemed == []


def test_no_file_and_no_folder(path: Path, host: Host) -> None:
    client = RefreshClient(path, host.redeem)
    refused(client.token, match="there is no token file .* keep")
    refused(lambda: client.refresh(TOKEN), match="there is no token file")
    nowhere = RefreshClient(path / "missing", host.redeem)
    refused(lambda: nowhere.keep(host.issue()), match="cannot be used: No such file")


def test_a_file_cut_off_anywhere_is_refused(path: Path, client: RefreshClient) -> None:
    text = path.read_bytes()
    for length in range(len(text)):
        path.write_bytes(text[:length])
        refused(client.token, match="does not hold what keep")
    path.write_bytes(text)
    assert client.token() == TOKEN


GARBAGE = [
    b"null\n",
    b"[]\n",
    b'{"token":"eyJ.first.signature"}\n',
    b'{"token":1,"refresh_token":"cgr1_first_secret","ends_at":1,"lead":1}\n',
    b'{"token":"eyJ.first.signature","refresh_token":null,"ends_at":1,"lead":1}\n',
    b'{"token":"eyJ.first.signature","refresh_token":"cgr1_first_secret","ends_at":"1","lead":1}\n',
    b'{"token":"eyJ.first.signature","refresh_token":"cgr1_first_secret","ends_at":1,"lead":-1}\n',
    b'{"token":"eyJ.first.signature","refresh_token":"cgr1_first_secret","ends_at":1.0,"lead":1}\n',
    b'{"token":"eyJ.first.signature","refresh_token":"cgr1_first_secret","ends_at":1,"lead":1,"more":1}\n',
    b'{"token":"eyJ.first.signature","token":"eyJ","refresh_token":"cgr1","ends_at":1,"lead":1}\n',
    b'{"token":"eyJ.first.signature","refresh_token":"cgr1_first_secret","ends_at":1,"lead":1}',
    b' {"token":"eyJ.first.signature","refresh_token":"cgr1_first_secret","ends_at":1,"lead":1}\n',
    b"[" * 60_000,
    b"eyJ" * 100_000,
]


@pytest.mark.parametrize("text", GARBAGE)
def test_other_contents_are_refused(path: Path, client: RefreshClient, host: Host, text: bytes) -> None:
    path.write_bytes(text)
    refused(client.token, match="does not hold what keep")
    refused(lambda: client.refresh(TOKEN), match="does not hold what keep")
    assert host.redeemed == []
    client.keep(host.issue())
    assert client.token() == TOKEN


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_any_other_bytes_are_refused(path: Path, client: RefreshClient, text: bytes) -> None:
    path.write_bytes(text)
    refused(client.token, match="does not hold what keep")


# What is written


def test_the_file_is_private_whatever_the_umask_and_nothing_lies_beside_it(
    path: Path, client: RefreshClient, host: Host
) -> None:
    before = os.umask(0o000)
    try:
        client.keep(host.issue())
        client.refresh(TOKEN)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert stat.S_IMODE(path.with_name("tokens.lock").lstat().st_mode) == 0o600
    assert path.with_name("tokens.lock").read_bytes() == b""
    assert names(path.parent) == {"tokens", "tokens.lock"}


@pytest.mark.parametrize("place", ["tokens", ".tokens.new"])
def test_a_symlink_is_replaced_never_written_through(path: Path, host: Host, place: str) -> None:
    path.with_name(place).symlink_to("elsewhere")
    client = RefreshClient(path, host.redeem, clock=host.clock)
    client.keep(host.issue())
    assert client.token() == TOKEN
    assert names(path.parent) == {"tokens", "tokens.lock"}
    assert not path.is_symlink()


def test_what_a_killed_writer_left_is_cleared_away(path: Path, client: RefreshClient) -> None:
    path.with_name(".tokens.new").write_bytes(b"eyJ")
    assert client.refresh(TOKEN) == "eyJ.next-1.signature"
    assert names(path.parent) == {"tokens", "tokens.lock"}


@pytest.mark.parametrize("error", [ConnectionError, KeyboardInterrupt])
def test_a_failing_redeem_is_passed_on_and_changes_nothing(
    path: Path, client: RefreshClient, host: Host, error: type[BaseException]
) -> None:
    def fail() -> None:
        raise error

    before = path.read_bytes()
    host.clock.advance(45)
    host.doing = fail
    refused(client.token, error)
    refused(lambda: client.refresh(TOKEN), error)
    assert path.read_bytes() == before
    host.doing = lambda: None
    again = RefreshClient(path, host.redeem, timeout=0, clock=host.clock)
    assert again.token() == "eyJ.next-3.signature"


@pytest.mark.parametrize(
    "given_",
    [
        {"token": None},
        {"token": ""},
        {"token": "eyJ\n"},
        {"token": b"eyJ"},
        {"token": "e" * 8_193},
        {"refresh_token": None},
        {"refresh_token": "cgr1_\u00e9"},
        {"token_expires_at": None},
        {"token_expires_at": datetime(2030, 1, 1)},  # noqa: DTZ001
        {"token_expires_at": 1_790_000_000},
    ],
)
def test_what_is_not_issued_is_not_kept(
    path: Path, client: RefreshClient, host: Host, given_: dict[str, Any]
) -> None:
    before = path.read_bytes()
    issued = SimpleNamespace(**{**vars(host.issue()), **given_})
    refused(lambda: client.keep(issued), InvalidArgument)
    other = RefreshClient(path, lambda _: issued, clock=host.clock)
    refused(lambda: other.refresh(TOKEN), InvalidArgument)
    assert path.read_bytes() == before


def test_a_disk_that_takes_nothing_shows_before_the_refresh_token_is_spent(
    path: Path, client: RefreshClient, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        refused(lambda: client.refresh(TOKEN), match="cannot be written: No space left")
    assert host.redeemed == []
    assert path.read_bytes() == before
    assert names(path.parent) == {"tokens", "tokens.lock"}
    assert client.refresh(TOKEN) == "eyJ.next-1.signature"


def test_what_is_written_is_synced_before_it_gets_its_name(
    path: Path, client: RefreshClient, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        done.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    client.keep(host.issue())
    assert done == ["file", "rename", "folder"]


# Arguments and traces


def nobody(refresh_token: str) -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("arguments", "settings_", "wrong"),
    [
        ((None, nobody), {}, "path"),
        ((b"tokens", nobody), {}, "path"),
        (("", nobody), {}, "path"),
        (("/", nobody), {}, "path"),
        (("a\0b", nobody), {}, "path"),
        (("a\ud800", nobody), {}, "path"),
        (("tokens", None), {}, "redeem"),
        (("tokens", nobody), {"margin": -1}, "margin"),
        (("tokens", nobody), {"margin": "30"}, "margin"),
        (("tokens", nobody), {"timeout": float("nan")}, "timeout"),
        (("tokens", nobody), {"timeout": None}, "timeout"),
    ],
)
def test_bad_arguments_are_named(arguments: Any, settings_: Any, wrong: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RefreshClient(*arguments, **settings_)
    assert caught.value.argument == wrong


@pytest.mark.parametrize("rejected", [None, b"eyJ.first.signature", 1])
def test_only_a_text_can_have_been_rejected(client: RefreshClient, rejected: Any) -> None:
    refused(lambda: client.refresh(rejected), InvalidArgument, match="rejected")


def test_a_path_is_where_it_was_when_the_working_folder_changes(
    path: Path, client: RefreshClient, host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(path.parent)
    relative = RefreshClient("tokens", host.redeem, clock=host.clock)
    monkeypatch.chdir("/")
    assert relative.token() == TOKEN
    assert repr(relative) == repr(client) == f"RefreshClient({str(path)!r})"


def test_no_repr_copy_pickle_or_log_line_holds_a_token(
    client: RefreshClient, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        client.refresh(TOKEN)
    shown = f"{client!r} {vars(client)!r} {client._read()!r} {caplog.text}"
    assert not any(secret in shown for secret in ("signature", "secret"))
    for take in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="copied or pickled"):
            take(client)


def test_nothing_stays_open(client: RefreshClient, host: Host) -> None:
    opened = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        client.refresh(client.token())
    assert len(os.listdir("/proc/self/fd")) == opened  # noqa: PTH208
