"""Write the reference of the HTTP endpoints from their OpenAPI: `python -m tests.server.http_page`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from clawguard import SessionManager
from clawguard.server import create_app
from clawguard.server.callers import SCOPES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "http.md"
HEAD = """# HTTP

What a server answers, written from its OpenAPI (`/openapi.json`) by `make reference`. How to run one and what
its callers may do: [Serve over HTTP](../howto/serve.md). Bodies are JSON, but for the OAuth endpoints, which
take forms. A member with a question mark may be left out. Beside the statuses listed, every endpoint may
answer 408, 413, 500 and 503.
"""
EVERYWHERE = {"408", "413", "500", "503"}
_REF = "#/components/schemas/"


def page() -> str:
    """Return the whole page."""
    with SessionManager.open(":memory:", sweep_every=None) as manager:
        told = create_app(manager).openapi()
    return "".join([HEAD, *_endpoints(told), *_models(told), *_scopes()])


def _endpoints(told: dict[str, Any]) -> Iterator[str]:
    tag = ""
    operations = [
        (path, method.upper(), each)
        for path, methods in told["paths"].items()
        for method, each in methods.items()
    ]
    for path, method, each in operations:
        if each["tags"][0] != tag:
            tag = each["tags"][0]
            yield f"\n## {'OAuth' if tag == 'oauth' else tag.capitalize()}\n"
        yield f"\n### `{method} {path}`\n\n{each['description']}\n\n| | |\n|---|---|\n"
        yield f"| scope | {_needs(each)} |\n"
        yield from _taken(each)
        yield f"| answers | {_answers(each)} |\n"


def _needs(operation: dict[str, Any]) -> str:
    schemes = operation.get("security", [{}])
    if {} in schemes:
        return "none; no token is needed" if len(schemes) == 1 else "none; a token may be sent"
    return " ".join(f"`{scope}`" for scheme in schemes for scope in scheme["Clawguard"])


def _taken(operation: dict[str, Any]) -> Iterator[str]:
    for place in ("query", "header"):
        names = [
            f"`{each['name']}`{'' if each.get('required') else '?'}"
            for each in operation.get("parameters", ())
            if each["in"] == place
        ]
        if names:
            yield f"| {place} | {', '.join(names)} |\n"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        what = "form" if "form" in kind else "body"
        members = _members(schema) if "properties" in schema else _type(schema)
        yield f"| {what} | {members} |\n"


def _answers(operation: dict[str, Any]) -> str:
    told = []
    for status, answer in operation["responses"].items():
        if status in EVERYWHERE:
            continue
        schemas = [each["schema"] for each in answer.get("content", {}).values() if "schema" in each]
        is_good = status[0] == "2" and schemas
        told.append(f"{status} ({_type(schemas[0])})" if is_good else status)
    return ", ".join(told)


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f"[{name}](#{name.lower()})"
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return " or ".join(_type(each) for each in schema[several] if each.get("type") != "null")
    if "const" in schema:
        return f"`{schema['const']}`".replace("True", "true")
    if "enum" in schema:
        return ", ".join(f"`{each}`" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type", "anything")).replace("printable-text", "text")


def _members(schema: dict[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    return ", ".join(f"`{name}`{'' if name in needed else '?'}" for name in schema["properties"])


def _models(told: dict[str, Any]) -> Iterator[str]:
    yield "\n## What is sent and answered\n"
    for name, schema in sorted(told["components"]["schemas"].items()):
        needed = set(schema.get("required", ()))
        yield f"\n### {name}\n\n{schema.get('description', '')}\n\n| member | |\n|---|---|\n"
        for member, each in schema.get("properties", {}).items():
            said = ", ".join(filter(None, (_type(each), _bounds(each), each.get("description"))))
            yield f"| `{member}`{'' if member in needed else '?'} | {said} |\n"


def _bounds(schema: dict[str, Any]) -> str:
    options = schema.get("anyOf", [schema])
    for each in options:
        least, most = (each.get(name) for name in ("minimum", "maximum"))
        if least is not None or most is not None:
            return f"{'' if least is None else least} to {'' if most is None else most}".strip()
        if "maxLength" in each:
            return f"at most {each['maxLength']} characters"
        if "maxItems" in each:
            return f"at most {each['maxItems']}"
    return ""


def _scopes() -> Iterator[str]:
    yield "\n## Scopes of callers\n\nEach in the caller's own workspace.\n\n| scope | to |\n|---|---|\n"
    for scope, what in SCOPES.items():
        yield f"| `{scope}` | {what} |\n"


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
