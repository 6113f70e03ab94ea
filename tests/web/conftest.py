"""The world of the contract suites, and the adapters that are asked about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from clawguard import SessionManager, Verifier
from clawguard.guard import ProofKey
from tests.web.adapters import ADAPTERS, Build
from tests.web.world import World


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    database = tmp_path_factory.mktemp("contract") / "own" / "clawguard.db"
    key = ProofKey.generate()
    with (
        SessionManager.open(database, audiences=["other"], sweep_every=None) as manager,
        Verifier.open(database) as verifier,
    ):
        good = manager.create("planner", scopes="docs:read")
        bound = manager.create("planner", scopes="docs:read", cnf=key.cnf)
        short = manager.create("planner", scopes="docs:read", ttl=1)
        yield World(manager, verifier, key, good, bound, short)


@pytest.fixture(scope="module", params=ADAPTERS)
def build(request: pytest.FixtureRequest) -> Build:
    return ADAPTERS[request.param]
