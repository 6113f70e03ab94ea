"""`events …`: the log, looked at, carried out, verified, signed and archived."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clawguard.checks import is_integer
from clawguard.cli import options as o
from clawguard.cli.faults import Exit
from clawguard.cli.host import log, manager, verifier
from clawguard.cli.output import (
    ask,
    cell,
    counted,
    emit,
    event_line,
    plain,
    print_json,
    progress,
    show,
    table,
    tell_count,
    tell_done,
    warn,
)
from clawguard.cli.values import instant_of, seconds_of
from clawguard.clock import SystemClock
from clawguard.errors import ConfigError, InvalidArgument, StoreBusy
from clawguard.events.chain import Verification
from clawguard.private_files import replace_private

if TYPE_CHECKING:
    from clawguard import Event
    from clawguard.cli.host import Events
    from clawguard.cli.shapes import Verified
    from clawguard.events.cursors import Cursor

__all__ = ["app", "verified"]

Format = Literal["ndjson", "cloudevents", "ocsf", "cef"]

_SHOWN = 20
_MAX_LIMIT = 100_000
_PAGE = 1_000
_LOOK_AGAIN = 0.2  # seconds
_LONGEST_NOTE = 262_144

app = typer.Typer(no_args_is_help=True, help="The log: follow, export, verify, sign and archive it.")


@app.command()
def tail(
    ctx: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, from every process.")
    ] = False,
    limit: o.Limit = _SHOWN,
    after: o.After = None,
    types: o.Types = None,
    session: Annotated[
        str | None, typer.Option("--session", metavar="SESSION", help="Of this session.")
    ] = None,
    cause: Annotated[
        str | None, typer.Option("--cause", metavar="ID", help="Of this act, such as one revoke.")
    ] = None,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Print the last events, one a line, or with --after the first ones behind a number."""
    if cause is not None and follow:
        raise InvalidArgument("--cause", "is of the past", hint="leave --follow out")
    ids: dict[str, Any] = {"session_id": session, "workspace_id": workspace}
    write = _printer("ndjson" if as_json else "text", issuer="")
    with log(ctx) as opened:
        events = opened.events
        place = _begin(events, limit, types=types, cause_id=cause, **ids) if after is None else after
        if cause is not None:
            found: Iterable[Event] = events.read(after=place, types=types, cause_id=cause, limit=_PAGE, **ids)
        else:
            found = events.follow(after=place, types=types, timeout=0, poll=0, **ids)
        for event in _cut(found, limit, from_start=after is not None):
            write(event)
            place = event.seq
        if follow:
            for event in events.follow(after=place, types=types, **ids):
                write(event)


@app.command()
def export(
    ctx: typer.Context,
    durable: Annotated[
        str | None,
        typer.Option(
            "--durable", metavar="NAME", help="Go on where this name has come to, and keep its place."
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How each line is written.")] = "ndjson",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes.")] = False,
    after: o.After = None,
    types: Annotated[
        str | None, typer.Option("--type", metavar="PATTERN", help="Only this type, or such as session.*.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Without --durable: an instant, or 7d.")
    ] = None,
    lease: Annotated[
        str, typer.Option("--lease", metavar="DURATION", help="When another may take a silent name over.")
    ] = "15s",
    as_json: o.Json = False,
) -> None:
    """Write events to standard output, one a line, for other programs.

    With --durable the place moves after each line that was written and flushed: after kill -9 the next run
    begins with the line that may have been lost, so that it may come twice. A new name begins at --after,
    else with the first event there is.
    """
    if as_json and form != "ndjson":
        raise InvalidArgument("--json", "means --format ndjson", hint="leave one of them out")
    if durable is not None and since is not None:
        raise InvalidArgument("--since", "and --durable exclude each other", hint="a name has its own place")
    if durable is None:
        from_when = None if since is None else instant_of(since, argument="--since", now=SystemClock().now())
        with log(ctx) as read:
            write = _printer(form, issuer=read.issuer)
            start = read.events.archived if after is None else after
            timeout = None if follow else 0
            for event in read.events.follow(after=start, types=types, timeout=timeout, poll=_LOOK_AGAIN):
                if from_when is None or event.at >= from_when:
                    write(event)
        return
    patience = seconds_of(lease, argument="--lease")
    with verifier(ctx) as opened:
        write = _printer(form, issuer=opened.issuer)
        known = {each.name for each in opened.subscribers.list()}
        first = None if durable in known else (opened.events.archived if after is None else after)
        cursor = opened.subscribers.cursor(durable, types, after=first, lease=patience)
        _carry_out(cursor, write, follow=follow, patience=patience)


