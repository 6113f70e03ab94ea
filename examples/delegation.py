"""A tree of agents: each has less than the one above, uses are handed on, and one end takes what is below."""

from clawguard import DelegationRefused, SessionEnded, SessionManager

with SessionManager.open(":memory:") as manager:
    lead = manager.create("lead", scopes="docs:* mail:send", ttl=900, max_uses=10, subject="user:ana")
    writer = manager.delegate(lead, "writer", scopes="docs:write docs:read", max_uses=4, ttl=300)
    # By its token an agent delegates for itself; the host would give the record.
    reader = manager.delegate(writer.token, "reader", scopes="docs:read", max_uses=1, delegable=False)

    for wanted in ("mail:send", "docs:*"):
        try:
            manager.delegate(writer, "greedy", scopes=wanted, max_uses=1)
        except DelegationRefused as refusal:
            print(refusal)  # refused, never trimmed

    for session in manager.sessions.tree(lead):
        line = " > ".join(each.agent_id for each in manager.sessions.lineage(session))
        print(f"{line}: {session.scopes}, {session.uses_left} uses left, for {session.subject}")

    context = manager.validate(reader.token)
    above = " and ".join(each.agent_id for each in context.actors)
    print(f"{context.agent_id} acts for {context.subject}, below {above}")
    try:
        manager.validate(reader.token)
    except SessionEnded as refusal:
        print(refusal)  # its one use is spent

    manager.revoke(writer, reason="no longer needed")
    ended = {each.agent_id: each.cause for each in manager.sessions.tree(lead)}
    print(ended)
