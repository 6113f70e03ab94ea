"""fastapi-users, set up as its documentation says: tokens in a table, through SQLAlchemy on aiosqlite."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTableUUID,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import DeclarativeBase

from benchmarks.material import LIFE

from .engines import engine
from .measures import Works, added, awaiting, expect, spending
from .requests import asgi

__all__ = ["works"]


class Base(DeclarativeBase):
    """Hold the tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """Be a user."""


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    """Be a token of a user's."""


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """Read users."""


class Users:
    """Hold the database of users, and what an endpoint depends on; each act has a session of its own."""

    def __init__(self, path: Path) -> None:
        self._engine, self._safe_engine = engine(path), engine(path, power_safe=True)
        self._sessions, self._safe_sessions = (
            async_sessionmaker(each, expire_on_commit=False) for each in (self._engine, self._safe_engine)
        )
        self.user: Any = None

        async def session() -> AsyncIterator[AsyncSession]:
            async with self._sessions() as session:
                yield session

        async def manager(session=Depends(session)):  # type: ignore[no-untyped-def]  # noqa: B008
            yield _manager(session)

        def strategy(session=Depends(session)):  # type: ignore[no-untyped-def]  # noqa: B008
            return _strategy(session)

        transport = BearerTransport(tokenUrl="login")
        backend = AuthenticationBackend(name="database", transport=transport, get_strategy=strategy)
        self.current = FastAPIUsers[User, uuid.UUID](manager, [backend]).current_user(active=True)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Make the tables and the user."""
        async with self._engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with self._sessions() as session:
            self.user = User(email="planner@example.com", hashed_password="x", is_active=True)
            session.add(self.user)
            await session.commit()
        yield
        await self._engine.dispose()
        await self._safe_engine.dispose()

    async def issue(self) -> str:
        """Store a token."""
        async with self._sessions() as session:
            return str(await _strategy(session).write_token(self.user))

    async def look_up(self, token: str) -> bool:
        """Tell whether a token is there and its user too."""
        async with self._sessions() as session:
            return await _strategy(session).read_token(token, _manager(session)) is not None

    async def revoke(self, token: str) -> None:
        """Delete a token."""
        async with self._safe_sessions() as session:
            await _strategy(session).destroy_token(token, self.user)


def _manager(session: AsyncSession) -> UserManager:
    return UserManager(SQLAlchemyUserDatabase(session, User))


def _strategy(session: AsyncSession) -> DatabaseStrategy[User, uuid.UUID, AccessToken]:
    return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, AccessToken), lifetime_seconds=LIFE)


def _served(*dependencies: Any, token: str | None = None) -> Callable[[], Awaitable[int]]:
    app = FastAPI(openapi_url=None)

    @app.get("/", dependencies=dependencies)
    async def answer() -> str:
        return "ok"

    return asgi(app, token)


@contextmanager
def works(folder: Path) -> Iterator[Works]:
    """Issue, look up, revoke, and guard a request."""
    users = Users(folder / "users.db")
    with asyncio.Runner() as runner:
        opened = users.opened()
        runner.run(opened.__aenter__())
        token, revoked = runner.run(users.issue()), runner.run(users.issue())
        runner.run(users.revoke(revoked))
        found = [runner.run(users.look_up(each)) for each in (token, revoked)]
        expect("what fastapi-users lets pass", found=found, expected=[True, False])
        guarded, refused = (_served(Depends(users.current), token=each) for each in (token, revoked))
        statuses = [runner.run(_answer(each)) for each in (guarded, refused)]
        expect("answers of the FastAPI app", found=statuses, expected=[200, 401])
        yield {
            "issue": awaiting(runner, users.issue),
            "look_up": awaiting(runner, lambda: users.look_up(token)),
            "revoke": spending(runner, users.issue, users.revoke),
            "request": added(partial(awaiting, runner, guarded), partial(awaiting, runner, _served())),
        }
        runner.run(opened.__aexit__(None, None, None))


async def _answer(serve: Callable[[], Awaitable[int]]) -> int:
    return await serve()
