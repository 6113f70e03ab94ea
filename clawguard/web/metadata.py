"""What a protected resource says about itself (RFC 9728): which tokens it takes, and who gives them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from clawguard.errors import InvalidArgument
from clawguard.guard import ALGORITHMS, normal_uri
from clawguard.scopes import Scopes, parse_scopes

__all__ = ["metadata_url", "resource_metadata"]

_WELL_KNOWN = "/.well-known/oauth-protected-resource"


def metadata_url(resource: str) -> str:
    """Return where a resource's metadata is to be found: between its host and its path (RFC 9728, 3.1)."""
    normal = _checked(resource, argument="resource")
    at = normal.index("/", normal.index("//") + 2)
    return normal[:at] + _WELL_KNOWN + normal[at:].rstrip("/")


def resource_metadata(
    resource: str, *, authorization_servers: Iterable[str] = (), scopes: Scopes = ()
) -> dict[str, Any]:
    """Return the metadata document of a resource as JSON-ready data (RFC 9728, 2).

    `resource` is the URL that clients know it by, `authorization_servers` are the issuers whose tokens it
    takes, `scopes` those that a client may ask for. Serve it without asking for a token, as
    application/json. Raises InvalidArgument for what is no URL or no scope.
    """
    _checked(resource, argument="resource")
    servers = list(authorization_servers)
    for server in servers:
        _checked(server, argument="authorization_servers")
    found = {
        "resource": resource,
        "authorization_servers": servers,
        "scopes_supported": list(parse_scopes(scopes)),
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
    }
    return {name: value for name, value in found.items() if value}  # what is empty is left out (3.2)


def _checked(url: object, *, argument: str) -> str:
    normal = normal_uri(url)
    if normal is None or set(str(url)) & set("?#"):
        raise InvalidArgument(
            argument, "must be a URL without query and fragment", hint="write https://api.example.com"
        )
    return normal
