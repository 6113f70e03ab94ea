"""Two machines with addresses of their own and one PostgreSQL: what one ends the other refuses, cable or not.

Marked torture: making network namespaces takes root.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from clawguard import SessionManager
from tests.faults.lab import CONTEXT, Worker, crew, founded, report
from tests.faults.machines import Cable, Machine, address_of_middle, can_be_made, machines
from tests.faults.test_partition import Rememberer, remember
from tests.faults.test_staleness import BOUNDS
from tests.servers import PostgresServer, postgres_server

pytestmark = [pytest.mark.torture, pytest.mark.timeout(600), pytest.mark.usefixtures("kek")]

PULLS = 10


class Site:
    """Hold two machines, the cable of the second, and where each finds the server."""

    def __init__(self, server: PostgresServer, first: Machine, second: Machine, cable: Cable) -> None:
        self.first, self.second, self.cable = first, second, cable
        self._server = server

    def url(self, machine: Machine) -> str:
        return self._server.url.replace("127.0.0.1", address_of_middle(machine))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    if not can_be_made():
        pytest.skip("needs root and iproute2, to make network namespaces")
    with ExitStack() as kept:
        middle, [(first, _), (second, cable)] = kept.enter_context(machines(2))
        with middle.inside():
            server = kept.enter_context(postgres_server("listen_addresses=*"))
            with (server.data / "pg_hba.conf").open("a") as rules:
                rules.write("host all all 10.123.0.0/16 trust\n")
            server.ask("SELECT pg_reload_conf()")
        yield Site(server, first, second, cable)


def on(machine: Machine, work: Any, *args: Any) -> Any:
    """Run a function on a machine."""
    with machine.inside():
        return work(*args)


@contextmanager
def remembering(site: Site, bound: float) -> Iterator[Rememberer]:
    """Have the second machine remember tokens, and the first one issue and end them."""
    mine, theirs = CONTEXT.Pipe()
    with crew() as start, site.first.inside():
        manager = SessionManager.open(founded(site.url(site.first)), sweep_every=None, lock_timeout=0.5)
        with manager:
            worker: Worker = start(on, site.second, remember, site.url(site.second), bound, theirs)
            yield Rememberer(site.cable, mine, manager, bound)
            mine.send(None)
            worker.result()


def test_the_machines_do_not_see_each_others_loopback(site: Site) -> None:
    with site.first.inside(), pytest.raises(Exception, match="cannot be reached"):
        SessionManager.open(site._server.url, sweep_every=None)


def test_what_one_machine_ends_the_other_refuses(site: Site) -> None:
    with remembering(site, 60.0) as rememberer:  # sooner than any look at the log that is not hinted at
        late = [rememberer.late_when_healthy() for _ in range(PULLS)]
    report(
        "two machines, healthy", revokes=PULLS, latest_accept=f"{max(late):.4f} s after the acknowledgement"
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_with_its_cable_pulled_a_machine_refuses_within_the_bound_and_then_recovers(
    site: Site, bound: float
) -> None:
    with remembering(site, bound) as rememberer:
        late = [rememberer.late(random.Random(turn)) for turn in range(PULLS)]
    report(
        "two machines, cable pulled",
        bound=f"{bound} s",
        pulls=PULLS,
        latest_accept=f"{max(late):.3f} s after the acknowledgement",
    )
    assert max(late) > 0, "no token was accepted after its end: this shows nothing"
    assert max(late) <= bound
