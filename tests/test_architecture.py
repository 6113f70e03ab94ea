"""The shape of the code: floors, sizes, SQL in .sql files, optional libraries behind their opt-in."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "clawguard"
MODULES = {path.relative_to(ROOT).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

FILE_LINES = 400
FUNCTION_LINES = 60
CLASS_LINES = 300
PUBLIC_METHODS = 20

CORE = {"blinker", "cachetools", "cryptography", "jwt", "pydantic", "pydantic_core"}
COMMANDS = (
    "app", "database", "ending", "events", "history", "host", "incident", "issuing", "keys", "looking",
    "moving", "options", "output", "running",
)  # fmt: skip
PAGES = ("agents", "app", "around", "charts", "entry", "events", "keys", "revoking", "sessions")
# Module -> the optional libraries it is the opt-in for. Nothing else may import them.
OPT_IN: dict[str, set[str]] = {
    "clawguard/agents/fastmcp.py": {"fastmcp"},
    "clawguard/agents/langgraph.py": {"langgraph_sdk"},
    "clawguard/agents/mcp.py": {"mcp"},
    "clawguard/agents/openai.py": {"agents"},
    "clawguard/agents/openai_calls.py": {"agents"},
    "clawguard/agents/pydantic_ai.py": {"pydantic_ai"},
    **{f"clawguard/cli/{name}.py": {"rich", "typer"} for name in COMMANDS},
    "clawguard/cli/settings.py": {"pydantic_settings"},
    "clawguard/otel.py": {"opentelemetry"},
    "clawguard/relays/jetstream.py": {"nats"},
    "clawguard/relays/redis.py": {"redis"},
    "clawguard/relays/redis_pool.py": {"redis"},
    "clawguard/store/postgres/connections.py": {"psycopg"},
    "clawguard/store/postgres/hints.py": {"psycopg"},
    "clawguard/store/postgres/pipeline.py": {"psycopg"},
    "clawguard/store/postgres/store.py": {"psycopg"},
    "clawguard/store/postgres/transaction.py": {"psycopg"},
    "clawguard/server/agents.py": {"fastapi"},
    "clawguard/server/app.py": {"fastapi"},
    "clawguard/server/bodies.py": {"fastapi", "starlette"},
    "clawguard/server/boundary.py": {"starlette", "structlog"},
    "clawguard/server/callers.py": {"fastapi", "starlette"},
    "clawguard/server/checking.py": {"fastapi"},
    **{f"clawguard/server/console/{name}.py": {"fastapi", "starlette"} for name in PAGES},
    "clawguard/server/console/sheets.py": {"fastapi", "jinja2", "markupsafe", "starlette"},
    "clawguard/server/events.py": {"fastapi", "starlette"},
    "clawguard/server/forms.py": {"fastapi", "starlette"},
    "clawguard/server/health.py": {"fastapi", "starlette"},
    "clawguard/server/history.py": {"fastapi"},
    "clawguard/server/keys.py": {"fastapi"},
    "clawguard/server/logs.py": {"structlog"},
    "clawguard/server/metrics.py": {"prometheus_client"},
    "clawguard/server/oauth.py": {"fastapi", "starlette"},
    "clawguard/server/problems.py": {"fastapi", "starlette"},
    "clawguard/server/rates.py": {"limits"},
    "clawguard/server/running.py": {"uvicorn"},
    "clawguard/server/sessions.py": {"fastapi"},
    "clawguard/server/settings.py": {"limits"},
    "clawguard/server/state.py": {"starlette"},
    "clawguard/server/wellknown.py": {"fastapi"},
    "clawguard/web/django.py": {"asgiref", "django"},
    "clawguard/web/drf.py": {"rest_framework"},
    "clawguard/web/fastapi.py": {"fastapi", "starlette"},
    "clawguard/web/flask.py": {"flask"},
    "clawguard/web/starlette.py": {"starlette"},
}
# Only to say it twice: none of these may even be looked for by `import clawguard`.
OPTIONAL = {
    "a2a", "agents", "asyncpg", "click", "django", "fastapi", "fastmcp", "flask", "google", "httpx", "jinja2",
    "langgraph", "langgraph_sdk", "mcp", "nats", "openai", "opentelemetry", "prometheus_client", "psycopg",
    "psycopg_pool", "pydantic_ai", "pydantic_settings", "redis", "rest_framework", "rich", "sqlalchemy",
    "starlette", "typer", "uvicorn",
    "limits", "markupsafe", "structlog",
}  # fmt: skip


class Allowance(NamedTuple):
    """Let one class pass a limit, for a reason that a reader can weigh."""

    lines: int
    public_methods: int
    reason: str


# "module path:Class" -> what it may have. An entry that is no longer needed is a failure too.
ALLOWED: dict[str, Allowance] = {
    "clawguard/sessions/manager.py:SessionManager": Allowance(
        380, 28, "one verb a method, each a few lines over a module of its own; the ancestors' names are kept"
    ),
}

# What a statement looks like, in any case of letters; prose ("create a session first") does not.
STATEMENT = re.compile(
    r"""\s* (?: SELECT \s
              | INSERT \s+ (OR \s+ \w+ \s+)? INTO \b
              | REPLACE \s+ INTO \b
              | UPDATE \s+ (OR \s+ \w+ \s+)? [\w."{}]+ \s+ (AS \s+ \w+ \s+)? SET \b
              | DELETE \s+ FROM \b
              | WITH \s+ (RECURSIVE \s+)? \w+ \s* (\([^)]*\) \s*)? AS \s* (NOT \s+)? (MATERIALIZED \s*)? \(
              | (CREATE|DROP|ALTER) \s+ ((TEMP|TEMPORARY|UNIQUE|VIRTUAL) \s+)? (TABLE|INDEX|VIEW|TRIGGER) \b
            )""",
    re.IGNORECASE | re.VERBOSE,
)
HOUSEKEEPING = re.compile(
    r"\s*(?:PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|VACUUM|ATTACH|DETACH)\b(?![:=])"
)
HOUSEKEEPERS = {
    f"clawguard/store/{name}.py"
    for name in (
        "condition",
        "connections",
        "copies",
        "migrate",
        "postgres/transaction",
        "sqlite",
        "transaction",
    )
}

FunctionDef = ast.FunctionDef | ast.AsyncFunctionDef


def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"), filename=module)


def docstring_of(node: ast.Module | ast.ClassDef | FunctionDef) -> ast.Expr | None:
    first = node.body[0] if node.body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        return first
    return None


def height(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def function_lines(node: FunctionDef) -> int:
    """Count from `def` to the last line; a docstring costs nothing, so that nobody saves on it."""
    docstring = docstring_of(node)
    return height(node) - (height(docstring) if docstring else 0)


def public_methods(node: ast.ClassDef) -> set[str]:
    return {
        member.name
        for member in node.body
        if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef) and not member.name.startswith("_")
    }


def statements_in(tree: ast.Module, pattern: re.Pattern[str]) -> Iterator[str]:
    """Yield the string literals, docstrings left out, that begin as `pattern` does."""
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    prose = {
        id(docstring.value)
        for node in ast.walk(tree)
        if isinstance(node, holders) and (docstring := docstring_of(node)) is not None
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in prose:
            continue
        if pattern.match(node.value):
            yield f"line {node.lineno}: {node.value[:60]!r}"


def imports_in(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module, node.lineno


def classes() -> Iterator[tuple[str, ast.ClassDef]]:
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                yield f"{module}:{node.name}", node


def test_imports_keep_the_floors() -> None:
    command = (
        "from importlinter.cli import lint_imports as run; raise SystemExit(run(no_cache=True, no_logo=True))"
    )
    run = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("module", MODULES)
def test_files_are_short(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= FILE_LINES


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short(module: str) -> None:
    functions = (node for node in ast.walk(tree_of(module)) if isinstance(node, FunctionDef))
    long = [
        f"{node.name}: {function_lines(node)}" for node in functions if function_lines(node) > FUNCTION_LINES
    ]
    assert not long


def test_classes_are_small() -> None:
    default = Allowance(CLASS_LINES, PUBLIC_METHODS, "")
    large = []
    for name, node in classes():
        allowed = ALLOWED.get(name, default)
        lines, methods = height(node), len(public_methods(node))
        if lines > allowed.lines or methods > allowed.public_methods:
            large.append(f"{name}: {lines} lines, {methods} public methods")
    assert not large


def test_every_allowance_is_needed() -> None:
    found = dict(classes())
    for name, allowed in ALLOWED.items():
        assert name in found, f"{name} is gone"
        lines, methods = height(found[name]), len(public_methods(found[name]))
        assert lines > CLASS_LINES or methods > PUBLIC_METHODS, f"{name} is small enough by now"
        assert len(allowed.reason) > 20, f"{name} has no reason"


@pytest.mark.parametrize("module", MODULES)
def test_sql_stands_in_sql_files(module: str) -> None:
    assert not list(statements_in(tree_of(module), STATEMENT))


@pytest.mark.parametrize("module", sorted(MODULES.keys() - HOUSEKEEPERS))
def test_only_the_connection_speaks_pragma(module: str) -> None:
    assert not list(statements_in(tree_of(module), HOUSEKEEPING))


@pytest.mark.parametrize(
    "planted",
    [
        "query = 'select 1'",
        "query = '''\n  UPDATE sessions SET ended_at = :at'''",
        "query = f'delete from {table}'",
        "query = 'WITH RECURSIVE below(id) AS (VALUES (1))'",
        "query = 'Insert or ignore into agents VALUES (?)'",
        "query = 'CREATE UNIQUE INDEX one ON sessions(id)'",
    ],
)
def test_planted_sql_is_found(planted: str) -> None:
    assert list(statements_in(ast.parse(planted), STATEMENT))


@pytest.mark.parametrize(
    "prose",
    [
        '"""Select the session, with its parent."""',
        "hint = 'create a session first'",
        "hint = 'with a key, one live session only'",
        "hint = 'update the package'",
        "hint = 'delete the file'",
        "kind = 'insert'",
    ],
)
def test_prose_is_not_taken_for_sql(prose: str) -> None:
    assert not list(statements_in(ast.parse(prose), STATEMENT))


@pytest.mark.parametrize("module", MODULES)
def test_libraries_are_imported_where_they_may_be(module: str) -> None:
    allowed = sys.stdlib_module_names | CORE | OPT_IN.get(module, set()) | {"clawguard"}
    foreign = [
        f"line {at}: {name}" for name, at in imports_in(tree_of(module)) if name.split(".")[0] not in allowed
    ]
    assert not foreign


@pytest.mark.parametrize("module", sorted(m for m in MODULES if not m.startswith("clawguard/cli")))
def test_nothing_inside_imports_the_facade(module: str) -> None:
    """`from clawguard import X` would turn every floor into a neighbour of the top one."""
    if module == "clawguard/__main__.py":
        return
    assert not [f"line {at}" for name, at in imports_in(tree_of(module)) if name == "clawguard"]


def test_importing_the_package_looks_for_no_optional_library() -> None:
    command = """
import importlib.abc, json, sys

class Recorder(importlib.abc.MetaPathFinder):
    looked_for = set()
    def find_spec(self, name, path=None, target=None):
        self.looked_for.add(name.partition(".")[0])

sys.meta_path.insert(0, Recorder())
import clawguard
print(json.dumps(sorted(Recorder.looked_for)))
"""
    run = subprocess.run(
        [sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not OPTIONAL & set(json.loads(run.stdout))
