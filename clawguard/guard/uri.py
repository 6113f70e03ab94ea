"""URIs of HTTP requests as they are compared: normalised, without query and fragment (RFC 3986, 6.2)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["normal_uri"]

_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+|\[[0-9a-f:.]+\]")
_ESCAPE = re.compile(r"%(..?)?", re.S)
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def normal_uri(text: object) -> str | None:
    """Return the one form of an http or https URI, or None for anything else.

    Scheme and host in lower case, no default port, escapes in upper case and only where they are needed, no
    dot segments, a path of at least a slash; the query and the fragment are left out (RFC 9449, 4.3).
    """
    if not isinstance(text, str) or not _VISIBLE.fullmatch(text):
        return None
    try:
        parts = urlsplit(text)
        scheme, port = parts.scheme, parts.port
    except ValueError:
        return None
    host = parts.netloc.lower().removesuffix(f":{port}").removesuffix(":")
    if scheme not in _PORTS or not _HOST.fullmatch(host):
        return None
    path = _normal_path(parts.path)
    where = host if port in (None, _PORTS[scheme]) else f"{host}:{port}"
    return None if path is None else f"{scheme}://{where}{path}"


def _normal_path(path: str) -> str | None:
    if any(not re.fullmatch("[0-9A-Fa-f]{2}", escape[1] or "") for escape in _ESCAPE.finditer(path)):
        return None
    return _without_dots(_ESCAPE.sub(lambda escape: _unescaped(escape[1]), path)) or "/"


def _unescaped(digits: str) -> str:
    character = chr(int(digits, 16))
    return character if character in _UNRESERVED else f"%{digits.upper()}"


def _without_dots(path: str) -> str:
    """Return a path without its dot segments (RFC 3986, 5.2.4)."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments and segments[-1] in (".", ".."):
        kept.append("")
    return "".join(f"/{segment}" for segment in kept)
