"""The command put together: every group, the options before the command, and what becomes of an error."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from clawguard.cli import database, ending, events, history, incident, issuing, keys, looking, running
from clawguard.cli.faults import Exit, exit_of, tell, tell_unexpected
from clawguard.cli.host import Asked
from clawguard.errors import ClawguardError

__all__ = ["app", "run"]

_GROUPS = (("events", events.app), ("keys", keys.app), ("history", history.app), ("db", database.app))
_SESSIONS, _LOOKING, _RUNNING = "Sessions", "Looking after them", "Running it"
_COMMANDS = (
    ("create", issuing.create, _SESSIONS),
    ("inspect", looking.inspect, _SESSIONS),
    ("list", looking.find, _SESSIONS),
    ("show", looking.show_session, _SESSIONS),
    ("tree", looking.tree, _SESSIONS),
    ("delegate", issuing.delegate, _SESSIONS),
    ("refresh", issuing.refresh, _SESSIONS),
    ("revoke", ending.revoke, _SESSIONS),
    ("incident", incident.incident, _LOOKING),
    ("sweep", ending.sweep, _LOOKING),
    ("purge", ending.purge, _LOOKING),
    ("demo", running.demo, _RUNNING),
    ("init", running.init, _RUNNING),
    ("doctor", running.doctor, _RUNNING),
    ("bench", running.bench, _RUNNING),
    ("serve", running.serve, _RUNNING),
)

app = typer.Typer(
    name="clawguard",
    help="Short-lived, scoped, revocable sessions for agents, and a log of what became of them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _command, _panel in _COMMANDS:
    app.command(_name, rich_help_panel=_panel)(_command)
for _name, _group in _GROUPS:
    app.add_typer(_group, name=_name, rich_help_panel=_LOOKING)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"clawguard {version('clawguard-sessions')}")
        raise typer.Exit


@app.callback()
def before(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", metavar="URL", help="The database: a path or URL; or a server: https://…", envvar=None
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The settings, by default clawguard.toml here."),
    ] = None,
    secrets_dir: Annotated[
        Path | None,
        typer.Option(
            "--secrets-dir", metavar="FOLDER", help="A folder with one file a secret: clawguard_kek."
        ),
    ] = None,
    version: Annotated[  # noqa: ARG001  # its callback does the work
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Options that stand before the command."""
    ctx.obj = Asked(url=url, config=config, secrets_dir=secrets_dir)


@cache
def _built() -> Any:
    """Build the command once: it takes longer than most of what it runs."""
    return typer.main.get_command(app)


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code; an error is one line, a hint, and no traceback."""
    as_json = "--json" in argv
    _make_text_safe()
    try:
        result = _built()(args=list(argv), prog_name="clawguard", standalone_mode=False)
    except ClawguardError as error:
        tell(error.message, code=error.code, hint=error.hint, as_json=as_json)
        return exit_of(error)
    except typer.TyperException as error:
        if not error.message:  # the help of a group was printed instead
            return Exit.USAGE
        hint = "options such as --url stand before the command; clawguard COMMAND --help tells the others"
        tell(error.format_message(), code="usage", hint=hint, as_json=as_json)
        return Exit.USAGE
    except (typer.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except OSError as error:
        hint = "see to the file or disk that it is about; what was done before stands"
        tell(error.strerror or "the system refused", code="os_error", hint=hint, as_json=as_json)
        return Exit.CONFIG
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else Exit.FAULT
    except Exception as error:
        tell_unexpected(error, as_json=as_json)
        return Exit.FAULT
    return result if isinstance(result, int) else Exit.OK


def _make_text_safe() -> None:
    """Let no character that the terminal's encoding lacks end a command midway."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
