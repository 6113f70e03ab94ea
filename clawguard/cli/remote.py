"""A server as a `Host`: what the commands ask of a database, asked of `clawguard serve` instead.

A caller sees its own workspace, and acts in its own name: what names another is refused here already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

from clawguard.cli import records
from clawguard.cli.questions import SESSIONS, as_json, as_text, check_actor, id_of, path_of, ready
from clawguard.clock import to_microseconds
from clawguard.errors import (
    ConfigError,
    EventsArchived,
    InvalidArgument,
    InvalidToken,
    OutcomeUnknown,
    SessionNotFound,
    StoreUnavailable,
)
from clawguard.events.event import Event
from clawguard.guard import TokenFault
from clawguard.guard.tokens import read_unverified
from clawguard.history.records import Entry, Hit
from clawguard.models import Ended, Inspection, IssuedSession, Page, Session
from clawguard.sessions.asking import Asking
from clawguard.sessions.drafts import MAX_DEPTH
from clawguard.sessions.keychain import KeyInfo

__all__ = ["RemoteHost"]

_PAGE = 1_000
_LONGEST_ANSWER = 67_108_864  # a page of a thousand conversations' entries is large
_LOOK_AGAIN = 1.0  # seconds
_PATIENCE = 60.0  # seconds without a line before a stream is given up
_SILENCE = 45.0  # seconds: a server says every 15 that it is there
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class RemoteHost:
    """Speak to a server as whoever the token is; see `clawguard.cli.host.Host`.

    `timeout` is in seconds, for each request as a whole.
    """

    def __init__(self, url: str, token: str, *, timeout: float) -> None:
        self._open: Callable[[str], Asking] = lambda token: Asking(
            url, token, timeout=timeout, longest=_LONGEST_ANSWER
        )
        self._asking = self._open(token)
        self._token = token
        self._workspace: str | None = None
        self.sessions = RemoteSessions(self)
        self.events = RemoteEvents(self)
        self.keys = RemoteKeys(self)
        self.history = RemoteHistory(self)

    @property
    def issuer(self) -> str:
        """The `iss` of the database's tokens."""
        found = self.get("/.well-known/oauth-authorization-server", by_anybody=True).get("token_issuer")
        if not isinstance(found, str):
            raise ConfigError("the server does not say who it is", hint="is the URL right?")
        return found

    def close(self) -> None:
        """Let go of the connections."""
        self._asking.close()

    def get(
        self, path: str, query: Mapping[str, Any] = _NOTHING, /, *, by_anybody: bool = False
    ) -> dict[str, Any]:
        """Return what the server says at a path; parameters that are None are left out."""
        given = {name: as_text(value, name) for name, value in query.items() if value is not None}
        return self._asking.get(path, given, by_anybody=by_anybody)

    def lines(self, path: str, query: Mapping[str, Any], silence: float) -> Iterator[dict[str, Any] | None]:
        """Yield the lines of an answer that goes on; see `Asking.lines`."""
        given = {name: as_text(value, name) for name, value in query.items() if value is not None}
        return self._asking.lines(path, given, silence=silence)

    def post(self, path: str, *, by: Asking | None = None, **body: Any) -> dict[str, Any]:
        """Return what the server answers; members that are None are left out. It is asked once."""
        given = {name: value for name, value in body.items() if value is not None}
        return (by or self._asking).post(path, given)

    def check_workspace(self, workspace_id: str | None) -> None:
        """Raise InvalidArgument for another workspace than the caller's own."""
        if workspace_id is None:
            return
        if self._workspace is None:
            try:
                own = read_unverified(self._token).session_id
            except TokenFault:
                raise ConfigError(
                    "the token for the server is none", hint="see CLAWGUARD_TOKEN and CLAWGUARD_TOKEN_FILE"
                ) from None
            self._workspace = self.sessions.get(own).workspace_id
        if workspace_id != self._workspace:
            raise InvalidArgument(
                "--workspace",
                "is not the caller's own, and at a server nobody sees another",
                hint="leave it out, or show a token of that workspace",
            )

    def create(self, agent_id: str, /, *, workspace_id: str | None = None, **given: Any) -> IssuedSession:
        """Create a session in the caller's workspace, with no more than the caller has."""
        self.check_workspace(workspace_id)
        return records.issued(self.post(SESSIONS, agent_id=agent_id, **ready(given)))

    def delegate(self, parent: str | Session, agent_id: str, /, **given: Any) -> IssuedSession:
        """Make a child of a session; a parent's token asks in its own name."""
        body = ready(given)
        if isinstance(parent, Session):
            path = f"{path_of(parent.id)}/delegate"
            return records.issued(self.post(path, agent_id=agent_id, **body))
        try:
            path = f"{path_of(read_unverified(parent).session_id)}/delegate"
        except TokenFault:
            raise InvalidToken from None
        by = self._open(parent)
        try:
            return records.issued(self.post(path, by=by, agent_id=agent_id, **body))
        except InvalidToken:
            hint = "the parent's is not, at this server: altered, ended, or replaced by a newer one"
            raise InvalidToken(hint=hint) from None
        finally:
            by.close()

    def refresh(
        self,
        session: str,
        *,
        ttl: float | None = None,
        expected_generation: int | None = None,
        workspace_id: str | None = None,
    ) -> IssuedSession:
        """Give a session its next token."""
        self.check_workspace(workspace_id)
        path = f"{path_of(session)}/refresh"
        return records.issued(self.post(path, ttl=ttl, expected_generation=expected_generation))

    def inspect(self, token: str, /) -> Inspection:
        """Say what a token is."""
        return records.inspection(self.post("/v1/inspect", token=token))

    def revoke(
        self,
        session: str,
        *,
        reason: str | None = None,
        actor: str | None = None,
        workspace_id: str | None = None,
    ) -> Ended:
        """End a session and all below it, in the caller's name."""
        check_actor(actor)
        self.check_workspace(workspace_id)
        return records.ended(self.post(f"{path_of(session)}/revoke", reason=reason))

    def revoke_where(
        self,
        *,
        everything: bool = False,
        dry_run: bool = False,
        reason: str | None = None,
        actor: str | None = None,
        workspace_id: str | None = None,
        **filters: Any,
    ) -> Ended:
        """End what all filters pick in the caller's workspace: all of it with `everything`."""
        check_actor(actor)
        self.check_workspace(workspace_id)
        where = {name: as_json(value) for name, value in filters.items()}
        picked: dict[str, Any] = {"everything": True} if everything else {"where": where}
        with _OwnEnd():
            told = self.post(f"{SESSIONS}/revoke", dry_run=dry_run, reason=reason, **picked)
        return records.ended(told)


