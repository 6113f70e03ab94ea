"""Who a caller is to MCP: the fields of an access token, as the SDK and FastMCP both have them."""

from __future__ import annotations

from typing import Any

from clawguard.agents.callers import Callers
from clawguard.guard import act_claim
from clawguard.models import Actor, SessionContext

__all__ = ["access_fields"]


def access_fields(callers: Callers, context: SessionContext, *, resource: str | None) -> dict[str, Any]:
    """Return the fields of an `AccessToken`; its `token` is the session's id: no tool sees a credential.

    The principal that the SDK keeps things for is made of `client_id`, `claims["iss"]` and `subject`.
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
        "client_id": context.agent_id,
        "scopes": callers.scopes_of(context),
        "expires_at": int(context.expires_at.timestamp()),
        "resource": resource or context.audience,
        "subject": context.subject,
        "claims": claims,
    }
