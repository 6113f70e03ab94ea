"""The `clawguard` command. The demo needs nothing beyond the core; further commands come with an extra."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_USAGE = """\
usage: clawguard demo [--keep]

  demo    watch agents in processes of their own get sessions, use them on an HTTP tool, and lose them
          --keep leaves the demo's folder, with its database, in place

The other commands (create, list, revoke, events, ...) come with a later release, in an extra of their own.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 not understood."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments in (["-h"], ["--help"]):
        print(_USAGE, end="")
        return 0
    if arguments not in (["demo"], ["demo", "--keep"]):
        print(_USAGE, end="", file=sys.stderr)
        return 2
    from clawguard.cli.demo import run

    try:
        return run(keep="--keep" in arguments)
    except KeyboardInterrupt:
        return 130
