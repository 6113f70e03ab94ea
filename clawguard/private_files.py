"""Files with a secret in them: read if 0600, ours, regular and no link; written aside, whole and durably."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from clawguard.errors import ConfigError, InvalidArgument

__all__ = [
    "absolute",
    "check_private",
    "read_private",
    "replace_private",
    "replacing",
    "sync_folder",
    "write_private",
]

_DATABASE = b"SQLite format 3\0"


def absolute(path: Path, *, argument: str) -> Path:
    """Return the whole path of a file; raise InvalidArgument for what no file can be called."""
    try:
        os.fsencode(path)
        return path.absolute()
    except UnicodeEncodeError:
        raise InvalidArgument(argument, "holds characters that no file name has") from None
    except OSError:
        raise ConfigError("the working folder is gone", hint="give an absolute path") from None


def read_private(path: Path, *, name: str, longest: int) -> bytes | None:
    """Return at most the first `longest` bytes of a file, or None when there is none; `name` is for messages.

    Raises ConfigError for a symlink, anything but a regular file, another owner, and a mode that lets group
    or others in.
    """
    # O_NONBLOCK: opening a FIFO would wait for its writer
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(
            f"the {name} {path} cannot be opened: {error.strerror}",
            hint="it must be a regular file, no symlink, that you may read",
        ) from None
    try:
        check_private(path, os.fstat(descriptor), name=name)
        return os.read(descriptor, longest)
    finally:
        os.close(descriptor)


def check_private(path: Path, found: os.stat_result, *, name: str) -> None:
    """Raise ConfigError for what is not regular, not ours, or open to others."""
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the {name} {path} is not a regular file")
    if found.st_uid != os.geteuid():
        raise ConfigError(
            f"the {name} {path} belongs to user {found.st_uid}, not to {os.geteuid()}",
            hint=f"chown {os.geteuid()} {path}",
        )
    if found.st_mode & 0o077:
        raise ConfigError(
            f"the {name} {path} has the mode {stat.S_IMODE(found.st_mode):04o}: others can reach it",
            hint=f"chmod 600 {path}",
        )


def write_private(path: Path, data: bytes) -> None:
    """Make a new file with the data and sync it; raise OSError where that fails or the name is taken."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # whatever the umask takes away
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_private(path: Path, data: bytes, *, name: str) -> None:
    """Put the data into a file, whole or not at all; raise ConfigError. For one writer at a time."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        _check_place(path, name=name)
        try:
            temporary.unlink(missing_ok=True)  # what a writer left that was killed
            write_private(temporary, data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"the {name} {path} cannot be written: {error.strerror}") from None


@contextmanager
def replacing(path: Path, *, name: str) -> Iterator[IO[bytes]]:
    """Give a file to write into, which takes its place when the block ends well: synced, whole, 0600.

    Until then, and where the block fails, what stood there stays. Any number may write at once: the last one
    stays. Raises ConfigError, and that before the block for what a file must not take the place of.
    """
    aside: str | None = None
    try:
        _check_place(path, name=name)
        descriptor, aside = tempfile.mkstemp(prefix=".clawguard-", suffix=".new", dir=path.parent)  # 0600
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
        aside = None
        sync_folder(path.parent)
    except OSError as error:
        raise ConfigError(f"the {name} {path} cannot be written: {error.strerror}") from None
    finally:
        if aside is not None:
            with suppress(OSError):
                Path(aside).unlink()


def _check_place(path: Path, *, name: str) -> None:
    """Raise ConfigError where a folder, a device, a FIFO or a database would go for a file; OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f"the {name} {path} cannot be written: no regular file stands there")
    with path.open("rb") as file:
        if file.read(len(_DATABASE)) == _DATABASE:
            raise ConfigError(f"the {name} {path} cannot be written: a database stands there")


def sync_folder(folder: Path) -> None:
    """Make what was linked or renamed in a folder survive power loss."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
