"""What a policy costs a validate deep in a tree, and what a redeem costs beside a refresh."""

from __future__ import annotations

from collections.abc import Iterator

from clawguard import SessionManager, Verifier

from .harness import Result, Setting, benchmark, pair
from .raw import SCOPES, open_manager

_POLICY = {
    "roles": {"lead": {"scopes": "docs:* mail:send tasks:*"}, "other": {"scopes": "docs:read"}},
    "tasks": {"plan": {"scopes": "docs:* mail:*"}, "write": {"scopes": "docs:*"}},
    "rules": [{"name": "daily", "effect": "allow", "actions": "docs:*"}],
}
_DEPTH = 3


def _deepest(manager: SessionManager) -> str:
    """Return a token of a session that has three above it."""
    session = manager.create("planner", scopes=SCOPES, role="lead", task_type="plan")
    for level in range(_DEPTH):
        session = manager.delegate(session, f"helper-{level}", scopes="docs:read")
    return session.token


@benchmark("policy")
def policy(setting: Setting) -> Iterator[Result]:
    """validate at depth 3 under a policy, against the same without one: seen before, and never seen"""
    rounds, number = setting.size(25, 11), 30
    bare, ruled = setting.path("bare"), setting.path("ruled")
    with open_manager(bare) as without, open_manager(ruled) as under:
        under.reload_policy(_POLICY)
        ours, theirs = _deepest(under), _deepest(without)
        yield pair(
            lambda: under.validate(ours, require="docs:read"),
            lambda: without.validate(theirs, require="docs:read"),
            rounds=rounds,
            number=200,
        ).against("validate, depth 3, with a policy, to without: hit", 1.2)
        total = rounds * number + 1
        mine, others = ([_deepest(each) for _ in range(total)] for each in (under, without))
        with Verifier.open(ruled) as strict, Verifier.open(bare) as free:
            fresh, plain = iter(mine), iter(others)
            yield pair(
                lambda: strict.validate(next(fresh), require="docs:read"),
                lambda: free.validate(next(plain), require="docs:read"),
                rounds=rounds,
                number=number,
            ).against("  the same: miss", 1.2)


@benchmark("redeem")
def redeem(setting: Setting) -> Iterator[Result]:
    """redeem, power-safe, against refresh"""
    with open_manager(setting.path("redeem")) as manager:
        newest = [manager.create("planner", scopes=SCOPES, refreshable=True)]
        session = manager.create("planner", scopes=SCOPES, refreshable=True)

        def ours() -> object:
            newest[0] = manager.redeem(str(newest[0].refresh_token))
            return newest[0]

        yield pair(ours, lambda: manager.refresh(session), rounds=setting.size(31, 11), number=15).against(
            "redeem, to refresh", 1.2
        )
