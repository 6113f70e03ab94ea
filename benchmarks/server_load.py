"""Load on a server of its own process: 50 clients for a while. `python -m benchmarks.server_load [SECONDS]`.

Most of what they ask is introspection; the rest makes, validates, refreshes and ends sessions and follows the
log. What must come out: no error, and memory that does not grow.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx

from tests.server.real import Served, serving

CLIENTS = 50
SECONDS = float(os.environ.get("CLAWGUARD_LOAD_SECONDS", "120"))
FOLLOWERS = 5
TOKENS = 200


class Load:
    """Count what is asked of one server, what it answers and how long that takes."""

    def __init__(self, served: Served, seconds: float) -> None:
        self.served = served
        self.seconds = seconds
        self.errors: Counter[str] = Counter()
        self.took: dict[str, list[float]] = {}
        self.memory: list[float] = []
        self.heard = 0
        self.worked = 0.0
        self._end = 0.0

    async def run(self) -> None:
        """Ask until the time is over."""
        headers = {"Authorization": f"Bearer {self.served.token}"}
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=CLIENTS * 2)
        async with httpx.AsyncClient(
            base_url=self.served.url, headers=headers, limits=limits, timeout=30
        ) as client:
            tokens = [await self._create(client) for _ in range(TOKENS)]
            self._end = time.monotonic() + self.seconds
            before, asked = worked(self.served.process.pid), sum(map(len, self.took.values()))
            clients = [self._client(client, tokens) for _ in range(CLIENTS)]
            followers = [self._follow(client) for _ in range(FOLLOWERS)]
            await asyncio.gather(*clients, *followers, self._watch())
            asked = sum(map(len, self.took.values())) - asked
            self.worked = (worked(self.served.process.pid) - before) / asked

    async def _client(self, client: httpx.AsyncClient, tokens: list[dict[str, Any]]) -> None:
        while time.monotonic() < self._end:
            what = secrets.randbelow(100)
            session = secrets.choice(tokens)
            if what < 80:
                answer = await self._ask(
                    client, "introspect", "/oauth/introspect", data={"token": session["token"]}
                )
                if answer is not None and not answer.json()["active"]:
                    self.errors["an active token was told to be none"] += 1
            elif what < 90:
                await self._ask(client, "validate", "/v1/validate", json={"token": session["token"]})
            elif what < 94:
                await self._ask(client, "show", f"/v1/sessions/{session['id']}")
            else:
                made = await self._create(client)
                await self._ask(client, "refresh", f"/v1/sessions/{made['id']}/refresh", json={})
                await self._ask(client, "revoke", f"/v1/sessions/{made['id']}/revoke", json={})

    async def _create(self, client: httpx.AsyncClient) -> dict[str, Any]:
        body = {"agent_id": "planner", "scopes": ["docs:read"], "ttl": 36_000}
        answer = await self._ask(client, "create", "/v1/sessions", json=body)
        made: dict[str, Any] = {} if answer is None else answer.json()
        return made

    async def _ask(
        self, client: httpx.AsyncClient, what: str, path: str, **sent: Any
    ) -> httpx.Response | None:
        start = time.perf_counter()
        try:
            answer = await client.request("POST" if sent else "GET", path, **sent)
        except httpx.HTTPError as error:
            self.errors[f"{what}: {type(error).__name__}"] += 1
            return None
        self.took.setdefault(what, []).append(time.perf_counter() - start)
        if answer.status_code not in (200, 201):
            self.errors[f"{what}: {answer.status_code}"] += 1
            return None
        return answer

    async def _follow(self, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/v1/events/lines") as answer:
            async for line in answer.aiter_lines():
                self.heard += bool(line)
                if time.monotonic() > self._end:
                    return

    async def _watch(self) -> None:
        while time.monotonic() < self._end:
            self.memory.append(resident(self.served.process.pid))
            await asyncio.sleep(self.seconds / 24)

    def report(self) -> str:
        """Return the figures as lines."""
        lines = []
        for what, took in sorted(self.took.items()):
            ordered = sorted(took)
            p50, p99 = (ordered[int(len(ordered) * share)] * 1_000 for share in (0.5, 0.99))
            rate = len(took) / self.seconds
            lines.append(
                f"{what:<10} {len(took):>7} asked, {rate:>7.1f}/s, p50 {p50:6.1f} ms, p99 {p99:6.1f} ms"
            )
        settled = self.memory[len(self.memory) // 4 :]
        lines.append(f"events heard by {FOLLOWERS} streams: {self.heard}")
        lines.append(
            f"memory of the server: {settled[0]:.1f} MiB after a quarter, {settled[-1]:.1f} MiB at the end, "
            f"at most {max(self.memory):.1f} MiB"
        )
        lines.append(f"processor time of the server: {self.worked * 1_000:.2f} ms a request")
        lines.append(f"errors: {self.errors.total()} {dict(self.errors) or ''}")
        return "\n".join(lines)


def resident(pid: int) -> float:
    """Return the memory that a process has, in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def worked(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main(seconds: float) -> int:
    """Run the load and print the figures; 1 where there was an error."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with serving(place / "store" / "clawguard.db", place / "out") as served:
            load = Load(served, seconds)
            asyncio.run(load.run())
            print(f"{CLIENTS} clients for {seconds:.0f} s\n{load.report()}")
            served.stop()
    return 1 if load.errors else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
