"""Whatever stands in an option, the answer is one of the documented ones, and never a surprise."""

from __future__ import annotations

from typing import Any

import pytest
import typer.main
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clawguard.cli import main
from clawguard.cli.app import app
from clawguard.cli.faults import Exit
from tests.cli.commands import Cli
from tests.cli.reference import commands

LONG_WINDED = {"demo", "bench", "serve"}
VALUES = (
    "",
    " ",
    "0",
    "-1",
    "9" * 30,
    "\x00",
    "a\x1b[2J",
    "\u2028",
    "\ud800",
    "x" * 70_000,
    "../..",
    "-",
    "nan",
    "[]",
)
NEEDED = {
    "create": ["a"], "delegate": ["a", "--parent", "x"], "show": ["x"], "tree": ["x"], "refresh": ["x"],
    "revoke": ["x"], "purge": ["--older-than", "1d"], "incident": ["--session", "x"],
    "events archive": ["--before", "1d", "--to", "a.ndjson"], "events replay": ["x"], "events forget": ["x"],
    "history tail": ["x"], "history search": ["x"], "history wrap-up": ["x"], "history export": ["x", "f"],
    "history import": ["x", "f"], "history delete": ["x"], "history cleanup": ["--idle-for", "1d"],
    "db backup": ["b.db"], "db restore": ["b.db"], "db copy": ["b.db", "c.db"],
}  # fmt: skip


def places() -> list[tuple[str, str | None]]:
    """Return every command with each of its options that takes a value, and with None for its arguments."""
    found: list[tuple[str, str | None]] = []
    for name, command in commands(typer.main.get_command(app)):
        if name in LONG_WINDED:
            continue
        options: list[Any] = [
            each for each in command.params if each.param_type_name == "option" and not each.is_flag
        ]
        found += [(name, max(each.opts, key=len)) for each in options]
        found += [(name, None)] if name in NEEDED else []
    return found


def typed(place: tuple[str, str | None], value: str) -> list[str]:
    name, option = place
    needed = NEEDED.get(name, [])
    if option is None:
        return [*name.split(), *[value if each == needed[0] else each for each in needed]]
    return [*name.split(), *needed, f"{option}={value}"]


@pytest.mark.slow
@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(places()), value=st.sampled_from(VALUES))
def test_any_value_gets_a_documented_answer(place: tuple[str, str | None], value: str, cli: Cli) -> None:
    code = main(typed(place, value))
    assert code in set(Exit) - {Exit.FAULT}
