r"""ArcSight Common Event Format, version 0: one line of a header and keys with values.

Header: `\` and `|` are escaped. Values: `\` and `=` are, and line ends are written `\n` and `\r`. Other
characters that cannot be printed have no form in CEF; each becomes U+FFFD, so that a line stays one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from clawguard.clock import to_microseconds
from clawguard.events.formats.facts import failed, product_version, severity_of, title

if TYPE_CHECKING:
    from clawguard.events.event import Event

__all__ = ["cef"]

_SEVERITY = {1: 1, 2: 3, 3: 5, 4: 8}  # of 0 to 10
_HEADER = str.maketrans({"\\": "\\\\", "|": "\\|", "\n": " ", "\r": " "})
_VALUE = str.maketrans({"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"})


def cef(event: Event) -> str:
    """Return the event as one line; the keys of fields that are None are left out."""
    severity = str(_SEVERITY[severity_of(event)])
    header = ("clawguard", "clawguard", product_version(), event.type, title(event), severity)
    extension = " ".join(f"{key}={_escaped(value)}" for key, value in _extension(event).items())
    return "|".join(("CEF:0", *(_printable(each.translate(_HEADER)) for each in header), extension))


def _extension(event: Event) -> dict[str, str]:
    fields = {
        "rt": str(to_microseconds(event.at) // 1000),
        "externalId": event.id,
        "outcome": "failure" if failed(event) else "success",
        "reason": event.reason,
        "suser": event.subject,
        "msg": json.dumps(dict(event.data), separators=(",", ":"), sort_keys=True) if event.data else None,
        "cn1": str(event.seq) if event.seq else None,
        "cn1Label": "sequence",
        "cn2": None if event.version is None else str(event.version),
        "cn2Label": "version",
        **_labelled("cs", session=event.session_id, agent=event.agent_id, workspace=event.workspace_id),
        **_labelled("cs", 4, cause=event.cause, prevHash=event.prev_hash or None, hash=event.hash or None),
        **_labelled("flexString", causeId=event.cause_id, actor=event.actor),
    }
    return {
        key: value
        for key, value in fields.items()
        if value is not None and fields.get(key.removesuffix("Label")) is not None
    }


def _labelled(name: str, first: int = 1, **values: str | None) -> dict[str, str | None]:
    """Return custom keys and their labels, counted from `first`."""
    pairs: dict[str, str | None] = {}
    for number, (label, value) in enumerate(values.items(), first):
        pairs |= {f"{name}{number}": value, f"{name}{number}Label": label}
    return pairs


def _escaped(value: str) -> str:
    return _printable(value.translate(_VALUE))


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
