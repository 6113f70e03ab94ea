"""The first token of a server: whoever starts it gets it, once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

from clawguard.errors import ConfigError, KeyInUse
from clawguard.models import IssuedSession
from clawguard.private_files import absolute, write_private
from clawguard.server.settings import Settings
from clawguard.sessions.manager import SessionManager

__all__ = ["ADMIN_KEY", "hand_over", "mint_admin"]

ADMIN_KEY = "clawguard-admin"
_A_DAY = 86_400


def mint_admin(manager: SessionManager, settings: Settings) -> IssuedSession | None:
    """Make the admin session of the server's workspace, or return None where one is live.

    Its key is unique among live sessions: of servers that start at once, one makes it.
    """
    if manager.sessions.find(key=ADMIN_KEY, workspace_id=settings.workspace) is not None:
        return None
    try:
        return manager.create(
            "clawguard-admin",
            scopes="*",
            key=ADMIN_KEY,
            ttl=_A_DAY,
            workspace_id=settings.workspace,
            name="made by the first start of clawguard serve",
        )
    except KeyInUse:
        return None


def hand_over(issued: IssuedSession, out: TextIO, file: str | os.PathLike[str] | None) -> None:
    """Give the token to whoever started the server: into a new private file, else on its terminal.

    Raises ConfigError where the file is there already or cannot be made.
    """
    if file is None:
        print(f"admin token (shown once, good for a day): {issued.token}", file=out, flush=True)
        return
    path = absolute(Path(file), argument="admin_file")
    try:
        write_private(path, issued.token.encode() + b"\n")
    except OSError as error:
        why = type(error).__name__
        raise ConfigError(
            f"the admin token cannot be written to {path}: {why}", hint="name a new file"
        ) from None
