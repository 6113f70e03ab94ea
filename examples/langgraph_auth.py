"""LangGraph: the `auth` that `langgraph.json` names, and what it answers the server; here nobody serves."""

import asyncio
from typing import Any

from langgraph_sdk import Auth

from clawguard import IssuedSession, SessionManager
from clawguard.agents.langgraph import make_auth

# In auth.py of a server, beside {"auth": {"path": "./auth.py:auth", "disable_studio_auth": true}}:
#   auth = make_auth(Verifier.open())


async def ask(auth: Auth, session: IssuedSession, resource: Any, action: Any, value: Any) -> Any:
    """Ask as LangGraph's server does: first whose request it is, then whether it may."""
    enter: Any = auth._authenticate_handler
    decide: Any = auth._global_handlers[-1]
    headers = {name.lower().encode(): each.encode() for name, each in session.headers().items()}
    try:
        user = await enter(headers=headers)
        context = Auth.types.AuthContext(
            user=user, permissions=user["permissions"], resource=resource, action=action
        )
        return await decide(ctx=context, value=value)
    except Auth.exceptions.HTTPException as refusal:
        return f"{refusal.status_code} {refusal.detail}"


async def main() -> None:
    with SessionManager.open(":memory:") as manager:
        auth = make_auth(manager)
        planner = manager.create("planner", scopes="threads:* store:get", subject="user:ana", ttl=60)
        reader = manager.create("reader", scopes="threads:read", ttl=60)

        thread: dict[str, Any] = {"metadata": {"topic": "rooms"}}
        await ask(auth, planner, "threads", "create", thread)
        print("made:", thread["metadata"])
        print("sees:", await ask(auth, planner, "threads", "search", {}))
        print("the reader makes one:", await ask(auth, reader, "threads", "create", {}))
        item: dict[str, Any] = {"namespace": ("notes",), "key": "first"}
        await ask(auth, planner, "store", "get", item)
        print("its notes:", item["namespace"])
        manager.revoke(planner)
        print("afterwards:", await ask(auth, planner, "threads", "search", {}))


if __name__ == "__main__":
    asyncio.run(main())
