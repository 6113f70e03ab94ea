"""google-adk: `DatabaseSessionService` on aiosqlite, its connections set as clawguard's are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService, Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

from benchmarks.material import MESSAGE

from .engines import set_pragmas
from .measures import Works, awaiting, expect

__all__ = ["works"]

_SAID, _READ = 500, 100
_APP, _USER = "bench", "planner"


def _event() -> Event:
    content = types.Content(role=MESSAGE["role"], parts=[types.Part(text=MESSAGE["content"])])
    return Event(author=MESSAGE["role"], invocation_id="one", content=content)


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Create a session, append a message, read the last hundred."""
    service = DatabaseSessionService(f"sqlite+aiosqlite:///{folder / 'sessions.db'}")
    set_pragmas(service.db_engine, power_safe=False)
    recent = GetSessionConfig(num_recent_events=_READ)

    async def create() -> Session:
        return await service.create_session(app_name=_APP, user_id=_USER)

    with asyncio.Runner() as runner:
        session = runner.run(create())

        async def append() -> object:
            return await service.append_event(session, _event())

        async def read() -> list[str]:
            found = await service.get_session(
                app_name=_APP, user_id=_USER, session_id=session.id, config=recent
            )
            return [event.content.parts[0].text for event in found.events]

        for _ in range(_SAID):
            runner.run(append())
        expect("messages of the service", found=runner.run(read()), expected=[MESSAGE["content"]] * _READ)
        yield {
            "create": awaiting(runner, create),
            "append": awaiting(runner, append),
            "read": awaiting(runner, read),
        }
        runner.run(service.close())
