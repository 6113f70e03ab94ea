"""`demo`, `init`, `doctor`, `bench`, `serve`: setting it up, and seeing that it runs."""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from clawguard.cli import options as o
from clawguard.cli.faults import Exit
from clawguard.cli.host import asked, check_there, file_or_server, manager
from clawguard.cli.output import cell, columns, facts, print_json, progress, show, table
from clawguard.cli.values import seconds_of
from clawguard.errors import ConfigError
from clawguard.private_files import write_private

__all__ = ["bench", "demo", "doctor", "init", "serve"]

_STYLES = {"ok": "green", "warning": "yellow", "fault": "red"}
_TEMPLATE = """\
# What the clawguard command opens. CLAWGUARD_* and options win over it; paths count from this folder.
url = {url}

# audiences = ["mail"]           # further audiences that tokens may be for
# workspace = "default"
# kek_file = "secrets/kek"       # by default beside the database; back it up apart from it
# max_sessions_per_agent = 100
# lock_timeout = "5s"
"""


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the demo's folder in place.")] = False,
    as_json: o.Json = False,
) -> None:
    """Watch agents in processes of their own get sessions, use them on an HTTP tool, and lose them."""
    from clawguard.cli.demo import run

    if not as_json:
        raise typer.Exit(run(keep=keep))
    from clawguard.cli.shapes import Demo

    began = time.perf_counter()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        code = run(keep=keep)
    print_json(Demo(passed=code == 0, seconds=round(time.perf_counter() - began, 3)))
    raise typer.Exit(code)


def init(
    ctx: typer.Context,
    audience: Annotated[
        str | None, typer.Option("--audience", metavar="NAME", help="What the database's tokens are for.")
    ] = None,
    as_json: o.Json = False,
) -> None:
    """Make a database with its keys, and a clawguard.toml that names it, where there are none.

    On a PostgreSQL server the key-encryption key is to be given, and the settings file has the URL as it is.
    """
    from clawguard.cli.settings import FILE_NAME
    from clawguard.store import is_there, place_of

    path, now = file_or_server(ctx), asked(ctx)
    founded = not is_there(now.settings.url, lock_timeout=now.settings.lock_timeout)
    with manager(ctx, create=True, audience=audience) as opened:
        issuer, own = opened.issuer, opened.audience
    where = str(path) if path is not None else place_of(now.settings.url)
    written = None
    if now.file is None:
        written = Path(FILE_NAME)
        write_private(written, _TEMPLATE.format(url=json.dumps(now.settings.url)).encode())
    if as_json:
        from clawguard.cli.shapes import Initialised

        file = str(written) if written else None
        print_json(Initialised(url=where, issuer=issuer, audience=own, config=file, founded=founded))
        return
    show(
        facts(
            {
                "database": f"{where}  ({'made now' if founded else 'there already'})",
                "issuer": issuer,
                "audience": own,
                "settings": f"{written}  (made now)" if written else str(now.file),
            }
        ),
        "",
        'next: clawguard create planner --scope "docs:read" --ttl 15m',
    )


def doctor(
    ctx: typer.Context,
    production: Annotated[
        bool, typer.Option("--production", help="Take every warning for a fault, as before a deploy.")
    ] = False,
    as_json: o.Json = False,
) -> None:
    """Look at everything that can be wrong with an installation, and say how to mend it.

    The exit code is 7 where there is a fault, or with --production a warning.
    """
    from clawguard import SessionManager
    from clawguard.cli.health import examine

    path, now = check_there(ctx), asked(ctx)

    def open_manager() -> SessionManager:
        kek = now.settings.kek_source()
        return SessionManager.open(now.settings.url, kek=kek, sweep_every=None, create=False)

    found, fingerprint = examine(path, now.settings, now.file, open_manager)
    bad = {"fault", "warning"} if production else {"fault"}
    passed = not any(each.level in bad for each in found)
    if as_json:
        from clawguard.cli.shapes import Checkup, Finding

        checks = [Finding.model_validate(each._asdict()) for each in found]
        print_json(Checkup(passed=passed, fingerprint=fingerprint, checks=checks))
    else:
        for each in found:
            level = cell(each.level.ljust(7), _STYLES[each.level])
            show(columns(level, f"{each.name}: {each.says}"))
            if each.mend and each.level != "ok":
                show(columns(cell(" " * 7), f"mend it: {each.mend}"))
        show("", f"configuration {fingerprint or 'unknown'}: alike wherever this database is opened so")
        show(cell("all is well" if passed else "not all is well", "green" if passed else "red"))
    if not passed:
        raise typer.Exit(Exit.FAILED)


def bench(
    seconds: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long to measure in all.")
    ] = "10s",
    as_json: o.Json = False,
) -> None:
    """Measure what this machine makes of the main verbs, in a database of its own."""
    from clawguard.cli.selftest import measure
    from clawguard.store.condition import sqlite_version

    began, length = time.perf_counter(), seconds_of(seconds, argument="--for")
    with progress("measuring", total=6, as_json=as_json) as tell:
        rows = list(measure(length, progress=tell))
    base = rows[0].microseconds
    took = time.perf_counter() - began
    if as_json:
        from clawguard.cli.shapes import Bench, Measured

        measured = [
            Measured(what=each.what, microseconds=round(each.microseconds, 2),
                     ratio=round(each.microseconds / base, 3))
            for each in rows
        ]  # fmt: skip
        told = {"python": platform.python_version(), "sqlite": sqlite_version()}
        print_json(Bench(seconds=round(took, 1), measured=measured, **told))
        return
    lines = [
        (each.what, f"{each.microseconds:,.1f} us", f"{each.microseconds / base:.2f}",
         f"{1e6 / each.microseconds:,.0f} a second")
        for each in rows
    ]  # fmt: skip
    show(
        table(
            ("verb", "median", "in decodes", "on one thread"),
            lines,
            gives_way=("verb",),
            right=("median", "in decodes"),
        )
    )
    versions = f"Python {platform.python_version()}, SQLite {sqlite_version()}"
    show("", f"{versions}, {took:.1f} s; see docs/benchmarks.md")


def serve(
    ctx: typer.Context,
    listen: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="The address to listen at.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="The port to listen at.")] = 8425,
    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="URL", help="Where clients reach it: https://auth.example.com."),
    ] = None,
    admin_file: Annotated[
        Path | None,
        typer.Option("--admin-file", metavar="FILE", help="Where the first token goes: a new file, 0600."),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="FILE", help="A certificate chain, PEM.")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE", help="Its private key, PEM.")] = None,
    trusted_proxies: Annotated[
        str | None,
        typer.Option("--trusted-proxies", metavar="ADDRESSES", help="Whose word about callers is taken."),
    ] = None,
    as_json: o.Json = False,  # noqa: ARG001  # its logs are JSON as it is
) -> None:
    """Serve the database over HTTP: sessions, history, the log, the OAuth endpoints.

    The first start makes an admin session and prints its token, once. Logs are JSON, on standard error.
    """
    if find_spec("clawguard.server") is None or find_spec("uvicorn") is None:
        raise ConfigError(
            "the server is not installed", hint="pip install 'clawguard-sessions[server]', and run this again"
        )
    from clawguard.server import Settings
    from clawguard.server import serve as serve_open

    settings = Settings(origin=origin, workspace=asked(ctx).settings.workspace)
    with manager(ctx, create=True, sweep_every=1.0) as opened:
        serve_open(
            opened,
            host=listen,
            port=port,
            settings=settings,
            certificate=certificate,
            key=key,
            admin_file=admin_file,
            trusted_proxies=trusted_proxies,
        )
