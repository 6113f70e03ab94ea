"""An asyncio host: many agents at once, each in its own session, and one that is stopped in the middle."""

import asyncio
import os

from clawguard import AsyncSessionManager, SessionEnded, current_session, requires


@requires("search:web")
async def search(words: str) -> str:
    """A tool; whoever is bound here is checked on every call."""
    await asyncio.sleep(0.01)
    return f"{current_session().agent_id} found something on {words}"


async def run_agent(manager: AsyncSessionManager, agent_id: str, words: str) -> str:
    """Give an agent a session for as long as its task takes."""
    session = await manager.create(agent_id, scopes="search:web", ttl=60)
    async with manager.use(session.token, end=True):
        return await search(words)


async def run_endless_agent(manager: AsyncSessionManager, token: str) -> str:
    """Work for ever; the block is cancelled within a second of the session's end, wherever that happens."""
    try:
        async with manager.use(token) as session:
            while True:
                await search(f"the next thing for {session.agent_id}")
    except SessionEnded as end:
        return str(end)


async def main() -> None:
    async with AsyncSessionManager.open(os.environ.get("CLAWGUARD_URL", ":memory:")) as manager:
        tasks = [run_agent(manager, f"scout-{n}", f"topic {n}") for n in range(3)]
        for line in await asyncio.gather(*tasks):
            print(line)

        rogue = await manager.create("rogue", scopes="search:web", ttl=60)
        work = asyncio.create_task(run_endless_agent(manager, rogue.token))
        await asyncio.sleep(0.1)
        await manager.revoke(rogue, reason="went astray")
        print(f"rogue stopped: {await work}")
        print(f"live sessions: {await manager.active_count()}")


if __name__ == "__main__":
    asyncio.run(main())
