"""`revoke`, `sweep`, `purge`: what ends sessions and removes their tombstones."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from clawguard.cli import options as o
from clawguard.cli.host import Host, asked, host, manager
from clawguard.cli.output import ask, counted, print_json, progress, show, tell_count
from clawguard.cli.values import instant_of, seconds_of
from clawguard.clock import SystemClock
from clawguard.errors import InvalidArgument
from clawguard.models import Ended

__all__ = ["end_one", "purge", "revoke", "sweep", "tell_ended"]


def revoke(
    ctx: typer.Context,
    session: Annotated[str | None, typer.Argument(metavar="[SESSION]", help="The session's id.")] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", metavar="AGENT", help="All sessions of this agent.")
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="SUBJECT", help="All on this one's behalf.")
    ] = None,
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE", help="All with this role.")] = None,
    issued_before: Annotated[
        str | None,
        typer.Option("--issued-before", metavar="WHEN", help="All whose token is older: an instant, or 2h."),
    ] = None,
    key_id: Annotated[
        str | None, typer.Option("--key-id", metavar="KID", help="All whose token this key signed.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All, of every workspace; at a server of the caller's.")
    ] = False,
    reason: o.Reason = None,
    actor: o.Actor = None,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """End a session, or all that the options pick, with everything below: at once, everywhere.

    What several options pick must fit all of them.
    """
    picked: dict[str, Any] = {"agent_id": agent, "subject": subject, "role": role, "key_id": key_id}
    if issued_before is not None:
        picked["issued_before"] = instant_of(
            issued_before, argument="--issued-before", now=SystemClock().now()
        )
    filters = {name: value for name, value in picked.items() if value is not None}
    if (session is not None) + bool(filters) + everything != 1:
        raise InvalidArgument("session", "or what picks sessions, or --everything, is needed: one of these")
    told: dict[str, Any] = {"reason": reason, "actor": actor}
    with host(ctx) as opened:
        if session is not None:
            ended = end_one(opened, session, dry_run=dry_run, workspace=workspace, **told)
        else:
            if filters:
                filters |= asked(ctx).of_workspace(workspace)
            ended = _end_all(opened, filters, everything=everything, dry_run=dry_run, yes=yes, told=told)
    tell_ended(ended, dry_run=dry_run, as_json=as_json)


def sweep(ctx: typer.Context, as_json: o.Json = False) -> None:
    """Record the natural ends that are due, and do the upkeep that a running host does by itself."""
    with manager(ctx) as opened:
        count = opened.prune_expired()
    _tell_count(count, "ended", dry_run=False, as_json=as_json)


def purge(
    ctx: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="Whose root ended so long ago: 30d.")
    ],
    dry_run: o.DryRun = False,
    actor: o.Actor = None,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Remove ended sessions for good, whole trees, with their conversations; the log stays."""
    age = seconds_of(older_than, argument="--older-than")
    with manager(ctx) as opened, progress("purging", as_json=as_json) as tell:
        count = opened.sessions.purge(
            age,
            workspace_id=asked(ctx).workspace(workspace),
            dry_run=dry_run,
            actor=actor,
            progress=tell,
        )
    _tell_count(count, "removed", dry_run=dry_run, as_json=as_json)


def end_one(
    opened: Host,
    session: str,
    *,
    dry_run: bool,
    workspace: str | None,
    reason: str | None,
    actor: str | None,
) -> Ended:
    """Revoke one session with all below it, and tell how many that were."""
    if dry_run:
        tree = opened.sessions.tree(session, workspace_id=workspace)
        return Ended(sum(each.ended_at is None for each in tree), None)
    ended = opened.revoke(session, reason=reason, actor=actor, workspace_id=workspace)
    if isinstance(ended, Ended):
        return ended
    if not ended:
        return Ended(0, None)
    tree = opened.sessions.tree(session)
    return Ended(sum(each.ended_at == tree[0].ended_at for each in tree), _cause_of(opened, tree[0].id))


def tell_ended(ended: Ended, *, dry_run: bool, as_json: bool) -> None:
    """Print how many sessions ended, or would."""
    if as_json:
        from clawguard.cli import shapes

        print_json(shapes.Ended(count=ended.count, cause_id=ended.cause_id, dry_run=dry_run))
        return
    sessions = counted(ended.count, "session")
    if dry_run:
        show(f"{sessions} would end; nothing was changed")
    elif ended.count == 0:
        show("nothing to end")
    else:
        show(f"{sessions} ended")
        if ended.cause_id:
            show(f"the log lists them with: clawguard events tail --cause {ended.cause_id}")


def _end_all(
    opened: Host,
    filters: dict[str, Any],
    *,
    everything: bool,
    dry_run: bool,
    yes: bool,
    told: dict[str, Any],
) -> Ended:
    found = opened.revoke_where(everything=everything, dry_run=True, **filters)
    if dry_run or found.count == 0:
        return found
    ask(f"end {counted(found.count, 'session')}, and all below?", yes=yes)
    return opened.revoke_where(everything=everything, **told, **filters)


def _cause_of(opened: Host, session_id: str) -> str | None:
    events = opened.events
    found = events.read(types="session.expired", session_id=session_id, after=events.archived, limit=1)
    return found[0].cause_id if found else None


def _tell_count(count: int, done: str, *, dry_run: bool, as_json: bool) -> None:
    sessions = counted(count, "session")
    told = f"{sessions} would be {done}; nothing was changed" if dry_run else f"{sessions} {done}"
    tell_count(count, told, dry_run=dry_run, as_json=as_json)
