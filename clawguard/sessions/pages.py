"""Pages: what a listing is narrowed by, and cursors, which outlive the row that they stand on."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Collection
from typing import Any

from clawguard.checks import check_text
from clawguard.errors import InvalidArgument
from clawguard.models import STATES

__all__ = ["AGENT", "ID", "check_filters", "cursor_of", "digest_of", "position_of"]

ID = r"([!-~]{1,255})"  # an id in a position
AGENT = r"([^\0]{1,255})"  # an agent's; PostgreSQL takes no NUL in a text
_TAIL = 24  # a digest of the listing's filters, and of that and the position


def check_filters(filters: dict[str, str], known: Collection[str]) -> dict[str, str]:
    """Return what a listing is narrowed by; raise InvalidArgument for what is unknown or will not do."""
    for name, value in filters.items():
        if name not in known:
            raise InvalidArgument(name[:64], "is not a filter", hint=f"the filters are {', '.join(known)}")
        check_text(value, argument=name)
        if name == "state" and value not in STATES:
            raise InvalidArgument("state", f"must be one of {', '.join(STATES)}")
    return filters


def digest_of(*filters: Any) -> str:
    """Return what tells a listing by its filters."""
    return hashlib.sha256(json.dumps(filters, sort_keys=True).encode()).hexdigest()[:16]


def cursor_of(position: str, digest: str) -> str:
    """Return the opaque text for a position in a listing."""
    mark = hashlib.sha256(f"{position}{digest}".encode()).hexdigest()[:8]
    return base64.urlsafe_b64encode(f"{position}{digest}{mark}".encode()).decode()


def position_of(cursor: str, digest: str, form: str) -> tuple[str, ...]:
    """Return the parts of the position a cursor stands on, as the groups of `form` find them.

    Its marks keep listings apart and are no signature, so that anybody can write one. Raises InvalidArgument
    for one of another listing, of another form, or none.
    """
    try:
        text = base64.urlsafe_b64decode(cursor.encode("ascii")).decode()
    except (AttributeError, UnicodeError, binascii.Error):
        text = ""
    position = text[:-_TAIL]
    found = re.fullmatch(form, position, re.ASCII)
    if found is None or cursor != cursor_of(position, digest):
        raise InvalidArgument(
            "cursor",
            "is malformed or belongs to other filters",
            hint="take it from the page before, unchanged",
        )
    return found.groups()
