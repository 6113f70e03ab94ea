"""`db copy`: the database moved into another, to or from a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clawguard.cli import options as o
from clawguard.cli.faults import Exit
from clawguard.cli.host import asked
from clawguard.cli.output import cell, columns, counted, print_json, progress, show, table, tell_done

if TYPE_CHECKING:
    from clawguard.sessions.ends import Copied

__all__ = ["copy"]


def copy(
    ctx: typer.Context,
    old: Annotated[str, typer.Argument(metavar="OLD", help="Where the database is: a file or a URL.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="Where it goes: a file or a URL, still empty.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how much there is and what would refuse; copy nothing.")
    ] = False,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up a copy that was begun: OLD stays the database.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Move the database OLD, in use as it is, to NEW: a SQLite file or a PostgreSQL URL each.

    Everything goes along: tokens that were issued stay valid. At the end OLD is marked moved, and whoever
    has it open is told so. What was broken off goes on with the same command. The key-encryption key is in
    neither database: NEW is opened with the same one. With --dry-run the exit code is 7 where it would
    refuse.
    """
    from clawguard.sessions.moving import abandon_copy, copy_database

    settings = asked(ctx).settings
    if abandon:
        done = abandon_copy(old, lock_timeout=settings.lock_timeout)
        tell_done(done, "OLD stays" if done else "there was nothing to give up", as_json=as_json)
        return
    with progress("copying", as_json=as_json) as tell:
        found = copy_database(
            old,
            new,
            kek=settings.kek_source(),
            dry_run=dry_run,
            lock_timeout=settings.lock_timeout,
            progress=tell,
        )
    if as_json:
        _print(found, dry_run=dry_run)
    elif dry_run:
        _show_plan(found)
    else:
        show(f"{found.target} is the database now: {counted(found.events, 'event')}, and the log holds")
        show("open it with the key-encryption key of the old one: in CLAWGUARD_KEK or CLAWGUARD_KEK_FILE")
    if found.refusals:
        raise typer.Exit(Exit.FAILED)


def _print(found: Copied, *, dry_run: bool) -> None:
    from clawguard.cli.shapes import CopiedTable, Error, Moved

    tables = [CopiedTable.model_validate(each._asdict()) for each in found.tables]
    refusals = [Error(code=each.code, message=each.message, hint=each.hint) for each in found.refusals]
    print_json(
        Moved(
            target=found.target,
            issuer=found.issuer,
            dry_run=dry_run,
            moved=found.moved,
            events=found.events,
            tables=tables,
            refusals=refusals,
        )
    )


def _show_plan(found: Copied) -> None:
    rows = [(each.name, each.rows, each.copied) for each in found.tables]
    show(table(("table", "rows", "copied"), rows, gives_way=("table",), right=("rows", "copied")), "")
    for each in found.refusals:
        show(columns(cell("refused", "red"), str(each)))
    if not found.refusals:
        show(f"nothing stands against moving {found.issuer} to {found.target}")
