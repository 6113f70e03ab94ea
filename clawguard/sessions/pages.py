"""Cursors: where a page ended, and of which listing. They outlive the row that they stand on."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from clawguard.errors import InvalidArgument

__all__ = ["cursor_of", "digest_of", "position_of"]

_TAIL = 24  # a digest of the listing's filters, and of that and the position


def digest_of(*filters: Any) -> str:
    """Return what tells a listing by its filters."""
    return hashlib.sha256(json.dumps(filters, sort_keys=True).encode()).hexdigest()[:16]


def cursor_of(position: str, digest: str) -> str:
    """Return the opaque text for a position in a listing."""
    mark = hashlib.sha256(f"{position}{digest}".encode()).hexdigest()[:8]
    return base64.urlsafe_b64encode(f"{position}{digest}{mark}".encode()).decode()


def position_of(cursor: str, digest: str) -> str:
    """Return the position a cursor stands on; raise InvalidArgument for one of another listing, or none."""
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii")).decode("ascii")
    except (AttributeError, UnicodeError, binascii.Error):
        text = ""
    position = text[:-_TAIL]
    if cursor != cursor_of(position, digest):
        raise InvalidArgument(
            "cursor",
            "is malformed or belongs to other filters",
            hint="take it from the page before, unchanged",
        )
    return position
