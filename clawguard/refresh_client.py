"""Refreshing for agents that share a refreshable session: once for all threads and processes of a machine.

The tokens stand in one file. Whoever finds the token near its end locks a file beside it, reads the tokens
again, and redeems the refresh token only where nobody has meanwhile. A holder that dies between the redeem
and the write leaves a spent refresh token in the file: redeemed again within the server's grace, that gives
the same successor, and later it ends the session.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, Protocol

from clawguard.clock import LONGEST, SECOND, Clock, Duration, SystemClock, microseconds, to_microseconds
from clawguard.errors import ConfigError, InvalidArgument
from clawguard.file_lock import FileLock
from clawguard.guard.encoding import compact_json, parse_object
from clawguard.private_files import absolute, read_private, replace_private

__all__ = ["Issued", "RefreshClient"]

_FILE = "token file"
_LONGEST_TOKEN = 8_192
_LONGEST_FILE = 65_536


class Issued(Protocol):
    """Say what a host hands out and a redeem returns; an `IssuedSession` is one."""

    @property
    def token(self) -> str:
        """The token to show."""

    @property
    def refresh_token(self) -> str | None:
        """What the next redeem takes."""

    @property
    def token_expires_at(self) -> datetime:
        """When the token ends."""


class RefreshClient:
    """Give every thread and process of a machine the present token of one session, and refresh it once.

    `path` is the file that holds the tokens, on a local file system, and `redeem` gets the next ones for a
    refresh token: a call to the host, or `manager.redeem` beside it. It should give up well within the
    server's grace; the others wait meanwhile. All calls block: from a coroutine use `asyncio.to_thread`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        redeem: Callable[[str], Issued],
        *,
        margin: Duration = 30,
        timeout: Duration = 10,
        clock: Clock | None = None,
    ) -> None:
        """Refresh `margin` seconds before the end, but never in the first half of a token's life.

        A call waits at most `timeout` seconds for others.
        """
        if not callable(redeem):
            raise InvalidArgument("redeem", "must be callable with a refresh token")
        self._path = _absolute(path)
        self._redeem = redeem
        self._margin = microseconds(margin, argument="margin", least=0)
        self._clock = clock or SystemClock()
        patience = microseconds(timeout, argument="timeout", least=0) / SECOND
        self._lock = FileLock(self._path.with_name(f"{self._path.name}.lock"), timeout=patience)

    def __repr__(self) -> str:
        return f"RefreshClient({os.fspath(self._path)!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a RefreshClient cannot be copied or pickled: make one in each process")

    def keep(self, issued: Issued) -> None:
        """Write the first tokens of a session, in place of what the file holds.

        Once, by whoever got them from the host: kept again later, they would be spent ones. Raises
        InvalidArgument, ConfigError, StoreBusy.
        """
        tokens = _Tokens.of(issued, argument="issued", now=self._clock.now())
        with self._lock.held():
            self._write(tokens)

    def token(self) -> str:
        """Return the token, refreshed first when it is near its end.

        Raises ConfigError for a file that is not as `keep` leaves it, StoreBusy when others take too long,
        and whatever `redeem` raises; the file is then as before.
        """
        return self._present(lambda tokens: tokens.are_due(self._clock.now(), margin=self._margin))

    def refresh(self, rejected: str) -> str:
        """Return another token than the one that a server refused before its time: raises as `token` does.

        Nothing is redeemed where the file holds another by now.
        """
        if not isinstance(rejected, str):
            raise InvalidArgument("rejected", "must be the token that was refused")
        return self._present(lambda tokens: tokens.token == rejected)

    def _present(self, is_stale: Callable[[_Tokens], bool]) -> str:
        tokens = self._read()
        if is_stale(tokens):
            with self._lock.held():
                tokens = self._read()  # another may have refreshed meanwhile
                if is_stale(tokens):
                    tokens = self._refreshed(tokens)
        return tokens.token

    def _refreshed(self, before: _Tokens) -> _Tokens:
        self._write(before)  # a folder or disk that takes nothing shows before the refresh token is spent
        issued = self._redeem(before.refresh_token)
        tokens = _Tokens.of(issued, argument="redeem", now=self._clock.now(), before=before)
        self._write(tokens)
        return tokens

    def _read(self) -> _Tokens:
        text = read_private(self._path, name=_FILE, longest=_LONGEST_FILE)
        if text is None:
            raise ConfigError(
                f"there is no {_FILE} {self._path}", hint="keep() what the host issued before the first call"
            )
        tokens = _Tokens.parse(text)
        if tokens is None:
            raise ConfigError(
                f"the {_FILE} {self._path} does not hold what keep() writes",
                hint="have the host issue a new session, and keep() that",
            )
        return tokens

    def _write(self, tokens: _Tokens) -> None:
        replace_private(self._path, tokens.text(), name=_FILE)


@dataclass(frozen=True, slots=True)
class _Tokens:
    """Hold what the file holds; times are in microseconds.

    `ends_at` is 0 where the token looked over when it came: the clocks differ, and only the server can tell.
    `lead` is how long before its end it is refreshed at most.
    """

    token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    ends_at: int
    lead: int

    @classmethod
    def of(cls, issued: Issued, *, argument: str, now: int, before: _Tokens | None = None) -> _Tokens:
        """Return what was issued, in place of `before`; raise InvalidArgument for anything else.

        The lead is at most half of the life that is left: a longer one would redeem on every call. Where the
        end has not moved on it is the session's own, and a refresh before it brings nothing.
        """
        token, refresh_token = (_text_of(issued, name, argument) for name in ("token", "refresh_token"))
        end: Any = getattr(issued, "token_expires_at", None)
        at = to_microseconds(end, argument="token_expires_at")
        left = min(at - now, LONGEST)
        if left <= 0:
            return cls(token, refresh_token, 0, 0)
        moved = before is None or at > before.ends_at
        return cls(token, refresh_token, now + left, left // 2 if moved else 0)

    @classmethod
    def parse(cls, text: bytes) -> _Tokens | None:
        """Return what a file's text says, or None unless it is the very text that `text` gives for it."""
        match parse_object(text):
            case {
                "token": str(token),
                "refresh_token": str(refresh_token),
                "ends_at": int(ends_at),
                "lead": int(lead),
            }:
                tokens = cls(token, refresh_token, ends_at, lead)
                return tokens if tokens.text() == text else None
        return None

    def text(self) -> bytes:
        """Return the file's text: one line of JSON."""
        names = ("token", "refresh_token", "ends_at", "lead")
        return compact_json({name: getattr(self, name) for name in names}) + b"\n"

    def are_due(self, now: int, *, margin: int) -> bool:
        """Tell whether it is time to redeem."""
        return 0 < self.ends_at <= now + min(margin, self.lead)


def _absolute(path: object) -> Path:
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str):
        raise InvalidArgument("path", "must be a path")
    if not Path(text).name or "\0" in text:
        raise InvalidArgument("path", "must name a file")
    return absolute(Path(text), argument="path")


def _text_of(issued: object, name: str, argument: str) -> str:
    text = getattr(issued, name, None)
    if not isinstance(text, str):
        raise InvalidArgument(
            argument, f"has no {name}", hint="it must be like the IssuedSession of a refreshable session"
        )
    if not (0 < len(text) <= _LONGEST_TOKEN and text.isascii() and text.isprintable()):
        raise InvalidArgument(
            argument, f"has a {name} that is not 1 to {_LONGEST_TOKEN} printable characters"
        )
    return text
