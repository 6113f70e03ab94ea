"""What MkDocs is told: pages beside docs/, GitHub's anchors, every decision in the navigation."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# What stands in the project's folder, and as what the site shows it.
BESIDE = {
    "README.md": "index.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "releases.md",
    "LICENSE": "LICENSE",
}
SHOWN_FROM = {shown: name for name, shown in BESIDE.items()}
LINK = re.compile(r"(\[[^\]]*\]\()([^)\s]+)(\))")
# What a browser fetches by itself; a link is followed by a reader.
ASKS = re.compile(r"""<(?:script|img|link|iframe|source)\b[^>]*\b(?:src|href)=["']?(?:https?:)?//[^>]*""")
FENCED = re.compile(r"^(```.*?^```)", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Have headings get the anchors that GitHub gives them, and patterns in the navigation their pages."""
    config.mdx_configs["toc"]["slugify"] = slug
    config.nav = list(_spread(config.nav or []))
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that stand beside docs/."""
    for name, shown in BESIDE.items():
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, shown, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Have links lead to pages where the site has them."""
    shown = page.file.src_uri
    here = SHOWN_FROM.get(shown, f"docs/{shown}")

    def lead(match: re.Match[str]) -> str:
        return f"{match[1]}{_target(match[2], here=here, shown=shown)}{match[3]}"

    parts = FENCED.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in parts)


def on_post_page(output: str, *, page: Page, **_: Any) -> str:
    """Refuse a page that would ask another host for anything."""
    asked = ASKS.search(output)
    if asked:
        raise PluginError(f"{page.file.src_uri} asks another host: {asked[0]}")
    return output


def slug(title: str, _separator: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _target(target: str, *, here: str, shown: str) -> str:
    path, mark, anchor = target.partition("#")
    if not path or "://" in target:
        return target
    meant = posixpath.normpath(posixpath.join(posixpath.dirname(here), path))
    if meant in BESIDE:
        there = BESIDE[meant]
    elif meant.startswith("docs/"):
        there = meant.removeprefix("docs/")
    else:
        return target  # MkDocs finds nothing there, and says so
    return posixpath.relpath(there, posixpath.dirname(shown) or ".") + mark + anchor


def _spread(entries: list[Any]) -> Iterator[Any]:
    for entry in entries:
        if isinstance(entry, dict):
            yield {
                title: list(_spread(part)) if isinstance(part, list) else part
                for title, part in entry.items()
            }
        elif "*" in entry:
            yield from (
                path.relative_to(ROOT / "docs").as_posix() for path in sorted((ROOT / "docs").glob(entry))
            )
        else:
            yield entry
