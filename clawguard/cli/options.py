"""Options and arguments that several commands have, each said once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "Actor",
    "After",
    "Agent",
    "DryRun",
    "Idle",
    "Json",
    "Key",
    "Limit",
    "MaxUses",
    "Metadata",
    "Name",
    "NoDelegate",
    "Out",
    "Reason",
    "Refreshable",
    "RequestId",
    "Role",
    "Scope",
    "SessionId",
    "Task",
    "TokenOnly",
    "Ttl",
    "Types",
    "Workspace",
    "Yes",
]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, in the shape that the reference tells.")]
Workspace = Annotated[
    str | None,
    typer.Option(
        "--workspace", "-w", metavar="NAME", help="Of this workspace; by default that of the settings."
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, and say what would change.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
Reason = Annotated[
    str | None, typer.Option("--reason", "-r", metavar="TEXT", help="Why; it stands in the log for good.")
]
Actor = Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Who did it, for the log.")]

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]
Agent = Annotated[str, typer.Argument(metavar="AGENT", help="The agent's id.")]
Scope = Annotated[
    list[str] | None,
    typer.Option("--scope", "-s", metavar="SCOPE", help="A scope, or several apart by blanks; repeatable."),
]
Ttl = Annotated[
    str | None,
    typer.Option("--ttl", "-t", metavar="DURATION", help="How long at most: 90, 15m, 1h30m, 7d."),
]
Idle = Annotated[
    str | None,
    typer.Option("--idle-timeout", metavar="DURATION", help="How long it may go without being used."),
]
Role = Annotated[str | None, typer.Option("--role", metavar="ROLE", help="Its role, as the policy knows it.")]
Task = Annotated[str | None, typer.Option("--task-type", metavar="TASK", help="What kind of task it is for.")]
Key = Annotated[
    str | None, typer.Option("--key", metavar="KEY", help="A handle, unique among live sessions.")
]
Name = Annotated[str | None, typer.Option("--name", metavar="TEXT", help="What people call it.")]
MaxUses = Annotated[
    int | None, typer.Option("--max-uses", metavar="N", help="How often its tokens may be validated.")
]
NoDelegate = Annotated[bool, typer.Option("--no-delegate", help="It may have no children.")]
Refreshable = Annotated[bool, typer.Option("--refreshable", help="Give a refresh token too.")]
Metadata = Annotated[
    str | None, typer.Option("--metadata", metavar="JSON", help="A JSON object to keep with it.")
]
RequestId = Annotated[
    str | None,
    typer.Option("--request-id", metavar="ID", help="The same one gives the same session again."),
]
TokenOnly = Annotated[bool, typer.Option("--token-only", help="Print the token and nothing else.")]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help="Write the token into a file (0600) instead of printing it."
    ),
]

Types = Annotated[
    list[str] | None,
    typer.Option("--type", metavar="PATTERN", help="Events of this type, or such as session.*; repeatable."),
]
After = Annotated[int | None, typer.Option("--after", metavar="N", help="Begin behind the event N.")]
Limit = Annotated[int, typer.Option("--limit", "-n", metavar="N", help="At most so many.")]
