"""The URL of a webhook, taken apart and held against what may be sent to: TLS, or this machine alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from clawguard.errors import InvalidArgument
from clawguard.relays.hosts import addresses_of, bracketed, host_of, is_uri

__all__ = ["Endpoint", "parse_endpoint"]

_LONGEST = 2_048
_PORTS = {"http": 80, "https": 443}
_LOOPBACK_4, _LOOPBACK_6 = IPv4Network("127.0.0.0/8"), IPv6Address("::1")


class Endpoint(NamedTuple):
    """Hold where requests go; it shows as scheme and host, for a path or a query may be a secret.

    `addresses` are those that need no look-up; `authority` and `target` are what a request says.
    """

    scheme: str
    host: str
    port: int
    authority: str
    target: str
    addresses: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.scheme}://{bracketed(self.host)}"

    def __repr__(self) -> str:
        return f"Endpoint({str(self)!r})"


def parse_endpoint(url: object) -> Endpoint:
    """Return where a URL leads: https, or http to a loopback address; raise InvalidArgument for another."""
    parts = _split(url)
    host, port = host_of(parts), parts.port
    if host is None:
        raise _refused("has no host that there could be")
    if port == 0:
        raise _refused("has the port 0")
    addresses = addresses_of(host)
    if parts.scheme == "http" and not _is_loopback(addresses):
        raise _refused(
            "must begin with https: an event would be readable on its way",
            hint="http is for 127.0.0.1, [::1] and localhost only",
        )
    default = _PORTS[parts.scheme]
    authority = bracketed(host) if port in (None, default) else f"{bracketed(host)}:{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Endpoint(parts.scheme, host, port or default, authority, target, addresses)


def _split(url: object) -> SplitResult:
    """Take apart what has a scheme and a host and nothing that does not belong there."""
    if not isinstance(url, str):
        raise _refused("must be a string")
    if len(url) > _LONGEST:
        raise _refused(f"must be at most {_LONGEST} characters")
    if "#" in url:
        raise _refused("must have no fragment")
    if not is_uri(url):
        raise _refused("holds what no URL may, such as a blank or a control character", hint="escape it")
    parts = _parts(url)
    if parts is None:
        raise _refused("has no host or port that there could be")
    if parts.scheme not in _PORTS:
        raise _refused("must begin with https://")
    if "@" in parts.netloc:
        raise _refused("must name no user and no password", hint="give an Authorization header in `headers`")
    return parts


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _is_loopback(addresses: tuple[str, ...]) -> bool:
    return bool(addresses) and all(_is_of_this_machine(ip_address(each)) for each in addresses)


def _is_of_this_machine(address: IPv4Address | IPv6Address) -> bool:
    return address in _LOOPBACK_4 if isinstance(address, IPv4Address) else address == _LOOPBACK_6


def _refused(why: str, *, hint: str | None = None) -> InvalidArgument:
    return InvalidArgument("url", why, hint=hint)
