"""The key file: 32 bytes as one line of base64url, 0600, ours, made once and never overwritten."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_hex

from clawguard.errors import ConfigError
from clawguard.guard.encoding import b64decode, b64encode
from clawguard.private_files import read_private, sync_folder, write_private

__all__ = ["KEY_BYTES", "create_key_file", "read_key_file"]

KEY_BYTES = 32
_LONGEST = 64


def read_key_file(path: Path) -> bytes | None:
    """Return the key in the file, or None when there is no file.

    Raises ConfigError for a symlink, anything but a regular file, another owner, a mode that lets group or
    others in, and any content but one line of base64url.
    """
    text = read_private(path, name="key file", longest=_LONGEST)
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
            write_private(temporary, b64encode(os.urandom(KEY_BYTES)) + b"\n")
            _publish(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be made: {error.strerror}") from None


def _publish(temporary: Path, path: Path) -> None:
    """Give the file its name: a link never replaces what stands there, as a rename would."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    sync_folder(path.parent)
