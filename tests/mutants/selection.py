"""A plugin of pytest's: of all tests, keep those that are quick enough to run against thousands of mutants.

Each property tries the same few examples for every mutant, and a store is one in memory where it may be.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings

_LEFT_OUT = {"url": {"file", "postgres"}, "database": {"postgres"}}


def pytest_configure() -> None:
    """Have a property's first failing example do: nobody reads it."""
    settings.register_profile(
        "mutants",
        database=None,
        deadline=None,
        derandomize=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    settings.load_profile("mutants")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Drop what needs a server, but for moves to one, and what runs in memory as well."""
    dropped = [item for item in items if _is_left_out(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if not _is_left_out(item)]


def _is_left_out(item: pytest.Item) -> bool:
    if "/test_moving" in item.nodeid:  # the other end of a move is always a server
        return False
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return "postgres" in item.name or any(params.get(name) in stores for name, stores in _LEFT_OUT.items())
