"""`inspect`, `list`, `show`, `tree`: sessions and tokens, looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from clawguard.cli import options as o
from clawguard.cli.faults import Exit
from clawguard.cli.host import asked, host, read_token
from clawguard.cli.output import cell, emit, facts, instant, left, print_json, show, table
from clawguard.clock import SystemClock, to_microseconds
from clawguard.errors import InvalidArgument

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from clawguard.cli.host import Host
    from clawguard.models import Inspection, Session

__all__ = ["find", "inspect", "line_of", "show_session", "state_of", "tree"]

_STYLES = {"live": "green", "running": "green", "error": "yellow", "ended": "dim"}
_VERDICTS = {
    "active": "active",
    "ended": "its session has ended",
    "superseded": "a newer token of its session has been issued",
    "invalid": "no token of this database, or altered, or for another audience",
}


def inspect(
    ctx: typer.Context,
    source: Annotated[
        str, typer.Argument(metavar="[-]", help="Standard input, which is where a token is read anyway.")
    ] = "-",
    as_json: o.Json = False,
) -> None:
    """Say what a token is, which is read from standard input or a hidden prompt: claims, chain, state.

    Spends no use and leaves no trace. The exit code is 3 for a token that is not active.
    """
    if source != "-":
        raise InvalidArgument(
            "token",
            "is not taken from the command line, where others see it and the shell keeps it",
            hint="clawguard inspect, and paste it; or clawguard inspect < planner.token",
        )
    token = read_token()
    with host(ctx) as opened:
        found = opened.inspect(token)
        lineage = opened.sessions.lineage(found.session.id) if found.session else ()
    if as_json:
        from clawguard.cli.shapes import Inspected

        record = found.session.to_dict() if found.session else None
        claims = None if found.claims is None else dict(found.claims)
        chain = [each.to_dict() for each in lineage]
        print_json(Inspected(verdict=found.verdict, session=record, claims=claims, lineage=chain))
    else:
        show(facts(_told(found, token, lineage)))
    if found.verdict != "active":
        raise typer.Exit(Exit.REFUSED)


def find(
    ctx: typer.Context,
    agent: Annotated[str | None, typer.Option("--agent", metavar="AGENT", help="Of this agent.")] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="SUBJECT", help="On this one's behalf.")
    ] = None,
    role: Annotated[str | None, typer.Option("--role", metavar="ROLE", help="With this role.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", metavar="STATE", help="idle, running or error.")
    ] = None,
    parent: Annotated[
        str | None, typer.Option("--parent", metavar="SESSION", help="Children of this session.")
    ] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Ended sessions instead of live ones.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Live and ended ones.")] = False,
    limit: o.Limit = 50,
    cursor: Annotated[
        str | None, typer.Option("--cursor", metavar="TEXT", help="Go on where the page before ended.")
    ] = None,
    workspace: o.Workspace = None,
    ids: Annotated[bool, typer.Option("--ids", "-q", help="Print the ids and nothing else.")] = False,
    as_json: o.Json = False,
) -> None:
    """List the live sessions of a workspace, the newest first."""
    asked_for = {"agent_id": agent, "subject": subject, "role": role, "state": state, "parent_id": parent}
    filters = {name: value for name, value in asked_for.items() if value is not None}
    with host(ctx) as opened:
        page = opened.sessions.page(
            live=None if everything else not ended,
            limit=limit,
            cursor=cursor,
            **filters,
            **asked(ctx).of_workspace(workspace),
        )
    if as_json:
        from clawguard.cli.shapes import Listing

        print_json(Listing(sessions=[each.to_dict() for each in page.items], next_cursor=page.next_cursor))
    elif ids:
        emit("".join(f"{each.id}\n" for each in page.items))
    else:
        rows = [(each.id, each.agent_id, _state_cell(each), each.scopes) for each in page.items]
        show(table(("session", "agent", "state", "scopes"), rows, gives_way=("agent", "scopes")))
        if page.next_cursor is not None:
            show("", f"more with: --cursor {page.next_cursor}")


def show_session(
    ctx: typer.Context, session: o.SessionId, workspace: o.Workspace = None, as_json: o.Json = False
) -> None:
    """Show one session, live or ended."""
    with host(ctx) as opened:
        found = opened.sessions.get(session, workspace_id=workspace)
    if as_json:
        print_json(found.to_dict())
    else:
        show(facts(_described(found)))


def tree(
    ctx: typer.Context,
    session: o.SessionId,
    root: Annotated[bool, typer.Option("--root", help="Begin at the root of its tree.")] = False,
    workspace: o.Workspace = None,
    as_json: o.Json = False,
) -> None:
    """Draw a session and everything that was delegated below it."""
    with host(ctx) as opened:
        sessions = _below(opened, session, root=root, workspace=workspace)
    if as_json:
        from clawguard.cli.shapes import Tree

        print_json(Tree(sessions=[each.to_dict() for each in sessions]))
    else:
        show(_drawn(sessions))


def _below(opened: Host, session: str, *, root: bool, workspace: str | None) -> tuple[Session, ...]:
    first = opened.sessions.get(session, workspace_id=workspace)
    return opened.sessions.tree(first.root_id if root else first.id)


def state_of(session: Session) -> str:
    """Return what a session is doing: `live`, `running`, `error`, or `ended`."""
    if session.ended_at is not None or to_microseconds(session.due_at) <= SystemClock().now():
        return "ended"
    return "live" if session.state == "idle" else session.state


def line_of(session: Session) -> Text:
    """Return a session as one line: id, agent, state."""
    line = cell(session.id)
    line.append(f"  {cell(session.agent_id).plain}", style="bold")
    line.append("  ")
    line.append_text(_state_cell(session))
    return line


def _state_cell(session: Session) -> Text:
    state = state_of(session)
    more = (session.cause or "due") if state == "ended" else left(session.due_at)
    return cell(f"{state} {more}", style=_STYLES[state])


def _drawn(sessions: tuple[Session, ...]) -> Tree:
    from rich.tree import Tree

    drawn: dict[str, Tree] = {}
    for each in sessions:
        line = line_of(each)
        line.append(f"  {each.scopes}", style="dim")
        above = drawn.get(each.parent_id or "")
        drawn[each.id] = Tree(line, guide_style="dim") if above is None else above.add(line)
    return drawn[sessions[0].id]


def _told(found: Inspection, token: str, lineage: tuple[Session, ...]) -> dict[str, object]:
    style = "green" if found.verdict == "active" else "red"
    told: dict[str, object] = {"token": cell(_why(found, token), style=style)}
    if found.session is None or found.claims is None:
        return told
    said = {name: value for name, value in found.claims.items() if name in ("aud", "iss", "gen")}
    told |= {"chain": " > ".join(f"{each.agent_id}" for each in lineage)} if len(lineage) > 1 else {}
    told |= {"may now": None, "it says": str(found.claims.get("scope", "")) or "no scope"}
    return (
        told | _described(found.session) | {"claims": " ".join(f"{k}={v}" for k, v in sorted(said.items()))}
    )


def _why(found: Inspection, token: str) -> str:
    session = found.session
    if found.verdict == "ended" and session is not None:
        why = session.cause or "past its end"
        return f"{_VERDICTS['ended']}: {why}" + (f" ({session.reason})" if session.reason else "")
    if token.startswith("cgr1_"):
        return "a refresh token, which is good for getting the next tokens and for nothing else"
    return _VERDICTS[found.verdict]


def _described(session: Session) -> dict[str, object]:
    ended = session.ended_at is not None
    return {
        "session": session.id,
        "agent": session.agent_id,
        "for": session.subject,
        "workspace": session.workspace_id,
        "key": session.key,
        "name": session.name,
        "role": session.role,
        "task": session.task_type,
        "scopes": str(session.scopes) or "none",
        "state": _state_cell(session),
        "created": instant(session.created_at),
        "ends": None if ended else f"{instant(session.due_at)}  ({left(session.due_at)})",
        "ended": f"{instant(session.ended_at)}  by {session.ended_by}" if ended else None,
        "reason": session.reason,
        "last used": f"{instant(session.last_activity)}"
        + (f"  from {session.last_source}" if session.last_source else ""),
        "parent": session.parent_id,
        "depth": session.depth or None,
        "generation": session.generation,
        "uses left": session.uses_left,
        "bound to": " ".join(session.cnf) if session.cnf else None,
        "metadata": dict(session.metadata) or None,
    }
