"""A small disk of a test's own: a tmpfs in a namespace that nobody else sees. Linux only."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_NEW_MOUNTS, _NEW_USER = 0x20000, 0x10000000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14


def small_disk(place: Path, *, size: int) -> bool:
    """Mount so many bytes at a folder, for this process and its children only; tell whether that could be."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _NEW_MOUNTS if os.geteuid() == 0 else _NEW_MOUNTS | _NEW_USER
    if libc.unshare(flags) or libc.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None):
        return False
    options = f"size={size},mode=0700".encode()
    return bool(libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, options) == 0)
