"""`keys list`, `keys rotate`, `keys jwks`: the signing keys of all processes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from clawguard.cli import options as o
from clawguard.cli.host import host
from clawguard.cli.output import ask, cell, counted, instant, left, print_json, show, table
from clawguard.errors import AccessDenied

if TYPE_CHECKING:
    from rich.text import Text

    from clawguard.cli.host import Host

__all__ = ["app"]

_STYLES = {"active": "green", "next": "cyan", "retiring": "yellow", "compromised": "red"}

app = typer.Typer(no_args_is_help=True, help="See, publish and rotate the signing keys.")


@app.command("list")
def find(ctx: typer.Context, as_json: o.Json = False) -> None:
    """List the keys and their states, the oldest first."""
    with host(ctx) as opened:
        found = opened.keys.list()
    if as_json:
        from clawguard.cli.shapes import Key, Keys

        print_json(Keys(keys=[Key(**each._asdict()) for each in found]))
        return
    rows = [
        (each.kid, each.algorithm, _state(each.state), _since(each.activated_at), _until(each.verify_until))
        for each in found
    ]
    show(table(("key id", "alg", "state", "signs", "verifies"), rows, gives_way=("key id",)))


@app.command()
def rotate(
    ctx: typer.Context,
    emergency: Annotated[
        bool, typer.Option("--emergency", help="The key was stolen: distrust it at once, end what it signed.")
    ] = False,
    algorithm: Annotated[
        Literal["ES256", "EdDSA", "RS256"] | None,
        typer.Option("--algorithm", help="What the new keys sign with; by default as before."),
    ] = None,
    actor: o.Actor = None,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    as_json: o.Json = False,
) -> None:
    """Let the next key sign, in every process, without a restart.

    The key before goes on verifying until the last token it signed has ended. With --emergency it does not.
    """
    told: dict[str, Any] = {"emergency": emergency, "algorithm": algorithm, "actor": actor}
    with host(ctx) as opened:
        if emergency and not dry_run:
            count = opened.keys.rotate(dry_run=True, **told).count
            ask(f"distrust the key that signs now, and end {counted(count, 'session')}?", yes=yes)
        ended = opened.keys.rotate(dry_run=dry_run, **told)
        active = _active(opened)
    if as_json:
        from clawguard.cli.shapes import Rotated

        print_json(Rotated(active=active, ended=ended.count, cause_id=ended.cause_id, dry_run=dry_run))
    elif dry_run:
        show(f"{counted(ended.count, 'session')} would end; {active} signs as before")
    else:
        show(f"{active or 'a new key'} signs now; {counted(ended.count, 'session')} ended")


def _active(opened: Host) -> str | None:
    try:
        return opened.keys.active().kid
    except AccessDenied:  # at a server: whose token the key before has signed, or who may not list keys
        return None


@app.command()
def jwks(ctx: typer.Context, as_json: o.Json = False) -> None:  # noqa: ARG001  # it is JSON anyway
    """Print the JWK set that others verify tokens with: public keys only."""
    with host(ctx) as opened:
        print_json(opened.keys.jwks())


def _state(state: str) -> Text:
    return cell(state, _STYLES.get(state, "dim"))


def _since(at: datetime | None) -> str:
    return "-" if at is None else left(at)


def _until(at: datetime | None) -> str:
    return "-" if at is None else instant(at)
