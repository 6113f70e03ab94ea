"""The `clawguard` command. `demo` needs nothing beyond the core, every other command the extra `cli`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]

_INSTALL = "pip install 'clawguard-sessions[cli]'"
_USAGE = f"""\
usage: clawguard demo [--keep]

  demo    watch agents in processes of their own get sessions, use them on an HTTP tool, and lose them
          --keep leaves the demo's folder, with its database, in place

The other commands (create, list, revoke, events, ...) need: {_INSTALL}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: see `clawguard.cli.faults`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        from clawguard.cli.app import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "clawguard":
            raise
        return _run_without_extra(arguments)
    return run(arguments)


def _run_without_extra(arguments: list[str]) -> int:
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
