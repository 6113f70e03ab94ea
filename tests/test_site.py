"""The site: what `make site` would refuse and can be told without building it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

import clawguard

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
BESIDE = {
    "index.md",
    "security.md",
    "releases.md",
}  # README, SECURITY and CHANGELOG, as docs/.site/hooks.py shows them
RENDERED = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)


def entries(part: Any) -> Iterator[str]:
    """Return the pages of a part of the navigation."""
    if isinstance(part, str):
        yield from (path.relative_to(DOCS).as_posix() for path in DOCS.glob(part)) if "*" in part else (part,)
    else:
        for below in part.values() if isinstance(part, dict) else part:
            yield from entries(below)


def navigation() -> list[str]:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    return list(entries(config["nav"]))


def rendered() -> list[str]:
    pages = (DOCS / "reference" / "python").glob("*.md")
    return [name for page in pages for name in RENDERED.findall(page.read_text(encoding="utf-8"))]


def test_every_page_stands_in_the_navigation_once() -> None:
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")} | BESIDE
    assert Counter(navigation()) == Counter(pages)


def test_the_reference_has_every_public_name_once() -> None:
    names = Counter(name for name in rendered() if name.count(".") == 1)
    assert names == Counter(f"clawguard.{name}" for name in clawguard.__all__)


def test_what_the_reference_renders_is_there() -> None:
    """By reading: some of it needs a library that is not installed."""
    for name in rendered():
        module, _, attribute = name.rpartition(".")
        folder = ROOT.joinpath(*module.split("."))
        file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
        assert attribute in exported(file), f"{name}: {file.name} exports no {attribute}"


def exported(module: Path) -> list[str]:
    """Return what a module's `__all__` lists."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed: list[str] = ast.literal_eval(node.value)
            return listed
    return []
