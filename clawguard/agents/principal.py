"""Who a caller is to MCP: the fields of an access token, as the SDK and FastMCP both have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from clawguard.agents.callers import Callers
from clawguard.errors import AccessDenied
from clawguard.guard import act_claim
from clawguard.models import Actor, SessionContext

__all__ = ["access_token"]

T = TypeVar("T")


async def access_token(
    make: Callable[..., T], callers: Callers, token: str, resource: str | None
) -> T | None:
    """Return an `AccessToken`, made of whose token it is, or None for one that is refused. Validates once."""
    try:
        context = await callers.find(token)
    except AccessDenied:
        return None
    return make(**_fields(callers, context, resource))


def _fields(callers: Callers, context: SessionContext, resource: str | None) -> dict[str, Any]:
    """Return the fields of an `AccessToken`; its `token` is the session's id: no tool sees a credential.

    The principal that the SDK keeps things for is made of `client_id`, `claims["iss"]` and `subject`, so one
    of them names the workspace: its agents are other clients than those of another's.
    """
    claims: dict[str, Any] = {
        "iss": callers.checker.issuer,
        "aud": context.audience,
        "sub": context.subject,
        "sid": context.session_id,
    }
    if context.actors:
        claims["act"] = act_claim((*context.actors, Actor(context.agent_id, context.session_id)))
    return {
        "token": context.session_id,
        "client_id": f"{quote(context.workspace_id, '')}/{context.agent_id}",
        "scopes": callers.scopes_of(context),
        "expires_at": int(context.expires_at.timestamp()),
        "resource": resource or context.audience,
        "subject": context.subject,
        "claims": claims,
    }
