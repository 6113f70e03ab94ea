"""Load the named SQL: one shared file, a dialect's file laid over it, placeholders rewritten.

The files' form:

    -- name: session.get
    -- Read one session.
    SELECT {session_columns} FROM sessions WHERE id = :id;

`-- fragment: NAME` defines text that `{NAME}` stands for; `-- filter: NAME` a condition that a statement
with `{filters}` takes by name, joined with AND. `-- each: NAME` defines one statement for each table of a
database, `NAME.TABLE`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Any, Literal

from clawguard.store.tables import TABLES

__all__ = ["Catalog", "Statement"]

_HEAD = r"^-- (?:name|fragment|filter|each): "
_BLOCK = re.compile(
    rf"^-- (name|fragment|filter|each): (\S+)\n(?:--[^\n]*\n)*(.*?)(?={_HEAD}|\Z)", re.M | re.S
)
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")

_MARKS = {"sqlite": "?", "postgres": "%s"}

Kind = Literal["name", "fragment", "filter", "each"]


@dataclass(frozen=True)
class Statement:
    """Hold one statement with a mark for each parameter, and the parameters' names in that order."""

    name: str
    sql: str
    params: tuple[str, ...]

    @classmethod
    def of(cls, name: str, text: str, *, mark: str = "?") -> Statement:
        """Rewrite `:name` placeholders into a dialect's mark; `%s` makes any other `%` a doubled one."""
        plain = text.replace("%", "%%") if mark == "%s" else text
        return cls(name, _PARAMETER.sub(mark, plain), tuple(_PARAMETER.findall(text)))

    def bind(self, params: dict[str, Any]) -> list[Any]:
        """Return the values in the order of the placeholders; a missing one is a KeyError."""
        return [params[name] for name in self.params]


class _Statements(dict[str, Statement]):
    """Make each statement when it is asked for; a process needs few of them."""

    def __init__(self, make: Callable[[str], Statement]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> Statement:
        made = self[name] = self._make(name)
        return made


class Catalog:
    """Find statements by name: each dialect's are laid over those of the shared file, in their order."""

    def __init__(self, *dialects: str) -> None:
        self._dialects = dialects
        self._mark = _MARKS[dialects[0]]
        self._statements = _Statements(self._statement)
        self._composed: dict[tuple[str, tuple[str, ...]], Statement] = {}

    def __getitem__(self, name: str) -> Statement:
        return self._statements[name]

    def compose(self, name: str, filters: tuple[str, ...]) -> Statement:
        """Return the statement with the named filters in the place of `{filters}`."""
        found = self._composed.get((name, filters))
        if found is None:
            conditions = " AND ".join(f"({self._texts['filter'][each]})" for each in filters) or "1 = 1"
            text = self._texts["name"][name].replace("{filters}", conditions)
            made = Statement.of(name, self._fill(text), mark=self._mark)
            found = self._composed[name, filters] = made
        return found

    @cached_property
    def _texts(self) -> dict[Kind, dict[str, str]]:
        texts: dict[Kind, dict[str, str]] = {"name": {}, "fragment": {}, "filter": {}, "each": {}}
        for file in ("shared", *self._dialects):
            source = files("clawguard.store").joinpath("sql", f"{file}.sql").read_text("utf-8")
            for kind, name, text in _BLOCK.findall(source):
                texts[kind][name] = text.strip().removesuffix(";")
        texts["name"] |= _for_each_table(texts["each"], blob_key=texts["fragment"].get("blob_key", ""))
        return texts

    def _statement(self, name: str) -> Statement:
        text = self._texts["name"][name]
        if "{filters}" in text:
            raise KeyError(name)  # it is composed
        return Statement.of(name, self._fill(text), mark=self._mark)

    def _fill(self, text: str) -> str:
        for name, fragment in self._texts["fragment"].items():
            text = text.replace("{" + name + "}", fragment)
        return text


def _for_each_table(templates: dict[str, str], *, blob_key: str) -> dict[str, str]:
    return {
        f"{name}.{table.name}": table.fill(text, blob_key=blob_key)
        for name, text in templates.items()
        for table in TABLES
    }
