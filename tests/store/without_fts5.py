"""A SQLite without FTS5: the modules of each connection are taken away, as if it had been built without."""

from __future__ import annotations

import _sqlite3
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from clawguard.store import connections

_KEPT = (b"json_each", b"json_tree", None)


def drop_modules() -> Any:
    """Return SQLite's own function for it; skip where the interpreter has no SQLite to be reached into."""
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        return library.sqlite3_drop_modules
    except (AttributeError, OSError):
        pytest.skip("this interpreter's SQLite cannot be reached into")


class _Without(connections.Connection):
    """A connection without modules, but for those that JSON needs."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        handle = ctypes.c_void_p.from_address(id(self) + object.__basicsize__)  # its first field
        drop_modules()(handle, (ctypes.c_char_p * len(_KEPT))(*_KEPT))


@contextmanager
def without_fts5() -> Iterator[None]:
    """Have every connection that is opened in the block be without it."""
    drop_modules()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connections, "Connection", _Without)
        yield
