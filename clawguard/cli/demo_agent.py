"""One of the demo's agents: a process that holds a token and nothing else of clawguard."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any


class Agent:
    """Do as the host says; the token came through the environment."""

    def __init__(self, token: str, port: int) -> None:
        self._token = token
        self._port = port

    def call(self, method: str, path: str) -> dict[str, Any]:
        """Call the tool and tell what came back."""
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=5)
        try:
            connection.request(method, path, headers={"Authorization": f"Bearer {self._token}"})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        took = (time.perf_counter() - began) * 1_000
        is_json = response.getheader("Content-Type") == "application/json"
        return {
            "status": response.status,
            "body": json.loads(body) if is_json else {},
            "challenge": response.getheader("WWW-Authenticate"),
            "ms": took,
        }

    def take(self, token: str) -> dict[str, Any]:
        """Use another token from now on."""
        self._token = token
        return {}

    def ask(self, agent_id: str, scopes: str) -> dict[str, Any]:
        """Ask the host for a helper, on this agent's own authority."""
        return {"parent": self._token, "agent_id": agent_id, "scopes": scopes}


def main() -> None:
    """Take one order a line from standard input and answer each with one line."""
    agent = Agent(os.environ["CLAWGUARD_TOKEN"], int(os.environ["CLAWGUARD_DEMO_PORT"]))
    orders: dict[str, Callable[..., dict[str, Any]]] = {
        "call": agent.call,
        "take": agent.take,
        "ask": agent.ask,
    }
    print(json.dumps({"pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(orders[name](*arguments)), flush=True)


if __name__ == "__main__":
    main()
