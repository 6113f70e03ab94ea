"""Tokens that stand in a body: whose they are, before anything is done for them."""

from __future__ import annotations

from typing import NamedTuple

from clawguard.errors import InvalidArgument, SessionNotFound
from clawguard.guard import RefreshToken, TokenFault, is_refresh_token
from clawguard.guard.encoding import parse_object
from clawguard.guard.jws import octets, split
from clawguard.models import Inspection, Session, SessionContext
from clawguard.sessions.aio import AsyncSessionManager

__all__ = ["Active", "Claimed", "claimed_by", "find_active", "is_of_workspace"]

_NOBODY = "00000000-0000-7000-8000-000000000000"


class Claimed(NamedTuple):
    """Hold what a text says of itself; none of it is verified."""

    session_id: str
    audience: str | None


class Active(NamedTuple):
    """Hold an active token's session, the authority it carries, and what it claims."""

    session: Session
    context: SessionContext
    claims: dict[str, object]


def claimed_by(token: str) -> Claimed:
    """Return which session a token or refresh token names; one that nobody has where it is neither."""
    try:
        if is_refresh_token(token):
            return Claimed(RefreshToken.parse(token).session_id, None)
        claims = parse_object(octets(split(token).payload)) or {}
    except TokenFault:
        return Claimed(_NOBODY, None)
    session_id, audience = claims.get("sid"), claims.get("aud")
    if not isinstance(session_id, str) or not isinstance(audience, str):
        return Claimed(_NOBODY, None)
    return Claimed(session_id, audience)


async def is_of_workspace(manager: AsyncSessionManager, session_id: str, workspace_id: str | None) -> bool:
    """Tell whether a session is known, and of the workspace where one is named."""
    try:
        await manager.sessions.get(session_id, workspace_id=workspace_id)
    except (SessionNotFound, InvalidArgument):
        return False
    return True


async def find_active(manager: AsyncSessionManager, token: str, *, workspace_id: str | None) -> Active | None:
    """Return the session of an active token, of any audience that the manager issues for; else None.

    Nothing is recorded, and no use is spent.
    """
    claimed = claimed_by(token)
    if not await is_of_workspace(manager, claimed.session_id, workspace_id) or claimed.audience is None:
        return None
    try:
        found: Inspection = await manager.inspect(token, audience=claimed.audience)
    except InvalidArgument:
        return None
    if found.session is None or found.context is None or found.claims is None:
        return None
    return Active(found.session, found.context, dict(found.claims))
