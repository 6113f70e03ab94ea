"""Write the reference of the command line: `python -m tests.cli.reference`."""

from __future__ import annotations

import types
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from clawguard.cli.app import app
from clawguard.cli.faults import MEANINGS
from clawguard.cli.settings import Settings
from clawguard.cli.shapes import PRINTS, Failure, Record
from clawguard.events.event import Event
from clawguard.history.records import Hit, SessionMetadata
from clawguard.history.wrap_up import WrapUp
from clawguard.models import Session

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
RECORDS: dict[str, type] = {
    "session": Session,
    "event": Event,
    "conversation": SessionMetadata,
    "hit": Hit,
    "wrap-up": WrapUp,
}
LEFT_OUT = {"session": {"jti"}}
NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "true or false",
    "datetime": "instant",
}

HEAD = """# The command line

`pip install 'clawguard-sessions[cli]'` brings the commands on this page; without the extra there is
`clawguard demo`. This page is written from the code by `make reference`. Stories are in the how-to pages:
[first minutes](../howto/first-minutes.md), [in front of an app](../howto/protect.md),
[production](../howto/production.md), [a leaked token](../howto/incident.md), [keys](../howto/keys.md),
[audit](../howto/audit.md), [growing](../howto/growing.md), [testing](../howto/testing.md).

- Options of `clawguard` itself stand before the command: `clawguard --url other.db list`.
- A token is read from standard input, or from a hidden prompt on a terminal, and never from the command line.
  It is printed once, by the command that makes it.
- Durations are written `90`, `15m`, `1h30m`, `7d`; instants in ISO 8601 with a time zone, or as
  how long ago.
- Scopes: `--scope` as often as you like, or several apart by blanks.
- On a terminal tables fit its width, and what does not is cut off; in a pipe nothing is cut off, and there is
  no colour. `NO_COLOR=1` takes the colour away everywhere. Bars are drawn on a terminal only.
- `clawguard --install-completion` sets completion up for bash, zsh and fish; `--show-completion` prints the
  script.
"""

SETTINGS = """\
The first of these that says something counts: an option, the environment, the secret directory, the file,
the default. The file is `--config`, else `CLAWGUARD_CONFIG`, else `clawguard.toml` in the working folder; a
name in it that is no setting is a fault, and so is a file that others may write. Relative paths in it count
from its folder. The secret directory is `--secrets-dir`, else `CLAWGUARD_SECRETS_DIR`: it holds a file for
each setting, called `clawguard_kek` or the like, as container hosts mount them.
"""


def flat(text: str) -> str:
    """Return a text as a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def heading(name: str) -> str:
    return f"`{name}`"


def options_of(command: Any) -> Iterator[tuple[str, str]]:
    """Yield each option and argument as it is written, with its help."""
    for each in command.params:
        if each.name == "help" or each.hidden:
            continue
        if each.param_type_name == "argument":
            yield f"`{each.metavar}`", each.help
            continue
        written = ", ".join([*each.opts, *each.secondary_opts])
        value = "" if each.is_flag else f" {each.metavar or choices(each)}"
        default = (
            "" if each.default in (None, False) or callable(each.default) else f" Default: `{each.default}`."
        )
        needed = " Required." if each.required else ""
        yield f"`{written}{value}`", f"{each.help}{default}{needed}"


def choices(option: Any) -> str:
    annotation = option.type_descriptor.annotation
    values = [str(each) for each in get_args(annotation)]
    return "/".join(values) or "VALUE"


def members(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield the members of a shape: name, type, meaning; those of its models under theirs."""
    for name, field in model.model_fields.items():
        kind, inner = described(field)
        yield f"`{prefix}{name}`", kind, flat(field.description or "")
        if inner is not None:
            mark = "[]." if "list" in kind else "."
            yield from members(inner, f"{prefix}{name}{mark}")


def described(field: FieldInfo) -> tuple[str, type[BaseModel] | None]:
    """Return the name of a member's type, and the model that it holds, if any."""
    record = next((each for each in field.metadata if isinstance(each, Record)), None)
    if record is not None:
        return linked(record), None
    return named(field.annotation)


def named(annotation: Any) -> tuple[str, type[BaseModel] | None]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object", annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        record = next((each for each in arguments if isinstance(each, Record)), None)
        return (linked(record), None) if record else named(arguments[0])
    if origin in (Union, types.UnionType):
        kind, inner = named(next(each for each in arguments if each is not type(None)))
        return f"{kind} or null", inner
    if origin is list:
        kind, inner = named(arguments[0])
        return f"list of {kind}s", inner
    if origin is Literal:
        return ", ".join(f"`{each}`" for each in arguments), None
    names = {
        "str": "string",
        "int": "integer",
        "float": "number",
        "bool": "true or false",
        "datetime": "instant",
    }
    return names.get(getattr(annotation, "__name__", ""), "object"), None


def linked(record: Record) -> str:
    return f"[{record.name}](#{record.name})"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def shape_of(name: str) -> str:
    found = PRINTS[name]
    if isinstance(found, str):
        return f"`--json`: {found}.\n"
    if isinstance(found, Record):
        return f"`--json`: a {linked(found)}.\n"
    return "`--json`:\n\n" + table(("member", "type", "meaning"), list(members(found)))


def section(name: str, command: Any) -> str:
    rows = [(first, flat(text or "")) for first, text in options_of(command)]
    lines = [f"### clawguard {name}\n", f"{(command.help or '').strip()}\n"]
    lines += [table(("option", "meaning"), rows)]
    lines += [shape_of(name)]
    return "\n".join(lines)


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every command by its whole name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


def settings() -> str:
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = (
            "none"
            if default in (None, ())
            else f"`{default:g} s`"
            if isinstance(default, float)
            else f"`{default}`"
        )
        rows.append((f"`{name}`", f"`CLAWGUARD_{name.upper()}`", shown, flat(field.description or "")))
    return table(("in the file", "in the environment", "default", "meaning"), rows)


def page() -> str:
    """Return the whole page."""
    root = typer.main.get_command(app)
    codes = [(f"`{int(code)}`", flat(text)) for code, text in MEANINGS.items()]
    parts = [
        HEAD,
        "## Settings\n",
        SETTINGS,
        settings(),
        "## Exit codes\n",
        table(("code", "meaning"), codes),
        "With `--json` an error is one JSON object on standard error, and standard output stays empty:\n",
        table(("member", "type", "meaning"), list(members(Failure))),
        "## Options before the command\n",
        table(("option", "meaning"), [(first, flat(text or "")) for first, text in options_of(root)]),
        "## Commands\n",
        *(section(name, command) for name, command in commands(root)),
        "## Records\n",
        "Objects of the library as `to_dict()` gives them; instants are ISO 8601.\n",
    ]
    for name, kind in RECORDS.items():
        names = [f"`{each.name}`" for each in fields(kind) if each.name not in LEFT_OUT.get(name, ())]
        parts += [f"### {name}\n", f"{', '.join(names)}.\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
