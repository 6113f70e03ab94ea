"""The OpenAPI: every operation asked for what it allows and what it does not, each answer held to it."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, seed, settings, strategies
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from clawguard import IssuedSession, SessionManager
from clawguard.checks import is_text, is_token
from clawguard.clock import SystemClock
from clawguard.errors import AccessDenied
from clawguard.server import Settings, create_app
from clawguard.server.callers import SCOPES
from tests.openers import open_manager
from tests.server import http_page

SHORT, LONG = 3, 55  # cases for each operation and mode
OFTEN = Settings(token_rate="1000000/second", check_rate="1000000/second")

# What no schema can say, such as a token that is none or a cursor of another listing, is answered with 400.
CONFIG = {
    "checks": {
        "positive_data_acceptance": {
            "expected-statuses": ["2xx", "400", "401", "403", "404", "409", "410"],
        },
        "negative_data_rejection": {"expected-statuses": ["400", "401", "403", "404", "405", "413", "422"]},
    }
}

PRINTABLE = strategies.text(min_size=1, max_size=60).filter(lambda text: is_text(text) and not is_token(text))
schemathesis.openapi.format("printable-text", PRINTABLE)


class Fuzzed:
    """Hold a server that is asked anything, and its admin, made anew whenever it has been ended."""

    def __init__(self, manager: SessionManager) -> None:
        self.manager = manager
        self.app = create_app(manager, settings=OFTEN)
        config = SchemathesisConfig.from_dict(CONFIG)
        self.schema = schemathesis.openapi.from_asgi("/openapi.json", self.app, config=config)
        self.statuses: Counter[int] = Counter()
        self._admin: IssuedSession | None = None
        self._some: IssuedSession | None = None

    @property
    def admin(self) -> IssuedSession:
        self._admin = self._live(self._admin, "*")
        return self._admin

    @property
    def some(self) -> IssuedSession:
        """A session with a conversation."""
        before = self._some
        self._some = self._live(before, "docs:*")
        if self._some is not before:
            self.manager.history.append(self._some, {"role": "user", "content": "the invoice"})
        return self._some

    def _live(self, session: IssuedSession | None, scopes: str) -> IssuedSession:
        try:
            assert session is not None
            self.manager.validate(session.token)
        except (AccessDenied, AssertionError):
            return self.manager.create("host", scopes=scopes)
        return session

    def ask(self, operation: Any, mode: GenerationMode, count: int) -> None:
        """Ask one operation so often; every answer is held to all checks."""

        @seed(7)
        @settings(
            max_examples=count,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(generation_mode=mode), strategies.booleans())
        def asked(case: Any, is_known: bool) -> None:
            is_good = mode is GenerationMode.POSITIVE
            assume(is_good or not any(map(is_lost_on_the_way, case.query.values())))
            if is_good and is_known and case.path_parameters:
                case.path_parameters["session_id"] = self.some.id
            if case.path.endswith(("/stream", "/lines")) and (is_good or is_patience(case.query)):
                case.query["idle"] = 0  # else it would go on
            answer = case.call_and_validate(headers=self.admin.headers())
            self.statuses[answer.status_code] += 1

        asked()


def is_lost_on_the_way(value: object) -> bool:
    """Tell whether a query shows nothing of this, or shows a list of one as its one item."""
    return isinstance(value, list | dict) and len(value) < 2


def is_patience(query: dict[str, Any]) -> bool:
    """Tell whether a stream that is asked for with this would go on for a while."""
    try:
        return float(query.get("idle", 1)) > 0
    except (TypeError, ValueError):
        return False


def fuzz(count: int) -> Counter[int]:
    with open_manager(clock=SystemClock()) as manager:  # type: ignore[arg-type]
        fuzzed = Fuzzed(manager)
        found: Any = fuzzed.schema.get_all_operations()
        operations = [each.ok() for each in found]
        for operation in operations:
            for mode in GenerationMode:
                if mode is GenerationMode.POSITIVE or operation.body or operation.query:
                    fuzzed.ask(operation, mode, count)
        print(f"\n{len(operations)} operations, {fuzzed.statuses.total()} cases: {dict(fuzzed.statuses)}")
        return fuzzed.statuses


def test_no_answer_is_undocumented_or_a_fault_of_the_server() -> None:
    statuses = fuzz(SHORT)
    assert statuses.total() >= 90
    assert {200, 201, 404, 422} <= statuses.keys()
    assert not [each for each in statuses if each >= 500]


@pytest.mark.torture
@pytest.mark.timeout(1_800)
def test_no_answer_of_two_thousand_is_undocumented_or_a_fault_of_the_server() -> None:
    statuses = fuzz(LONG)
    assert statuses.total() >= 2_000
    assert not [each for each in statuses if each >= 500]


# What a reader of the page relies on.


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    with open_manager() as manager:
        return create_app(manager).openapi()


def test_every_operation_says_what_it_does_and_how_it_fails(page: dict[str, Any]) -> None:
    for path, methods in page["paths"].items():
        for method, told in methods.items():
            assert told["description"], path
            assert told["tags"], path
            assert "500" in told["responses"], path
            if method == "post":
                assert {"400", "413"} & told["responses"].keys(), path


def test_every_model_of_a_request_or_an_answer_is_closed(page: dict[str, Any]) -> None:
    open_ones = {"EntryAnswer"}  # a message may have fields of the host's own
    for name, schema in page["components"]["schemas"].items():
        if schema.get("type") == "object" and name not in open_ones:
            assert schema.get("additionalProperties") is False, name


def test_every_body_of_the_page_has_an_example_that_fits(page: dict[str, Any]) -> None:
    schemas = page["components"]["schemas"]
    bodies = set()
    for methods in page["paths"].values():
        for told in methods.values():
            content = told.get("requestBody", {}).get("content", {}).get("application/json", {})
            schema = content.get("schema", {})
            bodies |= {each["$ref"].rpartition("/")[2] for each in schema.get("anyOf", [schema]) if each}
    assert len(bodies) >= 10
    for name in bodies:
        (shown,) = schemas[name]["examples"]
        validator = Draft202012Validator({"$ref": f"#/components/schemas/{name}", **page})
        assert list(validator.iter_errors(shown)) == [], name


def test_every_scope_that_an_operation_needs_is_one_that_is_listed(page: dict[str, Any]) -> None:
    needed = {
        scope
        for methods in page["paths"].values()
        for told in methods.values()
        for scheme in told.get("security", ())
        for scope in scheme.get("Clawguard", ())
    }
    assert needed | {"clawguard:admin"} == set(SCOPES)


def test_only_what_must_be_is_open_to_everybody(page: dict[str, Any]) -> None:
    everybody = {
        path for path, methods in page["paths"].items() for told in methods.values() if "security" not in told
    }
    assert all(re.match(r"/health/|/\.well-known/", path) for path in everybody), everybody


def test_the_reference_is_what_the_server_says_of_itself() -> None:
    assert http_page.PAGE.read_text(encoding="utf-8") == http_page.page(), "run `make reference`"
