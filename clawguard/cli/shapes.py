"""What `--json` prints: one model a document. The reference is rendered from these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PRINTS", "Record", "Shape"]


class Record(NamedTuple):
    """Name the record of the library that a JSON object is: its `to_dict()`."""

    name: str


_SessionJSON = Annotated[dict[str, Any], Record("session")]
_EventJSON = Annotated[dict[str, Any], Record("event")]


class Shape(BaseModel):
    """Be one JSON document."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Demo(Shape):
    passed: bool = Field(description="whether all of it went as promised")
    seconds: float = Field(description="how long it took")


class Initialised(Shape):
    url: str = Field(description="the database")
    issuer: str = Field(description="the `iss` of its tokens")
    audience: str = Field(description="the audience that it was founded with")
    config: str | None = Field(description="the settings file that was written; null where there was one")
    founded: bool = Field(description="whether the database was made now")


class Issued(Shape):
    session: _SessionJSON = Field(description="the session, without its tokens")
    token: str | None = Field(description="the token; null with `--out`")
    refresh_token: str | None = Field(description="the refresh token of a refreshable session, else null")
    file: str | None = Field(description="the file that `--out` wrote")


class Inspected(Shape):
    verdict: Literal["active", "ended", "superseded", "invalid"] = Field(description="what the token is")
    session: _SessionJSON | None = Field(description="its session; null for an invalid token")
    claims: dict[str, Any] | None = Field(description="what it says; null for an invalid token")
    lineage: list[_SessionJSON] = Field(description="the session with its ancestors, the root first")


class Listing(Shape):
    sessions: list[_SessionJSON] = Field(description="the newest first")
    next_cursor: str | None = Field(description="what `--cursor` takes for the next page; null on the last")


class Tree(Shape):
    sessions: list[_SessionJSON] = Field(description="a session and all below it, parents before children")


class Ended(Shape):
    count: int = Field(description="how many sessions ended, or would with `--dry-run`")
    cause_id: str | None = Field(
        description="what `events tail --cause` lists them by; null where nothing ended"
    )
    dry_run: bool = Field(description="whether nothing was changed")


class Incident(Shape):
    verdict: Literal["active", "ended", "superseded"] = Field(description="what the token is")
    lineage: list[_SessionJSON] = Field(description="the session with its ancestors, the root first")
    live_below: int = Field(description="how many live sessions stand below it")
    live_of_subject: int = Field(description="how many live sessions of its workspace are for its subject")
    denials: int = Field(description="how many refusals of it the log has")
    timeline: list[_EventJSON] = Field(description="its events, the oldest first")
    ended: Ended | None = Field(description="what `--revoke` or `--all-of-subject` ended")


class Counted(Shape):
    count: int = Field(description="how many")
    dry_run: bool = Field(description="whether nothing was changed")


class Done(Shape):
    done: bool = Field(description="whether there was anything to do")


class Fault(Shape):
    seq: int = Field(description="the first entry that does not hold")
    kind: str = Field(description="a short code")
    says: str = Field(description="what is wrong with it")


class Verified(Shape):
    holds: bool = Field(description="whether there is no fault")
    count: int = Field(description="how many entries hold, archived ones included")
    after: int = Field(description="how many of them are archived and were not walked")
    head: str = Field(description="the hash of the last good entry")
    fault: Fault | None = Field(description="the first fault")


class Checkpointed(Shape):
    size: int = Field(description="how many entries it covers")
    head: str = Field(description="the hash of the last of them")
    key: str = Field(description="the vkey to verify it with")
    note: str = Field(description="the signed note")
    file: str | None = Field(description="the file that `--out` wrote")


class Archived(Shape):
    first: int = Field(description="the number of the first event that was moved")
    last: int = Field(description="the number of the last")
    count: int = Field(description="how many")
    sha256: str | None = Field(description="of the file; null where none was written")
    file: str = Field(description="the archive")
    dry_run: bool = Field(description="whether nothing was changed")


class Subscriber(Shape):
    name: str = Field(description="its name")
    pattern: str = Field(description="the types it is for")
    position: int = Field(description="the number of the last event it has dealt with")
    behind: int = Field(description="how many entries the log has behind that")
    parked: int = Field(description="how many events it could not take")
    at_work: bool = Field(description="whether a process is at work on it")


class Subscribers(Shape):
    subscribers: list[Subscriber] = Field(description="every durable subscriber")


class Key(Shape):
    kid: str = Field(description="its id")
    algorithm: str = Field(description="what it signs with")
    state: str = Field(description="`next`, `active`, `retiring`, `retired` or `compromised`")
    created_at: datetime = Field(description="when it was made")
    activated_at: datetime | None = Field(description="when it began to sign")
    verify_until: datetime | None = Field(description="until when a retiring key verifies")


class Keys(Shape):
    keys: list[Key] = Field(description="the oldest first")


class Rotated(Shape):
    active: str | None = Field(
        description="the id of the key that signs now, or still with `--dry-run`; null where a server "
        "does not tell the caller"
    )
    ended: int = Field(description="how many sessions ended, or would")
    cause_id: str | None = Field(description="what `events tail --cause` lists them by")
    dry_run: bool = Field(description="whether nothing was changed")


