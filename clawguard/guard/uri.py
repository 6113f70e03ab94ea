"""URIs of HTTP requests as they are compared: normalised, without query and fragment (RFC 3986, 6.2)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

__all__ = ["normal_uri"]

_PORTS = {"http": 80, "https": 443}
_VISIBLE = re.compile(r"[!-~]+")
_HOST = re.compile(r"[a-z0-9._~!$&'()*+,;=-]+|\[[0-9a-f:.]+\]")
_ESCAPE = re.compile(r"%(..?)?", re.S)
# Unreserved, and what else a path holds as it is: servers hand both forms of these to apps alike.
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~!$&'()*+,;=:@")


def normal_uri(text: object) -> str | None:
    """Return the one form of an http or https URI, or None for anything else.

    Scheme and host in lower case, no default port, escapes in upper case and only where they are needed, a
    path of at least a slash; the query and the fragment are left out (RFC 9449, 4.3). A path with dot
    segments has none: who takes them away, and when, differs from server to server.
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
    return None if path is None else f"{scheme}://{where}{path or '/'}"


def _normal_path(path: str) -> str | None:
    if any(not re.fullmatch("[0-9A-Fa-f]{2}", escape[1] or "") for escape in _ESCAPE.finditer(path)):
        return None
    normal = _ESCAPE.sub(lambda escape: _unescaped(escape[1]), path)
    return None if {".", ".."} & set(normal.split("/")) else normal


def _unescaped(digits: str) -> str:
    character = chr(int(digits, 16))
    return character if character in _PLAIN else f"%{digits.upper()}"
