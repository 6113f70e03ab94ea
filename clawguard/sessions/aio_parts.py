"""What a manager is made of, awaited: see `clawguard.sessions.aio`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from clawguard.events.subscribers import Subscribers
from clawguard.models import Session
from clawguard.sessions.activity import Activity
from clawguard.sessions.awaiting import direct, hop, inline
from clawguard.sessions.directory import Directory
from clawguard.sessions.encryption import Encryption
from clawguard.sessions.history import History
from clawguard.sessions.keys import Keys
from clawguard.sessions.milestones import Milestones
from clawguard.sessions.switches import Agents

__all__ = [
    "AsyncActivity",
    "AsyncAgents",
    "AsyncDirectory",
    "AsyncEncryption",
    "AsyncHistory",
    "AsyncKeys",
    "AsyncMilestones",
    "AsyncSubscribers",
]


class AsyncSubscribers:
    """`manager.subscribers` for async code; a cursor's own calls block: `asyncio.to_thread(cursor.take)`."""

    def __init__(self, subscribers: Subscribers, *, reads_wait: bool) -> None:
        self._plain = subscribers
        self._reads_wait = reads_wait

    list = inline(Subscribers.list)
    parked = inline(Subscribers.parked)
    replay = hop(Subscribers.replay)
    remove = hop(Subscribers.remove)
    cursor = hop(Subscribers.cursor)


class AsyncKeys:
    """`manager.keys` for async code."""

    def __init__(self, keys: Keys, *, reads_wait: bool) -> None:
        self._plain = keys
        self._reads_wait = reads_wait

    list = inline(Keys.list)
    active = inline(Keys.active)
    jwks = inline(Keys.jwks)
    rotate = hop(Keys.rotate)
    prune = hop(Keys.prune)


class AsyncAgents:
    """`manager.agents` for async code."""

    def __init__(self, agents: Agents, *, reads_wait: bool) -> None:
        self._plain = agents
        self._reads_wait = reads_wait

    disable = hop(Agents.disable)
    enable = hop(Agents.enable)
    disabled = inline(Agents.disabled)
    page = hop(Agents.page)


class AsyncDirectory:
    """`manager.sessions` for async code."""

    def __init__(self, directory: Directory, *, reads_wait: bool) -> None:
        self._plain = directory
        self._reads_wait = reads_wait

    async def iter(self, **filters: Any) -> AsyncIterator[Session]:
        """Walk all sessions that a page would list, page by page."""
        cursor = None
        while True:
            page = await self.page(cursor=cursor, **filters)
            for session in page.items:
                yield session
            cursor = page.next_cursor
            if cursor is None:
                return

    get = inline(Directory.get)
    find = inline(Directory.find)
    count_live = hop(Directory.count_live)
    count_line = hop(Directory.count_line)
    page = hop(Directory.page)
    last = hop(Directory.last)
    children = hop(Directory.children)
    tree = hop(Directory.tree)
    tree_page = hop(Directory.tree_page)
    lineage = hop(Directory.lineage)
    purge = hop(Directory.purge)


class AsyncActivity:
    """`manager.activity` for async code."""

    def __init__(self, activity: Activity, *, reads_wait: bool) -> None:
        self._plain = activity
        self._reads_wait = reads_wait

    set_name = hop(Activity.set_name)
    set_agent_alias = hop(Activity.set_agent_alias)
    set_metadata = hop(Activity.set_metadata)
    set_routing = hop(Activity.set_routing)
    set_state = hop(Activity.set_state)
    turn = direct(Activity.turn)
    running = hop(Activity.running)
    stuck = hop(Activity.stuck)


class AsyncMilestones:
    """`manager.history.milestones` for async code."""

    def __init__(self, milestones: Milestones, *, reads_wait: bool) -> None:
        self._plain = milestones
        self._reads_wait = reads_wait

    set = hop(Milestones.set)
    set_once = hop(Milestones.set_once)
    get = inline(Milestones.get)


class AsyncEncryption:
    """`manager.history.encryption` for async code."""

    def __init__(self, encryption: Encryption, *, reads_wait: bool) -> None:
        self._plain = encryption
        self._reads_wait = reads_wait

    status = hop(Encryption.status)
    enable = hop(Encryption.enable)
    rotate = hop(Encryption.rotate)
    require = hop(Encryption.require)


class AsyncHistory:
    """`manager.history` for async code."""

    def __init__(self, history: History, *, reads_wait: bool) -> None:
        self._plain = history
        self._reads_wait = reads_wait
        self.encryption = AsyncEncryption(history.encryption, reads_wait=reads_wait)
        self.milestones = AsyncMilestones(history.milestones, reads_wait=reads_wait)

    append = hop(History.append)
    extend = hop(History.extend)
    update_last = hop(History.update_last)
    remove_last = hop(History.remove_last)
    clear = hop(History.clear)
    delete = hop(History.delete)
    cleanup_stale = hop(History.cleanup_stale)
    load = hop(History.load)
    load_with_timestamps = hop(History.load_with_timestamps)
    tail = hop(History.tail)
    count = inline(History.count)
    exists = inline(History.exists)
    metadata = inline(History.metadata)
    page = hop(History.page)
    search = hop(History.search)
    fork = hop(History.fork)
    wrap_up = hop(History.wrap_up)
    export_jsonl = hop(History.export_jsonl)
    import_jsonl = hop(History.import_jsonl)
    compact = hop(History.compact)
    check_index = hop(History.check_index)
