"""Tokens in a cookie (RFC 6265bis), for pages in browsers: set, cleared, read, and kept from forged requests.

A browser adds its cookies to requests that pages of other sites make it send. `is_own_page` tells those apart
by what no page can set: Sec-Fetch-Site, else Origin.
"""

from __future__ import annotations

import re
from email.utils import format_datetime

from clawguard.errors import InvalidArgument
from clawguard.models import IssuedSession
from clawguard.web.bearer import origin_of

__all__ = ["SAFE_METHODS", "checked_cookie", "clear_cookie", "is_own_page", "set_cookie", "tokens_in"]

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing (RFC 9110, 9.2.1), as far as browsers send them."""

_NAME = re.compile(r"__Host-[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_ATTRIBUTES = "Path=/; Secure; HttpOnly; SameSite=Strict"
_LONGEST = 4_096  # of name and value: what every browser keeps (RFC 6265bis, 5.6)


def set_cookie(name: str, session: IssuedSession) -> str:
    """Return the value of a Set-Cookie header that hands a browser a session's token, until the token's end.

    `name` is that of the option `cookie`. Raises InvalidArgument for a token that browsers cannot keep or
    send: too long a one, or one that is bound to a key.
    """
    name = checked_cookie(name)
    if session.cnf is not None and "jkt" in session.cnf:
        raise InvalidArgument("session", "must not be bound to a key", hint="a browser sends no proof")
    if len(name) + len(session.token) > _LONGEST:
        raise InvalidArgument("session", "has too long a token for a cookie", hint="give it fewer scopes")
    until = format_datetime(session.token_expires_at, usegmt=True)
    return f"{name}={session.token}; Expires={until}; {_ATTRIBUTES}"


def clear_cookie(name: str) -> str:
    """Return the value of a Set-Cookie header that has a browser forget the token."""
    return f"{checked_cookie(name)}=; Max-Age=0; {_ATTRIBUTES}"


def checked_cookie(name: object) -> str:
    """Return a cookie's name, or raise InvalidArgument where a browser would take it from another host."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidArgument(
            "cookie", "must be a name that begins with __Host-", hint="write __Host-clawguard-token"
        )
    return name


def tokens_in(cookies: str, name: str) -> list[str]:
    """Return the values that a Cookie header has for a name; more than one is somebody else's doing."""
    pairs = (each.partition("=") for each in cookies.split(";"))
    # No other white space is taken away: a name that another host may set would become ours.
    return [value.strip(" \t") for key, _, value in pairs if key.strip(" \t") == name]


def is_own_page(fetch_site: str | None, origin: str | None, *, own: str | None) -> bool:
    """Tell whether a page of this very origin made the browser send a request.

    `fetch_site` and `origin` are the headers Sec-Fetch-Site and Origin, `own` is where clients reach the app.
    A request with neither header is from no browser of today, and has no business with a cookie.
    """
    if fetch_site is not None:
        return fetch_site == "same-origin"
    return own is not None and origin is not None and origin_of(origin) == own
