"""Read a policy from TOML or a dict; each fault is one error that names the line and the key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.policy import Policy

__all__ = ["PolicySource", "load_policy"]

PolicySource = Policy | Mapping[str, Any] | str | os.PathLike[str]

_MAX_BYTES = 262_144
_MAX_LINE = 8_192
_MAX_DEPTH = 16
_HEADER = re.compile(r"\s*(\[\[?)([^\[\]#]+)\]")
_KEY = re.compile(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"[\w-]+|\"([^\"]*)\"|'([^']*)'")

Key = tuple[str | int, ...]


def load_policy(source: PolicySource) -> Policy:
    """Return the policy that a TOML file (by its path), a dict or a policy says.

    Raises ConfigError for the first fault, with its line (of a file) and its key.
    """
    if isinstance(source, Policy):
        return source
    if isinstance(source, Mapping):
        return _check(dict(source), text=None)
    if not isinstance(source, str | os.PathLike):
        raise InvalidArgument("policy", "must be the path of a TOML file, a dict or a Policy")
    import tomllib  # here, and pydantic below: an import of the package does not pay for them

    text = _read(Path(source))
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, and deep nesting
        said = str(error) if isinstance(error, tomllib.TOMLDecodeError) else type(error).__name__
        raise ConfigError(f"the policy is not TOML that can be read: {said}") from None
    return _check(tree, text=text)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise ConfigError(f"the policy cannot be read: {error.strerror}", hint=f"look at {path}") from None
    except UnicodeDecodeError:
        raise ConfigError("the policy is not UTF-8 text") from None
    except ValueError:
        raise InvalidArgument("policy", "holds characters that no file name has") from None
    if len(data) > _MAX_BYTES or max(map(len, data.splitlines()), default=0) > _MAX_LINE:
        raise ConfigError(f"the policy is over {_MAX_BYTES} bytes, or has a line over {_MAX_LINE}")
    return text


def _check(tree: dict[str, Any], *, text: str | None) -> Policy:
    from pydantic import ValidationError

    from clawguard.guard.policy_wire import PolicyModel

    if _depth(tree) > _MAX_DEPTH:
        raise ConfigError(f"the policy is nested more than {_MAX_DEPTH} deep")
    try:
        policy = Policy.from_model(PolicyModel.model_validate(tree))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        key = tuple(each for each in first["loc"] if each != "[key]")  # pydantic's word for a bad name
        raise _fault(key, first["msg"].removeprefix("Value error, "), text) from None
    for key, what in _loose_ends(policy.to_dict()):
        raise _fault(key, what, text)
    return policy


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= _MAX_DEPTH:
        deepest += 1
        level = [
            inner
            for each in level
            if isinstance(each, Mapping | list)
            for inner in (each.values() if isinstance(each, Mapping) else each)
        ]
    return deepest


def _fault(key: Key, what: str, text: str | None) -> ConfigError:
    shown = "".join(f"[{each}]" if isinstance(each, int) else f".{_shown(each)}" for each in key).lstrip(".")
    where = "" if text is None else f"line {_line_of(text, key)}, "
    return ConfigError(f"the policy, {where}{shown or 'as a whole'}: {what}")


def _shown(name: str) -> str:
    return name if name.isprintable() else repr(name)


def _loose_ends(tree: dict[str, Any]) -> Iterator[tuple[Key, str]]:
    """Yield names given twice, and roles and tasks that are named and nowhere defined."""
    for table in ("rules", "grants"):
        seen = set()
        for place, each in enumerate(tree.get(table, ())):
            if each["name"] in seen:
                yield (table, place, "name"), f"{each['name']!r} is another one's name"
            seen.add(each["name"])
    for kind, table in (("role", "roles"), ("task", "tasks")):
        known = tree.get(table) or {}
        for key, names in _named(tree, kind) if known else ():
            for name in names:
                if name not in known:
                    yield key, f"there is no {kind} {name!r}"


def _named(tree: dict[str, Any], kind: str) -> Iterator[tuple[Key, list[str]]]:
    if kind == "role":
        for name, role in tree.get("roles", {}).items():
            yield ("roles", name, "may_become"), role.get("may_become") or []
        for place, grant in enumerate(tree.get("grants", ())):
            for end in ("from_role", "to_role"):
                yield ("grants", place, end), grant.get(end) or []
    for place, rule in enumerate(tree.get("rules", ())):
        yield from _named_when(rule.get("when") or {}, kind, ("rules", place, "when"))


def _named_when(when: dict[str, Any], kind: str, key: Key) -> Iterator[tuple[Key, list[str]]]:
    yield (*key, kind), when.get(kind) or []
    for part in ("all", "any", "none"):
        for place, each in enumerate(when.get(part) or ()):
            yield from _named_when(each, kind, (*key, part, place))


def _line_of(text: str, key: Key) -> int:
    """Return the line of a key, or of the nearest thing around it that has one."""
    best, found = 0, 1
    for number, at in _keys_by_line(text):
        if len(at) > best and at == key[: len(at)]:
            best, found = len(at), number
    return found


def _keys_by_line(text: str) -> Iterator[tuple[int, Key]]:
    counts: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        header = _HEADER.match(line)
        if header:
            table = _table(header, counts)
            yield number, table
        elif found := _KEY.match(line):
            yield number, table + _parts(found[1])


def _table(header: re.Match[str], counts: dict[Key, int]) -> Key:
    """Return where a header points: each array of tables before it stands at its latest place."""
    key: Key = ()
    parts = _parts(header[2])
    for place, part in enumerate(parts, 1):
        key = (*key, part)
        if place == len(parts) and header[1] == "[[":
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


def _parts(text: str) -> Key:
    return tuple(
        next((quoted for quoted in match.groups() if quoted is not None), match[0])
        for match in _PART.finditer(text)
    )