class Conversations(Shape):
    conversations: list[Annotated[dict[str, Any], Record("conversation")]] = Field(
        description="by last activity, the latest first"
    )
    next_cursor: str | None = Field(description="what `--cursor` takes for the next page; null on the last")


class Entries(Shape):
    entries: list[dict[str, Any]] = Field(description="each with `seq`, `at` and the message's fields")


class Hits(Shape):
    hits: list[Annotated[dict[str, Any], Record("hit")]] = Field(description="the best first")


class Files(Shape):
    file: str = Field(description="the file that was written")
    count: int = Field(description="how many messages it holds")


class Imported(Shape):
    count: int = Field(description="how many messages the file has")
    repeated: bool = Field(description="whether it had been imported before, so that nothing was done")
    header: dict[str, Any] | None = Field(description="the file's first line, where it says whose it was")


class Encrypted(Shape):
    count: int = Field(description="how many entries were sealed by this command")
    key: int | None = Field(
        description="the number of the content key in use; null where nothing is encrypted"
    )
    remaining: int = Field(description="how many entries are not under it yet")


class Finding(Shape):
    name: str = Field(description="what was looked at")
    level: Literal["ok", "warning", "fault"] = Field(description="how it is")
    says: str = Field(description="what was found")
    mend: str | None = Field(description="how to mend it")


class Checkup(Shape):
    passed: bool = Field(description="whether there is no fault, nor with `--production` a warning")
    fingerprint: str | None = Field(
        description="alike wherever a database is opened with the same settings; null where it does not open"
    )
    checks: list[Finding] = Field(description="in the order they were made")


class Measured(Shape):
    what: str = Field(description="what was done, again and again")
    microseconds: float = Field(description="the median of one")
    ratio: float = Field(description="that, in terms of one `jwt.decode` of the same token here")


class Bench(Shape):
    seconds: float = Field(description="how long it took")
    python: str = Field(description="the version of Python")
    sqlite: str = Field(description="the version of SQLite")
    measured: list[Measured] = Field(description="`jwt.decode` first")


class BackedUp(Shape):
    file: str = Field(description="the copy")
    bytes: int = Field(description="its size")
    events: int = Field(description="the number of the last event in it")


class Restored(Shape):
    url: str = Field(description="the database")
    replaced: str | None = Field(description="where the one before is kept; null where there was none")
    events: int = Field(description="the number of the last event of the copy")
    lost: int | None = Field(
        description="how many events the one before had behind that; null where it cannot be told"
    )
    ended: int = Field(description="how many sessions of the copy were ended")


class Whole(Shape):
    whole: bool = Field(description="whether nothing is wrong")
    faults: list[str] = Field(description="what SQLite finds wrong")
    log: Verified = Field(description="the log's chain")


class Error(Shape):
    code: str = Field(description="for machines")
    message: str = Field(description="what is wrong")
    hint: str | None = Field(description="how to mend it")


class Failure(Shape):
    error: Error = Field(
        description="on standard error, with any exit code that is not of the command's own finding"
    )


class CopiedTable(Shape):
    name: str = Field(description="the table")
    rows: int = Field(description="how many rows it has")
    copied: int = Field(description="how many of them the new database has")


class Moved(Shape):
    target: str = Field(description="the new database, without user and password")
    issuer: str = Field(description="the `iss` of its tokens, as before")
    dry_run: bool = Field(description="whether nothing was copied")
    moved: bool = Field(description="whether the new database is the one in use")
    events: int = Field(description="how many events there are; the log of a moved database holds")
    tables: list[CopiedTable] = Field(description="how much there is")
    refusals: list[Error] = Field(description="with `--dry-run`, what would refuse")


PRINTS: dict[str, type[Shape] | Record | str] = {
    "demo": Demo,
    "init": Initialised,
    "create": Issued,
    "inspect": Inspected,
    "list": Listing,
    "show": Record("session"),
    "tree": Tree,
    "delegate": Issued,
    "refresh": Issued,
    "revoke": Ended,
    "incident": Incident,
    "events tail": "one event a line, each a JSON object: an [event](#event)",
    "events export": "one event a line, as `--format` says; `--json` means `--format ndjson`",
    "events verify": Verified,
    "events checkpoint": Checkpointed,
    "events archive": Archived,
    "events subscribers": Subscribers,
    "events replay": Counted,
    "events forget": Done,
    "keys list": Keys,
    "keys rotate": Rotated,
    "keys jwks": "a JWK set (RFC 7517)",
    "history list": Conversations,
    "history tail": Entries,
    "history search": Hits,
    "history wrap-up": Record("wrap-up"),
    "history export": Files,
    "history import": Imported,
    "history delete": Done,
    "history cleanup": Counted,
    "history compact": Counted,
    "history encrypt": Encrypted,
    "sweep": Counted,
    "purge": Counted,
    "doctor": Checkup,
    "bench": Bench,
    "serve": "nothing: it serves until it is stopped",
    "db backup": BackedUp,
    "db restore": Restored,
    "db check": Whole,
    "db copy": Moved,
}
