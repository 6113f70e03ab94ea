"""A policy file: read whole, or refused with the line and the key of its first fault."""

from __future__ import annotations

import pickle
import tomllib
from pathlib import Path
from typing import Any

import pytest

from clawguard.errors import ConfigError, InvalidArgument
from clawguard.guard.policy import Policy
from clawguard.guard.policy_file import load_policy
from clawguard.scopes import EVERYTHING, ScopeSet

WHOLE = """\
# Who may have what.
[roles.coordinator]
scopes = "docs:* tasks:*"
may_become = "reader"

[roles.reader]
scopes = ["docs:read"]

[roles."night shift"]

[tasks.summarize]
scopes = "docs:read"

[[rules]]
name = "no-prod"
effect = "deny"
actions = "docs:*"
when = { resource = ["prod/*", "live"], none = [{ role = "coordinator" }] }
reason = "production is read only"
priority = 10

[[rules]]
name = "readers"
effect = "allow"
actions = "docs:read"
when.all = [{ role = ["reader", "coordinator"] }, { any = [{ task = "summarize" }, { risk_above = 0.5 }] }]

[[rules]]
name = "hide"
effect = "mask"
actions = ["docs:read"]
fields = ["email", "author.phone"]
  [rules.when]
  scope = "docs:read"
  workspace = "default"

[[grants]]
name = "search"
scopes = "web:search"
from_role = "coordinator"
to_agent = "searcher"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "policy.toml"


def test_a_file_and_its_dict_say_the_same(path: Path) -> None:
    path.write_text(WHOLE)
    policy = load_policy(path)
    assert policy == load_policy(str(path)) == load_policy(tomllib.loads(WHOLE)) == load_policy(policy)
    assert load_policy(policy.to_dict()) == policy
    assert pickle.loads(pickle.dumps(policy)) == policy
    assert hash(load_policy(policy.to_dict())) == hash(policy)
    assert policy != load_policy({})


def test_what_a_file_says_is_what_the_policy_holds(path: Path) -> None:
    path.write_text(WHOLE)
    policy = load_policy(path)
    assert policy.roles["coordinator"].scopes == ScopeSet(["docs:*", "tasks:*"])
    assert policy.roles["coordinator"].may_become == {"reader"}
    assert policy.roles["night shift"].scopes == EVERYTHING
    assert policy.tasks["summarize"] == ScopeSet(["docs:read"])
    assert [rule.name for rule in policy.rules] == ["no-prod", "readers", "hide"]
    assert policy.rules[0].reason == "production is read only"
    assert policy.rules[2].fields == ("email", "author.phone")
    assert policy.grants["search"].scopes == ScopeSet(["web:search"])
    assert policy.narrows
    assert not policy.is_empty


def test_no_policy_is_the_empty_one() -> None:
    assert load_policy({}) == Policy.empty()
    assert Policy.empty().is_empty
    assert Policy.empty().body == "{}"


def test_the_digest_does_not_hang_on_the_order_or_the_spelling() -> None:
    first = {"roles": {"a": {"scopes": "x y"}, "b": {}}}
    second = {"roles": {"b": {}, "a": {"scopes": ["y", "x"]}}}
    assert load_policy(first).digest == load_policy(second).digest
    assert load_policy(first).digest != load_policy({"roles": {"a": {"scopes": "x"}, "b": {}}}).digest


RULE = '[[rules]]\nname = "a"\neffect = "allow"\nactions = "x"\n'


@pytest.mark.parametrize(
    ("text", "line", "key", "what"),
    [
        ('[roles.a]\nscopes = "x"\nscope = "y"\n', 3, "roles.a.scope", "not permitted"),
        ('[roles.a]\n\nscopes = "Docs:Read"\n', 3, "roles.a.scopes", "malformed scope"),
        ("[roles.a]\nscopes = 7\n", 2, "roles.a.scopes", "must be a string or an iterable"),
        ('[roles."a b"]\nmay_become = ["z"]\n', 2, "roles.a b.may_become", "there is no role 'z'"),
        ("[tasks.a]\n", 1, "tasks.a.scopes", "required"),
        (RULE + '[[rules]]\nname = "b"\neffect = "maybe"\nactions = "x"\n', 7, "rules[1].effect", "'allow'"),
        (RULE + '[[rules]]\nname = "a"\neffect = "deny"\nactions = "x"\n', 6, "rules[1].name", "another"),
        (RULE + "actions = []\n".replace("actions", "priority"), 5, "rules[0].priority", "integer"),
        ('[[rules]]\nname = "a"\neffect = "allow"\nactions = ""\n', 4, "rules[0].actions", "at least 1"),
        (RULE + "when = {}\n", 5, "rules[0].when", "at least one condition"),
        (RULE + "when.risk_above = nan\n", 5, "rules[0].when.risk_above", "finite"),
        (RULE + "when = { all = [{ risk = 1 }] }\n", 5, "rules[0].when.all[0].risk", "not permitted"),
        (RULE + "[rules.when]\n\nroles = 'a'\n", 7, "rules[0].when.roles", "not permitted"),
        (RULE + 'fields = ["a"]\n', 1, "rules[0]", "only a mask, names fields"),
        ('[[rules]]\nname = "a"\neffect = "mask"\nactions = "x"\nfields = "a"\n', 1, "rules[0]", "condition"),
        (RULE + 'reason = "why"\n', 1, "rules[0]", "only a deny"),
        ('[[grants]]\nname = "g"\nscopes = "x"\nto_agent = "b"\n', 1, "grants[0]", "from_role or from_agent"),
        ('[[grants]]\nname = "g"\nscopes = "x"\nfrom_agent = "b"\n', 1, "grants[0]", "to_role or to_agent"),
        (
            '[roles.r]\n[[grants]]\nname = "g"\nscopes = "x"\nfrom_role = "r"\nto_role = "s"\n',
            6,
            "grants[0].to_role",
            "no role 's'",
        ),
        ("[roles.r]\n" + RULE + "when.none = [{ role = 's' }]\n", 6, "rules[0].when.none[0].role", "no role"),
        ("[tasks.t]\nscopes='x'\n" + RULE + "when.task = 's'\n", 7, "rules[0].when.task", "no task 's'"),
        ("[role.a]\n", 1, "role", "not permitted"),
        ('[roles]\n"" = {}\n', 2, "roles.", "1 to 255"),
    ],
)
def test_each_fault_is_one_error_with_its_line_and_key(
    path: Path, text: str, line: int, key: str, what: str
) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_policy(path)
    assert f"line {line}, {key}" in str(caught.value)
    assert what in str(caught.value)
    with pytest.raises(ConfigError) as caught:
        load_policy(tomllib.loads(text))
    assert "line" not in str(caught.value)
    assert key in str(caught.value)


def test_what_is_not_toml_is_refused_with_its_place(path: Path) -> None:
    path.write_text('[roles.a]\nscopes = "x\n')
    with pytest.raises(ConfigError, match=r"not TOML.*line 2"):
        load_policy(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_policy(path)
    path.write_text("#" * 300_000)
    with pytest.raises(ConfigError, match="over 262144 bytes"):
        load_policy(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_policy(path.with_name("absent.toml"))


@pytest.mark.parametrize("source", [7, None, b"x", ["roles"]])
def test_what_is_no_policy_at_all_is_a_bad_argument(source: Any) -> None:
    with pytest.raises(InvalidArgument, match="policy"):
        load_policy(source)


def test_deep_nesting_is_refused_before_it_is_read() -> None:
    when: dict[str, Any] = {"role": "a"}
    for _ in range(20_000):
        when = {"none": [when]}
    with pytest.raises(ConfigError, match="nested"):
        load_policy({"rules": [{"name": "a", "effect": "allow", "actions": "x", "when": when}]})


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 5_000, "x = " + "{a=" * 2_000, "priority = " + "9" * 5_000, "a" * 9_000 + " = 1"],
)
def test_what_no_parser_should_be_given_is_one_error(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match="the policy"):
        load_policy(path)


@pytest.mark.parametrize("name", ["a\0b", "a\ud800b"])
def test_what_no_file_can_be_called_is_a_bad_argument(name: str) -> None:
    with pytest.raises(InvalidArgument, match="policy"):
        load_policy(name)


def test_finding_the_line_of_a_fault_takes_no_longer_for_a_strange_file(path: Path) -> None:
    path.write_text('x = """\n' + ("[" + " " * 8_000 + "\n") * 20 + '"""\n')
    with pytest.raises(ConfigError, match="line 1, x"):
        load_policy(path)


def test_a_condition_that_says_nothing_is_no_condition() -> None:
    with pytest.raises(ConfigError, match="at least one condition"):
        load_policy({"rules": [{"name": "a", "effect": "allow", "actions": "*", "when": {"task": None}}]})


def test_a_strange_name_is_shown_safely() -> None:
    with pytest.raises(ConfigError) as caught:
        load_policy({"a\nb": 2})
    assert "\n" not in str(caught.value)


def test_a_file_as_large_as_it_may_be_is_read(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    for text in ("", "#" * 8_192, "#\n" * 131_072):
        path.write_text(text)
        assert load_policy(path) == Policy.empty()
