"""fastapi-users, set up as its documentation says: tokens in a table, through SQLAlchemy on aiosqlite."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import Depends
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTableUUID,
)
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

__all__ = ["Users"]


class Base(DeclarativeBase):
    """Hold the tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """Be a user."""


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):
    """Be a token of a user's."""


class UserManager(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """Read users."""


class Users:
    """Hold the database of users, and what an endpoint depends on."""

    def __init__(self, path: Path) -> None:
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

        async def session() -> AsyncIterator[AsyncSession]:
            async with self._sessions() as session:
                yield session

        async def manager(session=Depends(session)):  # type: ignore[no-untyped-def]  # noqa: B008
            yield UserManager(SQLAlchemyUserDatabase(session, User))

        def strategy(session=Depends(session)):  # type: ignore[no-untyped-def]  # noqa: B008
            return self._strategy(session)

        transport = BearerTransport(tokenUrl="login")
        backend = AuthenticationBackend(name="database", transport=transport, get_strategy=strategy)
        self.current = FastAPIUsers[User, uuid.UUID](manager, [backend]).current_user(active=True)

    def _strategy(self, session: AsyncSession) -> DatabaseStrategy[User, uuid.UUID, AccessToken]:
        return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(session, AccessToken), lifetime_seconds=3_600)

    async def sign_in(self) -> str:
        """Make the tables, a user, and a token."""
        async with self._engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with self._sessions() as session:
            user = User(email="planner@example.com", hashed_password="x", is_active=True)
            session.add(user)
            await session.commit()
            token: str = await self._strategy(session).write_token(user)
            return token

    async def sign_out(self, token: str) -> None:
        """Remove the token."""
        async with self._sessions() as session:
            access = await session.get(AccessToken, token)
            await session.delete(access)
            await session.commit()

    async def close(self) -> None:
        """Let go of the database."""
        await self._engine.dispose()
