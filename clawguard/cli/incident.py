"""`incident`: a token leaked. What it is, what it did, and its end, from one screen."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from clawguard.cli import options as o
from clawguard.cli.ending import end_one, tell_ended
from clawguard.cli.faults import Exit
from clawguard.cli.host import host, read_token
from clawguard.cli.looking import line_of, state_of
from clawguard.cli.output import (
    ask,
    cell,
    counted,
    emit,
    event_line,
    facts,
    instant,
    left,
    plain,
    print_json,
    show,
)
from clawguard.errors import InvalidArgument, InvalidToken

if TYPE_CHECKING:
    from clawguard import Event
    from clawguard.cli.host import Host
    from clawguard.models import Ended, Session

__all__ = ["incident"]

_TIMELINE = 200
_SHOWN = 5
_MENU = "[r]evoke it and all below  [a]ll of its subject  [t]imeline  [q]uit"


class Case(NamedTuple):
    """Hold what is known of the session whose token leaked."""

    verdict: str
    lineage: tuple[Session, ...]
    live_below: int
    live_of_subject: int
    denials: int
    timeline: tuple[Event, ...]

    @property
    def session(self) -> Session:
        """The session itself."""
        return self.lineage[-1]


def incident(
    ctx: typer.Context,
    session: Annotated[
        str | None,
        typer.Option("--session", metavar="SESSION", help="Its session's id, instead of the token."),
    ] = None,
    revoke: Annotated[
        bool, typer.Option("--revoke", help="Revoke it and all below, without a menu.")
    ] = False,
    all_of_subject: Annotated[
        bool, typer.Option("--all-of-subject", help="Revoke all on its subject's behalf, without a menu.")
    ] = False,
    timeline: Annotated[bool, typer.Option("--timeline", help="Print all of its events.")] = False,
    reason: o.Reason = "leaked",
    actor: o.Actor = None,
    as_json: o.Json = False,
) -> None:
    """Deal with a leaked token: read it from a hidden prompt or standard input, see, and end.

    On a terminal it asks what to do; elsewhere it does what the options say. A token that has ended or was
    replaced will do; one that is none of this database's gives the exit code 3.
    """
    if revoke and all_of_subject:
        raise InvalidArgument(
            "--revoke", "and --all-of-subject are two things", hint="the second does the first"
        )
    token = read_token("leaked token") if session is None else None
    told = {"reason": reason, "actor": actor}
    with host(ctx) as opened:
        case = _case_of(opened, token, session)
        has_menu = sys.stdin.isatty() and sys.stdout.isatty() and not (revoke or all_of_subject or as_json)
        if not as_json:
            _show_case(case)
            if timeline:
                _show_timeline(case.timeline)
        ended: Ended | None = None
        if has_menu:
            revoke, all_of_subject = _choose(case)
        if revoke:
            ended = end_one(opened, case.session.id, dry_run=False, workspace=None, **told)
        elif all_of_subject:
            if has_menu:
                ask(f"end {counted(case.live_of_subject, 'session')} of {case.session.subject}?", yes=False)
            ended = _end_subject(opened, case.session, told)
        if as_json:
            _print_case(case, ended)
        elif ended is not None:
            tell_ended(ended, dry_run=False, as_json=False)


def _case_of(opened: Host, token: str | None, session_id: str | None) -> Case:
    if token is not None:
        found = opened.inspect(token)
        if found.session is None:
            raise InvalidToken(
                hint="it is none of this database's, or was altered: nothing here can be ended by it"
            )
        verdict, session = str(found.verdict), found.session
    else:
        session = opened.sessions.get(session_id or "")
        verdict = "ended" if state_of(session) == "ended" else "active"
    below = opened.sessions.tree(session.id)[1:]
    events = opened.events.follow(after=opened.events.archived, session_id=session.id, timeout=0)
    timeline = tuple(deque(events, _TIMELINE))
    subject: dict[str, Any] = {"workspace_id": session.workspace_id, "subject": session.subject}
    return Case(
        verdict,
        opened.sessions.lineage(session.id),
        sum(state_of(each) != "ended" for each in below),
        opened.revoke_where(dry_run=True, **subject).count,
        sum(int(each.data.get("count", 1)) for each in timeline if each.type == "guard.denied"),
        timeline,
    )


def _end_subject(opened: Host, session: Session, told: dict[str, Any]) -> Ended:
    return opened.revoke_where(workspace_id=session.workspace_id, subject=session.subject, **told)


def _show_case(case: Case) -> None:
    session = case.session
    used = f"{instant(session.last_activity)}  ({left(session.last_activity)})"
    chain = [plain(each.agent_id) for each in case.lineage[::-1]]
    show(
        line_of(session),
        facts(
            {
                "token": cell(case.verdict, style="green" if case.verdict != "active" else "red"),
                "chain": " < ".join([*chain, plain(session.subject)]),
                "scopes": str(session.scopes) or "none",
                "last used": used + (f"  from {session.last_source}" if session.last_source else ""),
                "ended": f"{session.cause} ({session.reason})" if session.reason else session.cause,
                "below it": f"{case.live_below} live",
                "its subject": f"{case.live_of_subject} live in {session.workspace_id}",
                "refused": counted(case.denials, "time"),
            }
        ),
        "",
    )
    _show_timeline(case.timeline[-_SHOWN:])


def _show_timeline(events: tuple[Event, ...]) -> None:
    show(*map(event_line, events))


def _choose(case: Case) -> tuple[bool, bool]:
    """Ask what to do, until it is done or left alone; return whether to end the session, or its subject's."""
    while True:
        emit(f"\n{_MENU} ")
        choice = typer.getchar().lower()
        emit("\n")
        if choice in ("r", "a"):
            return choice == "r", choice == "a"
        if choice == "t":
            _show_timeline(case.timeline)
        if choice in ("q", "\x1b", "\x03", "\x04"):
            raise typer.Exit(Exit.OK)


def _print_case(case: Case, ended: Ended | None) -> None:
    from clawguard.cli import shapes

    done = None
    if ended is not None:
        done = shapes.Ended(count=ended.count, cause_id=ended.cause_id, dry_run=False)
    print_json(
        shapes.Incident.model_validate(
            {
                "verdict": case.verdict,
                "lineage": [each.to_dict() for each in case.lineage],
                "live_below": case.live_below,
                "live_of_subject": case.live_of_subject,
                "denials": case.denials,
                "timeline": [each.to_dict() for each in case.timeline],
                "ended": done,
            }
        )
    )
