"""`history …`: the conversations of sessions, looked at, found, carried out and in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawguard.cli import options as o
from clawguard.cli.host import asked, host, manager
from clawguard.cli.output import (
    ask,
    cell,
    counted,
    emit,
    instant,
    plain,
    print_json,
    progress,
    show,
    table,
    tell_count,
    tell_done,
)
from clawguard.cli.values import instant_of, seconds_of
from clawguard.clock import SystemClock

if TYPE_CHECKING:
    from clawguard.history.records import Entry

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Conversations: list, read, find, export, import, delete.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="A JSONL file: one message a line.")]
OfAgent = Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="Of this agent.")]


@app.command("list")
def find(
    ctx: typer.Context,
    agent: OfAgent = None,
    limit: o.Limit = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="TEXT", help="Go on where the page before ended.")
    ] = None,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """List the conversations of a workspace, by last activity, the latest first."""
    filters = {} if agent is None else {"agent_id": agent}
    with manager(ctx) as opened:
        workspace_id = asked(ctx).workspace(workspace)
        page = opened.history.page(workspace_id=workspace_id, limit=limit, cursor=cursor, **filters)
    if as_json:
        from clawguard.cli.shapes import Conversations

        told = [each.to_dict() for each in page.items]
        print_json(Conversations(conversations=told, next_cursor=page.next_cursor))
        return
    rows = [
        (each.session_id, each.key or each.agent_id, each.message_count, instant(each.last_activity)[:16])
        for each in page.items
    ]
    show(table(("session", "whose", "entries", "last"), rows, gives_way=("whose",)))
    if page.next_cursor is not None:
        show("", f"more with: --cursor {page.next_cursor}")


@app.command()
def tail(
    ctx: typer.Context,
    session: o.SessionId,
    limit: o.Limit = 20,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Print the newest entries of a conversation, the oldest of them first."""
    with host(ctx) as opened:
        entries = opened.history.tail(session, limit, workspace_id=workspace)
    if as_json:
        from clawguard.cli.shapes import Entries

        print_json(Entries(entries=[each.to_dict() for each in entries]))
    else:
        emit("".join(map(_line, entries)))


@app.command()
def search(
    ctx: typer.Context,
    text: Annotated[
        str, typer.Argument(metavar="TEXT", help="Words, any of which will do; meet* for a beginning.")
    ],
    session: Annotated[
        str | None, typer.Option("--session", metavar="SESSION", help="In this conversation.")
    ] = None,
    agent: OfAgent = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="WHEN", help="Not older: an instant, or 7d.")
    ] = None,
    limit: o.Limit = 20,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Find entries by their words, the best first."""
    narrowed: dict[str, Any] = {"limit": limit}
    if agent is not None:
        narrowed["agent_id"] = agent
    if since is not None:
        narrowed["since"] = instant_of(since, argument="--since", now=SystemClock().now())
    with host(ctx) as opened:
        if session is None:
            narrowed |= asked(ctx).of_workspace(workspace)
        else:
            narrowed |= {"session": session, "workspace_id": workspace}
        hits = opened.history.search(text, **narrowed)
    if as_json:
        from clawguard.cli.shapes import Hits

        print_json(Hits(hits=[each.to_dict() for each in hits]))
        return
    rows = [(each.session_id, each.seq, each.role or each.kind, each.snippet) for each in hits]
    show(table(("session", "entry", "role", "found"), rows, gives_way=("found",)))


@app.command("wrap-up")
def wrap_up(
    ctx: typer.Context, session: o.SessionId, workspace: o.Workspace = None, as_json: o.Json = False
) -> None:
    """Sum a conversation up, as Markdown."""
    with manager(ctx) as opened:
        summary = opened.history.wrap_up(session, workspace_id=workspace)
    if as_json:
        print_json(summary.to_dict())
    else:
        emit("".join(f"{plain(line)}\n" for line in summary.to_markdown().splitlines()))


@app.command()
def export(
    ctx: typer.Context,
    session: o.SessionId,
    file: File,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Write a conversation into a file (0600), in place of what it holds."""
    with manager(ctx) as opened:
        total = opened.history.count(session, workspace_id=workspace)
        with progress("exporting", total=total, as_json=as_json) as tell:
            count = opened.history.export_jsonl(session, file, progress=tell, workspace_id=workspace)
    if as_json:
        from clawguard.cli.shapes import Files

        print_json(Files(file=str(file), count=count))
    else:
        show(f"{counted(count, 'message')} in {file}")