class RemoteSessions:
    """Find, list and walk the sessions of the caller's workspace."""

    def __init__(self, host: RemoteHost) -> None:
        self._host = host

    def get(self, session: str, /, *, workspace_id: str | None = None) -> Session:
        """Return one session."""
        self._host.check_workspace(workspace_id)
        return records.session(self._host.get(path_of(session)))

    def page(
        self,
        /,
        *,
        live: bool | None = None,
        limit: int = 50,
        cursor: str | None = None,
        workspace_id: str | None = None,
        **filters: str,
    ) -> Page[Session]:
        """Return one page, newest first."""
        self._host.check_workspace(workspace_id)
        told = self._host.get(SESSIONS, {"live": live, "limit": limit, "cursor": cursor, **filters})
        following = told.get("next_cursor")
        items = tuple(map(records.session, records.items(told)))
        return Page(items, following if isinstance(following, str) else None)

    def tree(self, session: str | Session, /, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session and all below it."""
        self._host.check_workspace(workspace_id)
        path, found = f"{path_of(id_of(session))}/tree", list[Session]()
        following: object = None
        while True:
            told = self._host.get(path, {"cursor": following})
            items = [records.session(each) for each in records.items(told)]
            following = told.get("next_cursor")
            if not items or (found and items[0].id <= found[-1].id):  # parents first, and ids grow
                raise records.unknown()
            found += items
            if following is None:
                return tuple(found)

    def lineage(self, session: str | Session, /, *, workspace_id: str | None = None) -> tuple[Session, ...]:
        """Return a session's ancestors and itself, the root first."""
        line = [self.get(id_of(session), workspace_id=workspace_id)]
        while line[0].parent_id is not None:
            above = self.get(line[0].parent_id)
            if above.id != line[0].parent_id or len(line) > MAX_DEPTH:
                raise records.unknown()
            line.insert(0, above)
        return tuple(line)


class RemoteEvents:
    """Read the events of the caller's workspace."""

    def __init__(self, host: RemoteHost) -> None:
        self._host = host

    @property
    def archived(self) -> int:
        """The number of the last event that was archived."""
        try:
            self.read(limit=1)
        except EventsArchived as gone:
            return gone.until
        return 0

    def last(self) -> tuple[int, int]:
        """Return the last event's number and time, in microseconds: searched for, by reads of one each."""
        low, at, step = self.archived, 0, _PAGE
        while step:
            found = self.read(after=low + step - 1, limit=1)
            if found:
                low, at, step = found[0].seq, to_microseconds(found[0].at), step * 2
            else:
                step //= 2
        return low, at

    def read(
        self,
        *,
        after: int = 0,
        types: str | list[str] | None = None,
        session_id: str | None = None,
        cause_id: str | None = None,
        workspace_id: str | None = None,
        limit: int = 100,
    ) -> list[Event]:
        """Return the events behind a number."""
        self._host.check_workspace(workspace_id)
        ids = {"session_id": session_id, "cause_id": cause_id}
        try:
            told = self._host.get("/v1/events", {"after": after, "types": types, "limit": limit, **ids})
        except SessionNotFound:  # a log has nothing of a session that there never was
            return []
        return records.events(told, after=after, most=limit)

    def follow(
        self,
        *,
        after: int = 0,
        types: str | list[str] | None = None,
        session_id: str | None = None,
        workspace_id: str | None = None,
        timeout: float | None = None,
        poll: float = 0,  # noqa: ARG002  # of a database; a server tells what comes
    ) -> Iterator[Event]:
        """Yield the events behind a number, and without a `timeout` of 0 those that come, as they come.

        Where the server goes away it is asked again, for a minute; nothing is missed or comes twice.
        """
        while timeout == 0:
            found = self.read(
                after=after, types=types, session_id=session_id, workspace_id=workspace_id, limit=_PAGE
            )
            yield from found
            if len(found) < _PAGE:
                return
            after = found[-1].seq
        self._host.check_workspace(workspace_id)
        narrowed = {"types": types, "session_id": session_id}
        heard = time.monotonic()
        while True:
            try:
                for event in self._host.lines("/v1/events/lines", {"after": after, **narrowed}, _SILENCE):
                    heard = time.monotonic()
                    if event is not None:
                        yield from (found := records.events({"items": [event]}, after=after, most=1))
                        after = found[0].seq
            except StoreUnavailable:
                if time.monotonic() - heard > _PATIENCE:
                    raise
            time.sleep(_LOOK_AGAIN)


class RemoteKeys:
    """List, publish and rotate the signing keys."""

    def __init__(self, host: RemoteHost) -> None:
        self._host = host

    def list(self) -> list[KeyInfo]:
        """Return every key, the oldest first."""
        return [records.key(each) for each in records.items(self._host.get("/v1/keys"))]

    def active(self) -> KeyInfo:
        """Return the key that signs."""
        return next(each for each in self.list() if each.state == "active")

    def jwks(self) -> dict[str, Any]:
        """Return the JWK set that others verify with."""
        return self._host.get("/.well-known/jwks.json", by_anybody=True)

    def rotate(
        self,
        *,
        emergency: bool = False,
        dry_run: bool = False,
        algorithm: str | None = None,
        actor: str | None = None,
    ) -> Ended:
        """Let the next key sign."""
        check_actor(actor)
        with _OwnEnd():
            told = self._host.post(
                "/v1/keys/rotate", emergency=emergency, dry_run=dry_run, algorithm=algorithm
            )
        return records.ended(told)


class RemoteHistory:
    """Read and search the conversations of the caller's workspace."""

    def __init__(self, host: RemoteHost) -> None:
        self._host = host

    def tail(self, session: str, limit: int, /, *, workspace_id: str | None = None) -> list[Entry]:
        """Return the newest entries, the oldest of them first."""
        self._host.check_workspace(workspace_id)
        told = self._host.get(f"{path_of(session)}/history", {"limit": limit})
        return [records.entry(each) for each in records.items(told)]

    def search(
        self,
        text: str,
        /,
        *,
        session: str | None = None,
        since: datetime | None = None,
        workspace_id: str | None = None,
        **narrowed: Any,
    ) -> list[Hit]:
        """Return what holds any of the words, the best first."""
        self._host.check_workspace(workspace_id)
        query = {"q": text, "session_id": session, "since": since, **narrowed}
        told = self._host.get("/v1/history/search", query)
        return [records.hit(each) for each in records.items(told)]


class _OwnEnd:
    """Tell of an act that may have ended who asked for it, so that the answer is a refusal."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is InvalidToken:
            raise OutcomeUnknown(
                "the caller's session is over, by this very act or another",
                hint="look with another token; repeating it does no harm",
            ) from None
