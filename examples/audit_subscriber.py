"""Three ways to hear what happens: live receivers, reading the log, following it; then the proof."""

import os
from collections import Counter

from clawguard import Event, SessionManager, Verifier

ended: Counter[str] = Counter()


def count_ends(event: Event) -> None:
    """Hear an event right after its commit; a receiver that fails or is slow holds nobody up."""
    ended[event.cause or ""] += 1


def main() -> None:
    with SessionManager.open(os.environ.get("CLAWGUARD_URL", ".clawguard/clawguard.db")) as manager:
        manager.on("session.expired", count_ends)
        start, _ = manager.events.last()

        crawler = manager.create("crawler", scopes="web:read", ttl=300)
        manager.delegate(crawler, "parser", scopes="web:read")
        writer = manager.create("writer", scopes="files:write", ttl=300)
        manager.end(writer)
        manager.revoke(crawler, reason="robots.txt says no")

        manager.events.flush(timeout=5)  # until every live receiver has heard it
        print(f"live: {dict(sorted(ended.items()))}")

        for event in manager.events.read(after=start, types="session.expired"):
            print(f"log: {event.agent_id} ended, {event.cause}, {event.reason or 'no reason'}")

        for event in manager.events.follow(after=start, session_id=crawler.id, timeout=0.2):
            print(f"follow: {event.type} of {event.agent_id}")

    # An auditor needs no key that could sign anything.
    with Verifier.open(os.environ.get("CLAWGUARD_URL", ".clawguard/clawguard.db")) as auditor:
        check = auditor.events.verify()
        print(f"chain: {check.count} entries {'hold' if check else check.fault}")


if __name__ == "__main__":
    main()
