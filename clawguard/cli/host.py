"""What commands speak to: a database here, or, in the same words, a server that has one.

A `SessionManager` is a `Host` as it stands, and `clawguard.cli.remote` has one that asks a server. What needs
the database itself, such as its files, speaks to the manager.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from clawguard.errors import ConfigError, InvalidArgument

if TYPE_CHECKING:
    from clawguard import SessionManager, Verifier
    from clawguard.cli.remote import RemoteHost
    from clawguard.cli.settings import Settings
    from clawguard.events.event import Event
    from clawguard.history.records import Entry, Hit
    from clawguard.models import Ended, Inspection, IssuedSession, Page, Session
    from clawguard.sessions.keychain import KeyInfo

__all__ = [
    "Asked",
    "Events",
    "History",
    "Host",
    "Keys",
    "Log",
    "Sessions",
    "asked",
    "check_beside",
    "check_there",
    "database",
    "file_or_server",
    "host",
    "log",
    "manager",
    "read_token",
    "verifier",
]

_LONGEST_LINE = 16_384


class Sessions(Protocol):
    """Find, list and walk sessions."""

    def get(self, session: str, /, *, workspace_id: str | None = None) -> Session:
        """Return one session."""

    def page(
        self,
        /,
        *,
        live: bool | None = ...,
        limit: int = ...,
        cursor: str | None = ...,
        **filters: str,
    ) -> Page[Session]:
        """Return one page of a workspace's sessions, newest first."""

    def tree(self, session: str, /, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session and all below it."""

    def lineage(self, session: str, /, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session's ancestors and itself."""


class Events(Protocol):
    """Read the log."""

    @property
    def archived(self) -> int:
        """The number of the last event that was archived."""

    def last(self) -> tuple[int, int]:
        """Return the last event's number and time, in microseconds."""

    def read(
        self,
        *,
        after: int = 0,
        types: str | list[str] | None = None,
        session_id: str | None = None,
        cause_id: str | None = None,
        workspace_id: str | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Return the events behind a number."""

    def follow(
        self,
        *,
        after: int = 0,
        types: str | list[str] | None = None,
        session_id: str | None = None,
        workspace_id: str | None = None,
        timeout: float | None = None,
        poll: float = ...,
    ) -> Iterator[Event]:
        """Yield the events behind a number, and those that come."""


class Keys(Protocol):
    """List, publish and rotate the signing keys."""

    def list(self) -> list[KeyInfo]:
        """Return every key, the oldest first."""

    def active(self) -> KeyInfo:
        """Return the key that signs."""

    def jwks(self) -> dict[str, Any]:
        """Return the JWK set that others verify with."""

    def rotate(self, *args: Any, **given: Any) -> Ended:
        """Let the next key sign; `given` as for `manager.keys.rotate`."""


class History(Protocol):
    """Read and search conversations."""

    def tail(self, session: str, limit: int, /, *, workspace_id: str | None = None) -> Sequence[Entry]:
        """Return the newest entries, the oldest of them first."""

    def search(self, text: str, /, *args: Any, **given: Any) -> Sequence[Hit]:
        """Return what holds any of the words; `given` as for `manager.history.search`."""


class Log(Protocol):
    """Read a database's log."""

    @property
    def issuer(self) -> str:
        """Which database it is of."""

    @property
    def events(self) -> Events:
        """Its events."""


class Host(Protocol):
    """Create, look at, refresh and end sessions."""

    @property
    def sessions(self) -> Sessions:
        """Reading."""

    @property
    def events(self) -> Events:
        """The log."""

    @property
    def keys(self) -> Keys:
        """The signing keys."""

    @property
    def history(self) -> History:
        """Conversations."""

    def create(self, agent_id: str, /, *args: Any, **given: Any) -> IssuedSession:
        """Create a session; `given` is what `SessionManager.create` takes."""

    def delegate(self, parent: str | Session, agent_id: str, /, *args: Any, **given: Any) -> IssuedSession:
        """Make a child of a token's or a record's session; `given` as for `SessionManager.delegate`."""

    def refresh(
        self,
        session: str,
        *,
        ttl: float | None = None,
        expected_generation: int | None = None,
        workspace_id: str | None = None,
    ) -> IssuedSession:
        """Give a session its next token."""

    def inspect(self, token: str, /) -> Inspection:
        """Say what a token is."""

    def revoke(
        self,
        session: str,
        *,
        reason: str | None = None,
        actor: str | None = None,
        workspace_id: str | None = None,
    ) -> bool | Ended:
        """End a session and all below it; a server tells how many that were."""

    def revoke_where(self, *args: Any, **given: Any) -> Ended:
        """End what all filters pick; `given` as for `SessionManager.revoke_where`."""


@dataclass
class Asked:
    """Hold the options before the command, and the settings once a command wants them."""

    url: str | None = None
    config: Path | None = None
    secrets_dir: Path | None = None
    _settings: Settings | None = field(default=None, init=False)
    _file: Path | None = field(default=None, init=False)

    @property
    def settings(self) -> Settings:
        """The settings, read on first use; raises ConfigError."""
        if self._settings is None:
            from clawguard.cli.settings import load_settings

            self._settings, self._file = load_settings(
                url=self.url, config=self.config, secrets_dir=self.secrets_dir
            )
        return self._settings

    @property
    def file(self) -> Path | None:
        """The settings file that was read."""
        _ = self.settings
        return self._file

    @property
    def is_at_server(self) -> bool:
        """Whether the commands are asked of a server."""
        from clawguard.sessions.asking import is_server

        return is_server(self.settings.url)

    def of_workspace(self, named: str | None) -> dict[str, str]:
        """Return the filter for the workspace that a command is for; at a server that is the caller's own."""
        if named is None and self.is_at_server:
            return {}
        return {"workspace_id": self.workspace(named)}

    def workspace(self, named: str | None) -> str:
        """Return the workspace that a command is for."""
        return named if named is not None else self.settings.workspace


def asked(ctx: typer.Context) -> Asked:
    """Return what was asked for before the command."""
    found = ctx.find_object(Asked)
    return found if found is not None else Asked()


def database(ctx: typer.Context) -> Path:
    """Return the database's file; raise ConfigError where there is none, or the URL names something else."""
    path = file_or_server(ctx)
    if path is None:
        raise ConfigError(
            "this command works on a database's file, and the URL is a PostgreSQL server's",
            hint="use the server's own tools for that",
        )
    return _there(path)


def file_or_server(ctx: typer.Context) -> Path | None:
    """Return the file that the database is or is to be in, None for one on a PostgreSQL server.

    Raises ConfigError for a URL that names neither.
    """
    from clawguard.store import database_path, is_on_server

    check_beside(ctx)
    url = asked(ctx).settings.url
    if is_on_server(url):
        return None
    path = database_path(url)
    if path is None:
        raise ConfigError("':memory:' ends with the command", hint="name a file by --url or CLAWGUARD_URL")
    return path


def check_there(ctx: typer.Context) -> Path | None:
    """Return the database's file, None for one on a server, which says itself whether there is one."""
    path = file_or_server(ctx)
    return None if path is None else _there(path)


def _there(path: Path) -> Path:
    if not path.exists():
        raise ConfigError(f"there is no database at {path}", hint="make it with: clawguard init")
    return path


def check_beside(ctx: typer.Context) -> None:
    """Raise ConfigError for a command that has to be beside the database, where the URL is a server's."""
    if asked(ctx).is_at_server:
        raise ConfigError(
            f"{_name_of(ctx)} needs the database itself, and the URL is a server's",
            hint="run it beside the database, with --url or CLAWGUARD_URL naming that",
        )


def _name_of(ctx: typer.Context) -> str:
    return ctx.command_path.partition(" ")[2]


@contextmanager
def manager(
    ctx: typer.Context,
    *,
    create: bool = False,
    sweep_every: float | None = None,
    audience: str | None = None,
) -> Iterator[SessionManager]:
    """Open the database of the settings for a block; nothing sweeps meanwhile, unless that is asked for."""
    from clawguard import SessionManager

    check_beside(ctx)
    if not create:
        check_there(ctx)
    settings = asked(ctx).settings
    with SessionManager.open(
        settings.url,
        audience=audience or settings.audience,
        audiences=settings.audiences,
        kek=settings.kek_source(),
        max_sessions_per_agent=settings.max_sessions_per_agent,
        at_limit=settings.at_limit,
        refresh_idle=settings.refresh_idle,
        refresh_grace=settings.refresh_grace,
        lock_timeout=settings.lock_timeout,
        sweep_every=sweep_every,
        create=create,
    ) as opened:
        yield opened


@contextmanager
def verifier(ctx: typer.Context) -> Iterator[Verifier]:
    """Open the database for reading its log, without the key-encryption key."""
    from clawguard import Verifier

    check_there(ctx)
    with Verifier.open(asked(ctx).settings.url, lock_timeout=asked(ctx).settings.lock_timeout) as opened:
        yield opened


def host(ctx: typer.Context) -> AbstractContextManager[Host]:
    """Open what the URL names, a database or a server, for the commands that both can answer."""
    return _server(ctx) if asked(ctx).is_at_server else manager(ctx)


def log(ctx: typer.Context) -> AbstractContextManager[Log]:
    """Open what the URL names for reading its log."""
    return _server(ctx) if asked(ctx).is_at_server else verifier(ctx)


def _server(ctx: typer.Context) -> closing[RemoteHost]:
    from clawguard.cli.remote import RemoteHost

    settings = asked(ctx).settings
    return closing(RemoteHost(settings.url, settings.caller_token(), timeout=settings.lock_timeout))


def read_token(what: str = "token") -> str:
    """Return a token from standard input, or a hidden prompt on a terminal; never from the command line."""
    if sys.stdin.isatty():
        text = getpass.getpass(f"{what}: ")
    else:
        text = os.fsdecode(sys.stdin.buffer.readline(_LONGEST_LINE))
    text = text.strip()
    if not text:
        raise InvalidArgument(what, "is missing", hint="give it on standard input, as in: < planner.token")
    return text
