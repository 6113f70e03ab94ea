"""Carry the log out to Redis Streams, and read it there as a program does that knows nothing of clawguard.

Needs Redis at 127.0.0.1:6379, or where REDIS_URL says, and `pip install 'clawguard-sessions[redis]'`.
"""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

from redis import Redis

from clawguard import SessionManager
from clawguard.relays.redis import RedisRelay

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
DATABASE = os.environ.get("CLAWGUARD_URL", ".clawguard/clawguard.db")
STREAM = f"clawguard-example-{uuid4()}"


def read(client: Any, *, patience: int = 5_000) -> Iterator[dict[str, Any]]:
    """Yield each CloudEvent of the stream once, until none comes for `patience` milliseconds."""
    last, seen = "0", set[str]()
    while found := client.xread({STREAM: last}, block=patience):
        entries = dict(found)[STREAM]
        for _, entry in entries:
            if entry["id"] not in seen:  # after a crash or a lost answer an event comes again
                seen.add(entry["id"])
                yield json.loads(entry["event"])
        last = entries[-1][0]


def main() -> None:
    with (
        closing(Redis.from_url(URL, decode_responses=True)) as client,
        SessionManager.open(DATABASE) as manager,
        RedisRelay(URL, stream=STREAM, source=manager.issuer) as relay,
    ):
        manager.on("session.*", relay, durable=STREAM)  # a name of its own, as the stream has

        planner = manager.create("planner", scopes="docs:read")
        manager.delegate(planner, "summarizer", scopes="docs:read")
        manager.revoke(planner, reason="leaked")

        try:
            for number, event in enumerate(read(client), start=1):
                told = event["data"]
                print(event["type"], "of", told["agent_id"], told["cause"] or "")
                if number == 4:
                    break
            print("all from this log:", event["source"] == manager.issuer)
        finally:
            manager.off(relay)
            manager.subscribers.remove(STREAM)
            client.delete(STREAM)


if __name__ == "__main__":
    main()
