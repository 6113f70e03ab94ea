"""Write the published schemas: `python -m tests.events.schema_files`."""

from __future__ import annotations

import json
from pathlib import Path

from clawguard.events.formats.ocsf import activity_of
from clawguard.events.schemas import SHAPES, schema_of

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference" / "events"
HEAD = """# Events

Each type of event has a JSON Schema (2020-12). It is of what `event.to_dict()` returns, which is also the
`data` of a CloudEvent, and `dataschema` names it. Members of `data` with a question mark are not always
there. The number at the end of a schema's name changes when what fitted before no longer would. This page
and the files beside it are written from `events/schemas.py` by `make schemas`.

| type | what happened | data | in OCSF |
|---|---|---|---|
"""
FOOT = """
A child's `session.created` is `Authentication: Service Ticket Request` in OCSF.
"""


def row(event_type: str) -> str:
    """Return the index's line on an event type."""
    shape = SHAPES[event_type][0]
    data = [*shape.data, *(f"{name}?" for name in shape.perhaps_data)]
    members = ", ".join(f"`{name}`" for name in data) or "none"
    name = f"[`{event_type}`]({event_type}.json)"
    return f"| {name} | {shape.summary} | {members} | {activity_of(event_type)} |\n"


def files() -> dict[str, str]:
    """Return every file's text by its name."""
    texts = {
        f"{event_type}.json": json.dumps(schema_of(event_type), indent=2) + "\n" for event_type in SHAPES
    }
    return texts | {"README.md": HEAD + "".join(map(row, SHAPES)) + FOOT}


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.iterdir():
        path.unlink()
    for name, text in files().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
