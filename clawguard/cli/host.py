"""What commands speak to: a database here, or, in the same words, a server that has one.

A `SessionManager` is a `Host` as it stands. What needs the database itself, such as its files, keys or
history, speaks to the manager.
"""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from clawguard.errors import ConfigError, InvalidArgument

if TYPE_CHECKING:
    from clawguard import SessionManager, Verifier
    from clawguard.cli.settings import Settings
    from clawguard.events.event import Event
    from clawguard.models import Ended, Inspection, IssuedSession, Page, Session

__all__ = [
    "Asked",
    "Events",
    "Host",
    "Sessions",
    "asked",
    "database",
    "host",
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
        workspace_id: str = ...,
        live: bool | None = ...,
        limit: int = ...,
        cursor: str | None = ...,
        **filters: str,
    ) -> Page[Session]:
        """Return one page of a workspace's sessions."""

    def tree(self, session: str, /, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session and all below it."""

    def lineage(self, session: str, /, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session's ancestors and itself."""


class Events(Protocol):
    """Read the log."""

    @property
    def archived(self) -> int:
        """The number of the last event that was archived."""

    def read(
        self, *, after: int = 0, types: str | None = None, session_id: str | None = None, limit: int = 100
    ) -> list[Event]:
        """Return the events behind a number."""


class Host(Protocol):
    """Create, look at, refresh and end sessions."""

    @property
    def sessions(self) -> Sessions:
        """Reading."""

    @property
    def events(self) -> Events:
        """The log."""

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
    ) -> bool:
        """End a session and all below it."""

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

    def workspace(self, named: str | None) -> str:
        """Return the workspace that a command is for."""
        return named if named is not None else self.settings.workspace


def asked(ctx: typer.Context) -> Asked:
    """Return what was asked for before the command."""
    found = ctx.find_object(Asked)
    return found if found is not None else Asked()


def database(ctx: typer.Context) -> Path:
    """Return the database's file; raise ConfigError where there is none, or the URL names something else."""
    from clawguard.store import database_path, is_on_server

    url = asked(ctx).settings.url
    if url.startswith(("http://", "https://")):
        raise ConfigError(
            "this command works on a database itself, and the URL is a server's",
            hint="run it where the database is, or give --url",
        )
    if is_on_server(url):
        raise ConfigError(
            "this command works on a database's file, and the URL is a PostgreSQL server's",
            hint="use the server's own tools for that",
        )
    path = database_path(url)
    if path is None:
        raise ConfigError("':memory:' ends with the command", hint="name a file by --url or CLAWGUARD_URL")
    if not path.exists():
        raise ConfigError(f"there is no database at {path}", hint="make it with: clawguard init")
    return path


def check_there(ctx: typer.Context) -> None:
    """Raise ConfigError where a URL names no database that there is; a server says so itself."""
    from clawguard.store import is_on_server

    if not is_on_server(asked(ctx).settings.url):
        database(ctx)


@contextmanager
def manager(
    ctx: typer.Context, *, create: bool = False, sweep_every: float | None = None
) -> Iterator[SessionManager]:
    """Open the database of the settings for a block; nothing sweeps meanwhile, unless that is asked for."""
    from clawguard import SessionManager

    if not create:
        check_there(ctx)
    settings = asked(ctx).settings
    with SessionManager.open(
        settings.url,
        audience=settings.audience,
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


@contextmanager
def host(ctx: typer.Context) -> Iterator[Host]:
    """Open what the URL names, a database for now, for the commands that a server can answer too."""
    with manager(ctx) as opened:
        yield opened


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
