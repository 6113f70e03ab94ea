"""What the URL of a relay may be made of: the characters of a URI, and a host that there could be."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult

__all__ = ["addresses_of", "bracketed", "host_of", "is_uri"]

_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+")  # of a URI without a fragment (RFC 3986, 2)
_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*\.?")
_LOCALHOST = "localhost"
_LOOPBACK = ("127.0.0.1", "::1")  # what that name stands for (RFC 6761, 6.3), whatever a resolver says


def is_uri(text: str) -> bool:
    """Tell whether a text holds nothing that a URI without a fragment may not."""
    return _CHARACTERS.fullmatch(text) is not None


def host_of(parts: SplitResult) -> str | None:
    """Return the host of a URL, a name or an address without brackets; None unless there could be such."""
    host = parts.hostname or ""
    written = parts.netloc.rpartition("@")[2].lower()
    if not re.fullmatch(re.escape(bracketed(host)) + "(:[0-9]*)?", written):
        return None  # brackets around a name, or something behind them
    return host if addresses_of(host) or _NAME.fullmatch(host) else None


def addresses_of(host: str) -> tuple[str, ...]:
    """Return the addresses of a host for which nobody need be asked: none, where it is a name."""
    if host == _LOCALHOST:
        return _LOOPBACK
    try:
        return () if "%" in host else (str(ip_address(host)),)
    except ValueError:
        return ()


def bracketed(host: str) -> str:
    """Return a host as a URL writes it."""
    return f"[{host}]" if ":" in host else host