@app.command("import")
def bring_in(
    ctx: typer.Context,
    session: o.SessionId,
    file: File,
    actor: o.Actor = None,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Append the messages of a file to a live session's conversation: all of them or none, each file once."""
    with manager(ctx) as opened, progress("importing", as_json=as_json) as tell:
        done = opened.history.import_jsonl(session, file, progress=tell, actor=actor, workspace_id=workspace)
    if as_json:
        from clawguard.cli.shapes import Imported

        header = None if done.header is None else dict(done.header)
        print_json(Imported(count=done.count, repeated=done.repeated, header=header))
    elif done.repeated:
        show("this very file was imported before: nothing was done")
    else:
        show(f"{counted(done.count, 'message')} appended")


@app.command()
def delete(
    ctx: typer.Context,
    session: o.SessionId,
    actor: o.Actor = None,
    yes: o.Yes = False,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Remove a conversation for good, and end its session."""
    with manager(ctx) as opened:
        count = opened.history.count(session, workspace_id=workspace)
        ask(f"remove {count} entries for good, and end the session?", yes=yes)
        done = opened.history.delete(session, actor=actor, workspace_id=workspace)
    tell_done(done, "deleted" if done else "there was nothing to delete", as_json=as_json)


@app.command()
def cleanup(
    ctx: typer.Context,
    idle_for: Annotated[
        str, typer.Option("--idle-for", metavar="DURATION", help="Without activity for so long: 30d.")
    ],
    actor: o.Actor = None,
    dry_run: o.DryRun = False,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Delete the conversations that nobody touched for long; none with a turn under way."""
    idle = seconds_of(idle_for, argument="--idle-for")
    with manager(ctx) as opened, progress("deleting", as_json=as_json) as tell:
        count = opened.history.cleanup_stale(
            idle,
            dry_run=dry_run,
            workspace_id=asked(ctx).workspace(workspace),
            actor=actor,
            progress=tell,
        )
    told = f"{counted(count, 'conversation')} {'would be ' if dry_run else ''}deleted"
    tell_count(count, told, dry_run=dry_run, as_json=as_json)


@app.command()
def compact(ctx: typer.Context, as_json: o.Json = False) -> None:
    """Make the search's index anew, without what removed entries have left in it."""
    with manager(ctx) as opened, progress("indexing", as_json=as_json) as tell:
        count = opened.history.compact(progress=tell)
    tell_count(count, f"{count} entries were indexed", as_json=as_json)


@app.command()
def encrypt(
    ctx: typer.Context,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Put a new content key in the place of the one in use.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Only tell how far it has come.")] = False,
    actor: o.Actor = None,
    yes: o.Yes = False,
    as_json: o.Json = False,
) -> None:
    """Encrypt all conversations, those that are there too; with --rotate under a new content key.

    Everything else goes on meanwhile, but for searches, of which there are none any more. Nothing takes it
    back. What was cut short is taken up by the same command.
    """
    with manager(ctx) as opened:
        encryption, count = opened.history.encryption, 0
        if not status:
            if encryption.status().key is None:
                ask("encrypt all conversations, for good, and end searching in them?", yes=yes)
            with progress("sealing", as_json=as_json) as tell:
                act = encryption.rotate if rotate else encryption.enable
                count = act(progress=tell, actor=actor)
        found = encryption.status()
    if as_json:
        from clawguard.cli.shapes import Encrypted

        print_json(Encrypted(count=count, key=found.key, remaining=found.remaining))
    elif found.key is None:
        show("conversations are not encrypted")
    else:
        entries = counted(count, "entry", "entries")
        show(f"{entries} sealed; the content key is number {found.key}, {found.remaining} not under it yet")


def _line(entry: Entry) -> str:
    who = cell(entry.role or entry.kind).plain
    return f"{entry.seq:>4}  {instant(entry.at)[11:]}  {who:<9}  {plain(entry.text)}\n"
