"""`db backup`, `db restore`, `db check`: the database as a file; `db copy` joins them from `moving`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from clawguard.cli import options as o
from clawguard.cli.events import verified
from clawguard.cli.faults import Exit
from clawguard.cli.host import asked, check_beside, database, verifier
from clawguard.cli.moving import copy as copy_command
from clawguard.cli.output import ask, cell, counted, emit, print_json, progress, show
from clawguard.clock import SystemClock, to_datetime
from clawguard.errors import ClawguardError, ConfigError, StoreMoved

if TYPE_CHECKING:
    from clawguard.cli.settings import Settings

__all__ = ["app"]

_REASON = "restored from a backup"

app = typer.Typer(
    no_args_is_help=True,
    help="Back the database up, put a copy back, look whether it is whole, move it to another.",
)


class Brought(NamedTuple):
    """Hold what is known of a copy that was made ready: its last event till then, how many sessions ended."""

    events: int
    ended: int


@app.command()
def backup(
    ctx: typer.Context,
    to: Annotated[Path, typer.Argument(metavar="FILE", help="A file that does not exist yet.")],
    as_json: o.Json = False,
) -> None:
    """Copy the database into a file (0600) while it is in use, whole as of one moment.

    The key-encryption key is not in it: back that up apart.
    """
    from clawguard import Verifier
    from clawguard.store.copies import bring, take_copy

    path = database(ctx)
    with progress("copying", as_json=as_json) as tell:
        size = take_copy(path, to, progress=tell)
    with tempfile.TemporaryDirectory(prefix="clawguard-") as folder:  # a copy that does not open is none
        looked_at = Path(folder, path.name)
        bring(to, looked_at)
        with Verifier.open(looked_at) as opened:
            events = opened.events.last()[0]
    if as_json:
        from clawguard.cli.shapes import BackedUp

        print_json(BackedUp(file=str(to), bytes=size, events=events))
    else:
        show(f"{to} holds the database up to its event {events}, {size} bytes")
        show("back the key-encryption key up too, and apart from it")


@app.command()
def restore(
    ctx: typer.Context,
    copy: Annotated[Path, typer.Argument(metavar="FILE", help="What `db backup` wrote.")],
    keep_sessions: Annotated[
        bool,
        typer.Option(
            "--keep-sessions", help="Let sessions of the copy live on, also those that were revoked after it."
        ),
    ] = False,
    yes: o.Yes = False,
    as_json: o.Json = False,
) -> None:
    """Put a copy in the database's place. Stop every process that uses it first.

    Sessions that ended after the copy was taken would live again in it, so all of its sessions are ended, and
    its keys rotated as in an emergency, before anybody sees it. The database before is kept beside it.
    """
    from clawguard.store import database_path
    from clawguard.store.copies import put_in_place
    from clawguard.store.files import prepare_folder

    check_beside(ctx)
    settings = asked(ctx).settings
    path = database_path(settings.url)
    if path is None:
        raise ConfigError("':memory:' cannot be restored", hint="name a file by --url or CLAWGUARD_URL")
    path = path.absolute()
    prepare_folder(path.parent, create=True)
    question = f"put {copy} in the place of {path}" + (
        "?" if keep_sessions else ", and end all of its sessions?"
    )
    ask(question, yes=yes)
    before = _last_event(path)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        ready = Path(folder, path.name)
        brought = _make_ready(copy, ready, settings, path, keep_sessions=keep_sessions)
        replaced = f"-replaced-{to_datetime(SystemClock().now()):%Y%m%dT%H%M%S%fZ}"
        kept = put_in_place(ready, path, replaced=replaced, lock_timeout=settings.lock_timeout)
    lost = None if before is None else max(0, before - brought.events)
    if as_json:
        from clawguard.cli.shapes import Restored

        aside = str(kept) if kept else None
        done = Restored(url=str(path), replaced=aside, events=brought.events, lost=lost, ended=brought.ended)
        print_json(done)
        return
    gone = counted(brought.ended, "session")
    show(f"{path} is the copy, up to its event {brought.events}; {gone} of it ended")
    if kept is not None:
        show(f"the one before is kept: {kept}")
    after = "" if lost is None else f", {counted(lost, 'event')} of the log"
    show(f"undone is all that came after the copy{after}: agents disabled since, changes of the policy, ...")
    show("sign a new checkpoint: clawguard events checkpoint")


@app.command()
def check(ctx: typer.Context, as_json: o.Json = False) -> None:
    """Look whether the database is whole: its pages, indexes and references, and the log's chain.

    The exit code is 7 where it is not.
    """
    from clawguard.store.copies import faults_of

    faults = faults_of(database(ctx))
    with verifier(ctx) as opened:
        log = opened.events
        with progress("verifying", total=log.last()[0], as_json=as_json) as tell:
            found = log.verify(progress=tell)
    if as_json:
        from clawguard.cli.shapes import Whole

        print_json(Whole(whole=not faults and bool(found), faults=faults, log=verified(found)))
    else:
        emit("".join(f"{cell(each).plain}\n" for each in faults))
        show("the file is whole" if not faults else cell("the file is damaged: restore a backup", "red"))
        show(f"{found.count} entries of the log hold" if found else cell(f"the log: {found.fault}", "red"))
    if faults or not found:
        raise typer.Exit(Exit.FAILED)


app.command("copy")(copy_command)


def _make_ready(copy: Path, ready: Path, settings: Settings, path: Path, *, keep_sessions: bool) -> Brought:
    """Bring a copy to where nobody sees it, prove it, and end what must not live on in it."""
    from clawguard import SessionManager, Verifier
    from clawguard.sessions.moving import abandon_copy
    from clawguard.store.copies import bring, faults_of

    bring(copy, ready)
    faults = faults_of(ready)
    if faults:
        raise ConfigError(f"the copy is damaged: {faults[0]}", hint="take another one")
    with Verifier.open(ready) as looked_at:
        found = looked_at.events.verify()
        if not found:
            raise ConfigError(f"the log of the copy does not hold: {found.fault}", hint="take another one")
        issuer, events = looked_at.issuer, looked_at.events.last()[0]
    _check_same(path, issuer)
    abandon_copy(ready)  # of what was being moved when the copy was taken: its changes are nobody's
    if keep_sessions:
        return Brought(events, 0)
    kek = settings.kek_source() or path.with_name(f"{path.name}-kek")
    with SessionManager.open(ready, kek=kek, sweep_every=None, create=False) as opened:
        ended = opened.revoke_where(everything=True, reason=_REASON).count
        opened.keys.rotate(emergency=True)
    return Brought(events, ended)


def _check_same(path: Path, issuer: str) -> None:
    """Refuse the copy of another database, as far as the one in place can be read."""
    from clawguard import Verifier

    if not path.exists():
        return
    try:
        with Verifier.open(path) as opened:
            here = opened.issuer
    except StoreMoved as moved:
        raise StoreMoved(
            moved.message, hint=f"{moved.hint}; to go back to a copy, move this file away"
        ) from None
    except ClawguardError:
        return
    if here != issuer:
        raise ConfigError(
            "the copy is of another database", hint="name the place by --url, or move this one away"
        )


def _last_event(path: Path) -> int | None:
    from clawguard import Verifier

    try:
        with Verifier.open(path) as opened:
            return opened.events.last()[0]
    except ClawguardError:
        return None