@app.command()
def verify(
    ctx: typer.Context,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--checkpoint", metavar="FILE", help="A signed checkpoint that was kept elsewhere."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", metavar="VKEY", help="The log's key, as it was handed over.")
    ] = None,
    archive: Annotated[
        Path | None,
        typer.Option("--archive", metavar="FILE", help="Verify this archive instead; needs --key."),
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Walk the chain of the whole log, and name the first entry that does not hold.

    The exit code is 7 where one does not.
    """
    note = _read_note(checkpoint)
    if archive is not None:
        from clawguard.events.archives import verify_archive

        if key is None:
            raise InvalidArgument(
                "--key", "is needed for an archive", hint="events checkpoint --json tells it"
            )
        with progress("verifying", as_json=as_json) as tell:
            found = verify_archive(archive, key=key, checkpoint=note, progress=tell)
    else:
        with verifier(ctx) as opened:
            log = opened.events
            with progress("verifying", total=log.last()[0], as_json=as_json) as tell:
                found = log.verify(note, key=key, progress=tell)
    _tell_verified(found, as_json=as_json)


@app.command("checkpoint")
def sign(ctx: typer.Context, out: Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the note into a file.")
] = None, as_json: o.Json = False) -> None:  # fmt: skip
    """Sign what the log holds now; keep the note where nobody who can write the database can write it."""
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise InvalidArgument("--out", "must be the path of a file, in a folder that exists")
    with manager(ctx) as opened:
        made, key = opened.events.checkpoint(), opened.events.key
    if out is not None:
        replace_private(out, made.text.encode(), name="checkpoint")
    if as_json:
        from clawguard.cli.shapes import Checkpointed

        file = str(out) if out else None
        print_json(Checkpointed(size=made.size, head=made.head, key=key, note=made.text, file=file))
    elif out is None:
        emit(made.text)
    else:
        show(f"{made.size} events are signed in {out}", f"verify with the key {key}")


@app.command()
def archive(
    ctx: typer.Context,
    before: Annotated[
        str, typer.Option("--before", metavar="WHEN", help="Events before this: an instant, or 30d.")
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="A file that does not exist yet.")],
    dry_run: o.DryRun = False,
    as_json: o.Json = False,
) -> None:
    """Move old events into a file that proves itself, and out of the database."""
    until = instant_of(before, argument="--before", now=SystemClock().now())
    with manager(ctx) as opened, progress("archiving", as_json=as_json) as tell:
        made = opened.events.archive(until, to, dry_run=dry_run, progress=tell)
    if as_json:
        from clawguard.cli.shapes import Archived

        told = {name: getattr(made, name) for name in ("first", "last", "count", "sha256")}
        print_json(Archived(file=str(to), dry_run=dry_run, **told))
    elif made.count == 0:
        show("there is nothing to archive")
    else:
        moved = "would be moved" if dry_run else f"are in {to}"
        show(f"the events {made.first} to {made.last} {moved}")


@app.command()
def subscribers(ctx: typer.Context, as_json: o.Json = False) -> None:
    """List the durable subscribers: how far each has come, and what it could not take."""
    with verifier(ctx) as opened:
        last, found = opened.events.last()[0], opened.subscribers.list()
    if as_json:
        from clawguard.cli.shapes import Subscriber, Subscribers

        told = [
            Subscriber(name=each.name, pattern=each.pattern, position=each.position, parked=each.parked,
                       behind=last - each.position, at_work=each.is_at_work)
            for each in found
        ]  # fmt: skip
        print_json(Subscribers(subscribers=told))
        return
    rows = [
        (each.name, each.pattern, each.position, last - each.position,
         cell(each.parked, "red" if each.parked else ""), "yes" if each.is_at_work else "no")
        for each in found
    ]  # fmt: skip
    columns = ("name", "pattern", "position", "behind", "parked", "at work")
    show(table(columns, rows, gives_way=("name", "pattern")))


@app.command()
def replay(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The subscriber.")],
    seq: Annotated[
        int | None, typer.Option("--seq", metavar="N", help="Only this parked event, else all.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Have a subscriber's parked events tried once more."""
    with verifier(ctx) as opened:
        count = opened.subscribers.replay(name, seq)
    tell_count(count, f"{counted(count, 'parked event')} will be tried again", as_json=as_json)


@app.command()
def forget(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The subscriber.")],
    yes: o.Yes = False,
    as_json: o.Json = False,
) -> None:
    """Forget a subscriber, its place and what is parked: no archive waits for it any more."""
    with verifier(ctx) as opened:
        ask(f"forget the subscriber {name}, and its place in the log?", yes=yes)
        done = opened.subscribers.remove(name)
    told = "forgotten" if done else f"there is no subscriber {plain(name)}"
    tell_done(done, told, as_json=as_json)


def verified(found: Verification) -> Verified:
    """Return what `--json` prints of a verification."""
    from clawguard.cli.shapes import Fault, Verified

    fault = found.fault
    told = None if fault is None else Fault(seq=fault.seq, kind=fault.kind, says=str(fault))
    return Verified(holds=bool(found), count=found.count, after=found.after, head=found.head, fault=told)


def _tell_verified(found: Verification, *, as_json: bool) -> None:
    if as_json:
        print_json(verified(found))
    elif found:
        show(f"{_entries(found.count)}, head {found.head[:16]}")
    else:
        show(cell(f"the log does not hold: {found.fault}", "red"), f"{_entries(found.count)} before it")
    if not found:
        raise typer.Exit(Exit.FAILED)


def _entries(count: int) -> str:
    return "1 entry holds" if count == 1 else f"{count} entries hold"


def _begin(events: Events, limit: int, **narrowed: Any) -> int:
    """Return a number behind which stand the last `limit` events of those that are asked for, or all."""
    first, last, window = events.archived, events.last()[0], limit
    while 0 < limit <= _PAGE and last - window > first:
        if len(events.read(after=last - window, limit=limit, **narrowed)) == limit:
            return last - window
        window *= 8
    return first


def _cut(events: Iterable[Event], limit: int, *, from_start: bool) -> Iterable[Event]:
    if not is_integer(limit, least=1, most=_MAX_LIMIT):
        raise InvalidArgument("--limit", f"must be 1 to {_MAX_LIMIT}")
    if not from_start:
        return deque(events, limit)
    return (event for _, event in zip(range(limit), events, strict=False))


def _printer(form: str, *, issuer: str) -> Callable[[Event], None]:
    def write(event: Event) -> None:
        if form == "text":
            show(event_line(event))
        elif form == "cef":
            emit(event.to_cef() + "\n")
        else:
            ready: dict[str, dict[str, Any]] = {
                "cloudevents": event.to_cloudevent(source=issuer) if form == "cloudevents" else {},
                "ocsf": event.to_ocsf(source=issuer) if form == "ocsf" else {},
            }
            print_json(ready.get(form) or event.to_dict(), line=True)

    return write


def _carry_out(cursor: Cursor, write: Callable[[Event], None], *, follow: bool, patience: float) -> None:
    """Write what comes next for a cursor, and move it past each line when that is flushed."""
    deadline = time.monotonic() + patience + 1
    told = False
    try:
        while True:
            try:
                taken = cursor.take()
            except StoreBusy as busy:
                if not follow and time.monotonic() > deadline:
                    raise
                if not told:
                    warn(f"{busy.message}: waiting for its lease to end")
                told = True
                time.sleep(_LOOK_AGAIN)
                continue
            for event in taken:
                write(event)
                cursor.move(event)
            if not taken and not follow:
                return
            if not taken:
                time.sleep(_LOOK_AGAIN)
    finally:
        cursor.release()


def _read_note(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        with file.open("rb") as note:
            return note.read(_LONGEST_NOTE).decode("utf-8", "replace")
    except OSError as error:
        raise ConfigError(f"the checkpoint {file} cannot be read ({error.strerror})") from None
