"""The key file: 32 bytes as one line of base64url, 0600, ours, made once and never overwritten."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from secrets import token_hex

from clawguard.errors import ConfigError
from clawguard.guard.encoding import b64decode, b64encode

__all__ = ["KEY_BYTES", "create_key_file", "read_key_file"]

KEY_BYTES = 32
_LONGEST = 64


def read_key_file(path: Path) -> bytes | None:
    """Return the key in the file, or None when there is no file.

    Raises ConfigError for a symlink, anything but a regular file, another owner, a mode that lets group or
    others in, and any content but one line of base64url.
    """
    text = _read(path)
    if text is None:
        return None
    key = b64decode(text.removesuffix(b"\n"))
    if key is None or len(key) != KEY_BYTES:
        raise ConfigError(f"the key file {path} does not hold {KEY_BYTES} bytes in base64url")
    return key


def create_key_file(path: Path) -> None:
    """Make the file with a new key, durably, unless one exists: of two makers at once both read the winner's.

    Raises ConfigError when it cannot be made.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        try:
            _write(temporary, b64encode(os.urandom(KEY_BYTES)) + b"\n")
            _publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be made: {error.strerror}") from None


def _read(path: Path) -> bytes | None:
    # O_NONBLOCK: opening a FIFO would wait for its writer
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"the key file {path} cannot be opened: {error.strerror}",
            hint="it must be a regular file, no symlink, that you may read",
        ) from None
    try:
        _check(path, os.fstat(descriptor))
        return os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)


def _check(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the key file {path} is not a regular file")
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"the key file {path} belongs to user {found.st_uid}, not to {os.geteuid()}",
            hint=f"chown {os.geteuid()} {path}",
        )
    if found.st_mode & 0o077:
        raise ConfigError(
            f"the key file {path} has the mode {stat.S_IMODE(found.st_mode):04o}: others can reach it",
            hint=f"chmod 600 {path}",
        )


def _write(path: Path, text: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask takes away
        os.write(descriptor, text)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(temporary: Path, path: Path) -> None:
    """Give the file its name: a link never replaces what stands there, as a rename would."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
