"""What a command prints: tables and trees for people, JSON for programs, bars while a terminal waits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import typer

from clawguard.cli.faults import Exit
from clawguard.cli.values import span
from clawguard.clock import SystemClock, to_datetime

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

    from clawguard import Event

__all__ = [
    "ask",
    "cell",
    "columns",
    "counted",
    "emit",
    "event_line",
    "facts",
    "instant",
    "left",
    "plain",
    "print_json",
    "progress",
    "show",
    "table",
    "tell_count",
    "tell_done",
    "warn",
]

_EVENT_STYLES = {"session.created": "green", "session.expired": "yellow", "guard.denied": "red",
                 "token.rejected": "red", "token.reuse_detected": "red"}  # fmt: skip
_PIPED_WIDTH = 4_096  # nothing is cut off for a program that reads


def plain(value: object) -> str:
    """Return a value as one line that a terminal takes for nothing but text."""
    text = "-" if value is None else str(value)
    return "".join(
        each if each.isprintable() else " " if each in "\n\r\t" else _escaped(each) for each in text
    )


def cell(value: object, style: str = "") -> Text:
    """Return a value as text without markup, to be cut off rather than wrapped."""
    from rich.text import Text

    return Text(plain(value), style=style, no_wrap=True, overflow="ellipsis")


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number of things: `1 session`, `2 sessions`."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or f'{noun}s'}"


def instant(at: datetime | None) -> str:
    """Return an instant to the second, in UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"


def left(until: datetime) -> str:
    """Return how long it is until an instant, or since it."""
    seconds = (until - to_datetime(SystemClock().now())).total_seconds()
    return span(seconds) if seconds >= 0 else f"{span(-seconds)} ago"


def event_line(event: Event) -> Text:
    """Return an event as one line: when, number, type, who, why, and last its session."""
    who = plain(event.agent_id or event.actor)
    line = cell(f"{event.at:%H:%M:%S} #{event.seq:<4} ")
    line.append(f"{event.type:<17} ", style=_EVENT_STYLES.get(event.type, ""))
    line.append(f"{who:<9} ", style="bold")
    why = " ".join(filter(None, (event.cause, f"({event.reason})" if event.reason else None)))
    line.append(f"{plain(why)}  " if why else "")
    line.append(event.session_id or "", style="dim")
    return line


def emit(text: str) -> None:
    """Write a text to standard output, lines as they are but nothing that a terminal obeys."""
    _write(_tame(text))


def _tame(text: str) -> str:
    """Return a text of which only the ends of lines do anything: what names things may come from anywhere."""
    return "\n".join(line if line.isprintable() else plain(line) for line in text.split("\n"))


def _write(text: str) -> None:
    """Write to standard output and flush it; a reader that went away ends the command."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is buffered still goes nowhere
        raise typer.Exit(Exit.BROKEN_PIPE) from None


def print_json(value: BaseModel | Mapping[str, Any], *, line: bool = False) -> None:
    """Print one JSON document, or with `line` one line of many; characters beyond ASCII are escaped."""
    ready = dict(value) if isinstance(value, Mapping) else value.model_dump(mode="json", by_alias=True)
    emit(json.dumps(ready, indent=None if line else 2) + "\n")


def tell_count(count: int, told: str, *, as_json: bool, dry_run: bool = False) -> None:
    """Print how many there were: the number as JSON, else what is told of it."""
    if as_json:
        from clawguard.cli.shapes import Counted

        print_json(Counted(count=count, dry_run=dry_run))
    else:
        show(told)


def tell_done(done: bool, told: str, *, as_json: bool) -> None:
    """Print whether there was anything to do: that as JSON, else what is told of it."""
    if as_json:
        from clawguard.cli.shapes import Done

        print_json(Done(done=done))
    else:
        show(told)


def show(*things: RenderableType) -> None:
    """Print renderables: in colour on a terminal that has it, never cut off elsewhere."""
    from rich.text import Text

    console = _console(sys.stdout)
    with console.capture() as captured:
        for each in things:
            if isinstance(each, Text):
                console.print(_Tamed(each), no_wrap=True, overflow="ellipsis")
            elif isinstance(each, str):
                console.print(_Tamed(Text(each)), soft_wrap=True)
            else:
                console.print(_Tamed(each))
    lines = captured.get().removesuffix("\n").split("\n")
    _write("".join(f"{line.rstrip()}\n" for line in lines))


class _Tamed:
    """Render something with its own colours and no other power over a terminal."""

    def __init__(self, thing: RenderableType) -> None:
        self._thing = thing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield what the thing is made of, each piece tamed."""
        from rich.segment import Segment

        for segment in console.render(self._thing, options):
            yield Segment(_tame(segment.text), segment.style)


def warn(text: str) -> None:
    """Tell people something beside the output, on standard error."""
    print(plain(text), file=sys.stderr)


def table(
    names: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    gives_way: Sequence[str],
    right: Sequence[str] = (),
) -> RenderableType:
    """Return a table without lines; on a narrow terminal only the columns in `gives_way` are cut off.

    Those in `right` hold numbers. Without a row it is a line that says so.
    """
    if not rows:
        return cell("none", "dim")
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", show_edge=False)
    for name in names:
        side: Literal["left", "right"] = "right" if name in right else "left"
        made.add_column(cell(name.upper()), justify=side, no_wrap=name not in gives_way, overflow="ellipsis")
    for row in rows:
        made.add_row(*(each if isinstance(each, Text) else cell(each) for each in row))
    return made


def facts(pairs: Mapping[str, object]) -> RenderableType:
    """Return names and values under each other; a long value goes on in its own column."""
    kept = {name: value for name, value in pairs.items() if value is not None}
    return _pairs([(cell(name, "dim"), value) for name, value in kept.items()])


def columns(first: Text, text: str) -> RenderableType:
    """Return a word and a text beside it, which goes on in its own column."""
    return _pairs([(first, text)])


def _pairs(pairs: Sequence[tuple[Text, object]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        made.add_row(name, value if isinstance(value, Text) else Text(plain(value)))
    return made


@contextmanager
def progress(label: str, *, total: int | None = None, as_json: bool = False) -> Iterator[Callable[..., None]]:
    """Give what is to be told how far a long work is, and draw a bar where a terminal shows it."""
    if as_json or not sys.stderr.isatty():
        yield lambda *_done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
        task = bar.add_task(label, total=total)

        def tell(done: int, of: int | None = None) -> None:
            bar.update(task, completed=done, total=of if of is not None else total)

        yield tell


def ask(question: str, *, yes: bool) -> None:
    """Go on only with a yes: asked on a terminal, given by `--yes` elsewhere; else end the command."""
    from clawguard.errors import InvalidArgument

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidArgument(
            "--yes", "is needed where nobody can be asked", hint=f"the question is: {question}"
        )
    if not typer.confirm(plain(question), err=True):
        warn("nothing was changed")
        raise typer.Exit(Exit.INTERRUPTED)


def _console(file: Any) -> Console:
    from rich.console import Console

    is_terminal = bool(file.isatty())
    width = None if is_terminal else _PIPED_WIDTH
    return Console(file=file, width=width, force_terminal=is_terminal, soft_wrap=False, highlight=False)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
