"""`create`, `delegate`, `refresh`: what gives a token, shown once."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from clawguard.checks import is_token
from clawguard.cli import options as o
from clawguard.cli.host import asked, host, read_token
from clawguard.cli.output import emit, facts, instant, left, print_json, show
from clawguard.cli.values import object_of, scopes_of, seconds_of
from clawguard.errors import ClawguardError, InvalidArgument
from clawguard.private_files import read_private, replace_private

if TYPE_CHECKING:
    from clawguard.cli.host import Host
    from clawguard.models import IssuedSession

__all__ = ["create", "delegate", "refresh"]

_FILE = "token file"
_LONGEST_FILE = 65_536


def create(
    ctx: typer.Context,
    agent: o.Agent,
    scope: o.Scope = None,
    ttl: o.Ttl = "1h",
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="SUBJECT", help="On whose behalf, such as user:ana.")
    ] = None,
    role: o.Role = None,
    task_type: o.Task = None,
    audience: Annotated[
        str | None, typer.Option("--audience", metavar="NAME", help="The service its tokens are for.")
    ] = None,
    key: o.Key = None,
    name: o.Name = None,
    idle_timeout: o.Idle = None,
    max_lifetime: Annotated[
        str | None, typer.Option("--max-lifetime", metavar="DURATION", help="What no refresh passes.")
    ] = None,
    max_uses: o.MaxUses = None,
    no_delegate: o.NoDelegate = False,
    refreshable: o.Refreshable = False,
    metadata: o.Metadata = None,
    request_id: o.RequestId = None,
    workspace: o.Workspace = None,
    token_only: o.TokenOnly = False,
    out: o.Out = None,
    as_json: o.Json = False,
) -> None:
    """Create a session, and print it with its token, this once.

    Without --scope it may do nothing.
    """
    _check_out(out)
    given = {
        "ttl": _seconds(ttl, "--ttl"),
        "idle_timeout": _seconds(idle_timeout, "--idle-timeout"),
        "max_lifetime": _seconds(max_lifetime, "--max-lifetime"),
        "metadata": object_of(metadata, argument="--metadata"),
    }
    with host(ctx) as opened:
        issued = opened.create(
            agent,
            scopes=scopes_of(scope),
            subject=subject,
            role=role,
            task_type=task_type,
            audience=audience,
            key=key,
            name=name,
            max_uses=max_uses,
            delegable=not no_delegate,
            refreshable=refreshable,
            request_id=request_id,
            **asked(ctx).of_workspace(workspace),
            **given,
        )
        _hand_over(opened, issued, is_new=True, token_only=token_only, out=out, as_json=as_json)


def delegate(
    ctx: typer.Context,
    agent: o.Agent,
    scope: o.Scope = None,
    parent: Annotated[
        str | None,
        typer.Option(
            "--parent",
            metavar="SESSION",
            help="Delegate on the host's own authority, from this session; else the parent's token is read.",
        ),
    ] = None,
    ttl: o.Ttl = None,
    role: o.Role = None,
    task_type: o.Task = None,
    grant: Annotated[
        str | None, typer.Option("--grant", metavar="NAME", help="A grant of the policy that widens it.")
    ] = None,
    key: o.Key = None,
    name: o.Name = None,
    idle_timeout: o.Idle = None,
    max_uses: o.MaxUses = None,
    no_delegate: o.NoDelegate = False,
    refreshable: o.Refreshable = False,
    metadata: o.Metadata = None,
    request_id: o.RequestId = None,
    workspace: o.Workspace = None,
    token_only: o.TokenOnly = False,
    out: o.Out = None,
    as_json: o.Json = False,
) -> None:
    """Make a child of a session, that never has more than its parent, and print it with its token.

    The parent's token is read from standard input, or from a hidden prompt.
    """
    _check_out(out)
    given = {
        "ttl": _seconds(ttl, "--ttl"),
        "idle_timeout": _seconds(idle_timeout, "--idle-timeout"),
        "metadata": object_of(metadata, argument="--metadata"),
    }
    token = read_token("parent's token") if parent is None else None
    with host(ctx) as opened:
        of = token or opened.sessions.get(parent or "", workspace_id=workspace)
        issued = opened.delegate(
            of,
            agent,
            scopes=scopes_of(scope),
            role=role,
            task_type=task_type,
            grant=grant,
            key=key,
            name=name,
            max_uses=max_uses,
            delegable=not no_delegate,
            refreshable=refreshable,
            request_id=request_id,
            **given,
        )
        _hand_over(opened, issued, is_new=True, token_only=token_only, out=out, as_json=as_json)


def refresh(
    ctx: typer.Context,
    session: o.SessionId,
    ttl: o.Ttl = None,
    expected_generation: Annotated[
        int | None,
        typer.Option("--expected-generation", metavar="N", help="Only if this is the newest token's."),
    ] = None,
    workspace: o.Workspace = None,
    token_only: o.TokenOnly = False,
    out: o.Out = None,
    as_json: o.Json = False,
) -> None:
    """Give a session its next token, and print it; the token before is dead at once."""
    _check_out(out)
    with host(ctx) as opened:
        issued = opened.refresh(
            session,
            ttl=_seconds(ttl, "--ttl"),
            expected_generation=expected_generation,
            workspace_id=workspace,
        )
        _hand_over(opened, issued, is_new=False, token_only=token_only, out=out, as_json=as_json)


def _seconds(text: str | None, argument: str) -> float | None:
    return None if text is None else seconds_of(text, argument=argument)


def _check_out(out: Path | None) -> None:
    """Raise before anything is made where the token could not be written, or would replace something else."""
    if out is None:
        return
    if not out.absolute().parent.is_dir():
        raise InvalidArgument("--out", "names a folder that does not exist")
    held = read_private(out, name=_FILE, longest=_LONGEST_FILE)
    if held and not all(is_token(line) for line in held.decode("utf-8", "replace").split()):
        raise InvalidArgument("--out", f"{out} holds something else than tokens", hint="name another file")


def _hand_over(
    opened: Host, issued: IssuedSession, *, is_new: bool, token_only: bool, out: Path | None, as_json: bool
) -> None:
    """Print the tokens, or write them into the file; a new session whose token is lost is ended."""
    tokens = [issued.token, *([issued.refresh_token] if issued.refresh_token else [])]
    if out is not None:
        try:
            replace_private(out, "".join(f"{each}\n" for each in tokens).encode(), name=_FILE)
        except ClawguardError:
            with suppress(ClawguardError):
                if is_new:
                    opened.revoke(issued.id, reason="its token could not be written")
            raise
    if as_json:
        from clawguard.cli.shapes import Issued

        shown: dict[str, Any] = {"token": None, "refresh_token": None, "file": str(out)}
        if out is None:
            shown = {"token": issued.token, "refresh_token": issued.refresh_token, "file": None}
        print_json(Issued(session=issued.to_dict(), **shown))
    elif token_only:
        emit("" if out else "".join(f"{each}\n" for each in tokens))
    else:
        show(facts(_summary(issued) | ({"token": f"in {out}"} if out else {})))
        if out is None:
            emit("\n" + "".join(f"{each}\n" for each in tokens))


def _summary(issued: IssuedSession) -> dict[str, object]:
    return {
        "session": issued.id,
        "agent": issued.agent_id,
        "for": issued.subject,
        "scopes": str(issued.scopes) or "none",
        "ends": f"{instant(issued.expires_at)}  (in {left(issued.expires_at)})",
        "parent": issued.parent_id,
        "generation": issued.generation if issued.generation > 1 else None,
        "uses": issued.uses_left,
    }
