"""A block that is over is cancelled by nothing that was still being looked at."""

from __future__ import annotations

import asyncio
import threading

from clawguard import StoreUnavailable
from clawguard.sessions.watching import Watch


def test_a_look_that_ends_after_the_block_cancels_nobody() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def look() -> None:
        begun.set()
        go_on.wait(60)
        raise StoreUnavailable("no answer")

    async def main() -> str:
        watch = Watch(look, waits=True)
        await asyncio.to_thread(begun.wait, 60)
        watch.stop()
        go_on.set()
        await asyncio.to_thread(lambda: None)
        for _ in range(20):
            await asyncio.sleep(0.005)
        watch.settle(None)
        return "went on"

    assert asyncio.run(main()) == "went on"


def test_no_look_follows_the_end_of_a_block() -> None:
    looks: list[None] = []

    async def main() -> None:
        watch = Watch(lambda: looks.append(None))
        watch._run()
        watch.stop()
        watch._act(None)
        assert watch._watcher.cancelled()

    asyncio.run(main())
    assert len(looks) == 1
