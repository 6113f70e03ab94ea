"""A policy: ceilings for roles, rules that deny and hide, and a grant that lasts as long as it is named."""

from clawguard import DelegationRefused, SessionManager

POLICY = {
    "roles": {
        "coordinator": {"scopes": "tasks:* docs:*", "may_become": "searcher"},
        "searcher": {"scopes": "web:*"},
    },
    "rules": [
        {"name": "daily-work", "effect": "allow", "actions": "docs:* tasks:* web:*"},
        {"name": "no-prod", "effect": "deny", "actions": "docs:write", "when": {"resource": "prod/*"}},
        {
            "name": "private",
            "effect": "mask",
            "actions": "docs:read",
            "when": {"risk_above": 0.5},
            "fields": ["email"],
        },
    ],
    "grants": [{"name": "search", "scopes": "web:search", "from_role": "coordinator", "to_role": "searcher"}],
}

with SessionManager.open(":memory:", policy=POLICY) as manager:
    planner = manager.create("planner", scopes="docs:* tasks:run", role="coordinator")
    context = manager.validate(planner.token)

    refusal = manager.authorize(context, "docs:write", resource="prod/report")
    print(f"docs:write on prod/report: {refusal.allowed}, by the rule {refusal.rule}")
    decision = manager.authorize(context, "docs:read", risk=0.9).require()
    print(decision.mask({"name": "Ana", "email": "ana@example.com"}))

    try:
        manager.delegate(planner, "helper", scopes="web:search", role="searcher")
    except DelegationRefused as error:
        print(error)  # the planner has no web:search itself
    helper = manager.delegate(planner, "helper", scopes="web:search", role="searcher", grant="search")
    print(f"with the grant: {manager.validate(helper.token).scopes}")
    print(manager.events.read(types="guard.granted")[0].data["scopes"], "was granted, and recorded")

    manager.reload_policy(POLICY | {"grants": []})
    print(f"without it, at once: {len(manager.validate(helper.token).scopes)} scopes")
