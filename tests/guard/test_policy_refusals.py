"""What no policy may say and nobody may ask one, and in which words: the key, and what is wrong."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clawguard.errors import ClawguardError
from clawguard.guard.policy import check_question
from clawguard.guard.policy_file import load_policy

WRONG: Any = 7
RULE = {"name": "r", "effect": "allow", "actions": "docs:read"}
GRANT = {"name": "g", "scopes": "a", "from_agent": "ana", "to_agent": "ben"}


def nested(depth: int) -> dict[str, Any]:
    return {"in": nested(depth - 1)} if depth else {}


def policy_of(**rule: Any) -> object:
    return load_policy({"rules": [RULE | rule]})


def file_of(data: bytes) -> Path:
    path = Path(tempfile.mkdtemp()) / "policy.toml"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (
            lambda: load_policy(WRONG),
            "InvalidArgument: policy: must be the path of a TOML file, a dict or a Policy",
        ),
        (
            lambda: load_policy("/nonexistent/policy.toml"),
            (
                "ConfigError: the policy cannot be read: No such file or directory; look at "
                "/nonexistent/policy.toml"
            ),
        ),
        (lambda: load_policy("a\0b"), "InvalidArgument: policy: holds characters that no file name has"),
        (lambda: load_policy({"deep": nested(16)}), "ConfigError: the policy is nested more than 16 deep"),
        (
            lambda: load_policy({"rules": [RULE, RULE]}),
            "ConfigError: the policy, rules[1].name: 'r' is another one's name",
        ),
        (
            lambda: load_policy({"rules": [RULE | {"when": {"role": "boss"}}], "roles": {"clerk": {}}}),
            "ConfigError: the policy, rules[0].when.role: there is no role 'boss'",
        ),
        (
            lambda: policy_of(effect="mask"),
            "ConfigError: the policy, rules[0]: a mask, and only a mask, names fields",
        ),
        (
            lambda: policy_of(effect="mask", fields=["a"]),
            "ConfigError: the policy, rules[0]: a mask needs a condition in 'when'",
        ),
        (
            lambda: policy_of(fields=["a"]),
            "ConfigError: the policy, rules[0]: a mask, and only a mask, names fields",
        ),
        (lambda: policy_of(reason="a"), "ConfigError: the policy, rules[0]: only a deny has a reason"),
        (
            lambda: policy_of(when={}),
            "ConfigError: the policy, rules[0].when: must hold at least one condition",
        ),
        (
            lambda: policy_of(actions=["A"]),
            "ConfigError: the policy, rules[0].actions: holds a malformed scope",
        ),
        (
            lambda: load_policy({"grants": [{"name": "g", "scopes": ["a"], "to_role": ["b"]}]}),
            "ConfigError: the policy, grants[0]: needs from_role or from_agent",
        ),
        (
            lambda: load_policy({"grants": [{"name": "g", "scopes": ["a"], "from_role": ["b"]}]}),
            "ConfigError: the policy, grants[0]: needs to_role or to_agent",
        ),
        (
            lambda: check_question("mail:*", resource=None, risk=0),
            "InvalidArgument: action: must be one action, without a wildcard",
        ),
        (
            lambda: check_question("mail:send", resource=None, risk=-1),
            "InvalidArgument: risk: must be a number of at least 0",
        ),
        (
            lambda: check_question("Mail", resource=None, risk=0),
            (
                "InvalidArgument: action: holds a malformed scope; write lower-case ASCII segments such "
                "as 'docs:read' or 'docs:*', separated by spaces"
            ),
        ),
        (
            lambda: check_question("mail:send", resource="", risk=0),
            "InvalidArgument: resource: must be 1 to 255 printable characters",
        ),
        (
            lambda: load_policy(
                {"rules": [RULE | {"when": {"task": "sum"}}], "tasks": {"write": {"scopes": "a"}}}
            ),
            "ConfigError: the policy, rules[0].when.task: there is no task 'sum'",
        ),
        (
            lambda: load_policy({"roles": {"a": {"may_become": "b"}}}),
            "ConfigError: the policy, roles.a.may_become: there is no role 'b'",
        ),
        (
            lambda: load_policy({"grants": [GRANT | {"from_role": "b"}], "roles": {"a": {}}}),
            "ConfigError: the policy, grants[0].from_role: there is no role 'b'",
        ),
        (
            lambda: load_policy({"grants": [GRANT | {"to_role": "b"}], "roles": {"a": {}}}),
            "ConfigError: the policy, grants[0].to_role: there is no role 'b'",
        ),
        (
            lambda: load_policy({"grants": [GRANT, GRANT]}),
            "ConfigError: the policy, grants[1].name: 'g' is another one's name",
        ),
        (lambda: load_policy(file_of(b"\xff")), "ConfigError: the policy is not UTF-8 text"),
        (
            lambda: load_policy(file_of(b"a = ")),
            "ConfigError: the policy is not TOML that can be read: Invalid value (at end of document)",
        ),
        (
            lambda: load_policy(file_of(b"a" * 8_193)),
            "ConfigError: the policy is over 262144 bytes, or has a line over 8192",
        ),
        (
            lambda: load_policy(file_of(b"#\n" * 131_073)),
            "ConfigError: the policy is over 262144 bytes, or has a line over 8192",
        ),
        (
            lambda: check_question("mail:send", resource=None, risk=True),
            "InvalidArgument: risk: must be a number of at least 0",
        ),
        (
            lambda: check_question("mail:send", resource=None, risk=float("inf")),
            "InvalidArgument: risk: must be a number of at least 0",
        ),
        (
            lambda: load_policy(file_of(b"#\n" * 131_072 + b"#")),
            "ConfigError: the policy is over 262144 bytes, or has a line over 8192",
        ),
        (
            lambda: load_policy(file_of(b"#" * 8_193)),
            "ConfigError: the policy is over 262144 bytes, or has a line over 8192",
        ),
        (
            lambda: load_policy(
                {"roles": {"clerk": {}}, "rules": [RULE | {"when": {"all": [{"role": "boss"}]}}]}
            ),
            "ConfigError: the policy, rules[0].when.all[0].role: there is no role 'boss'",
        ),
        (
            lambda: load_policy(
                {"roles": {"clerk": {}}, "rules": [RULE | {"when": {"any": [{"role": "boss"}]}}]}
            ),
            "ConfigError: the policy, rules[0].when.any[0].role: there is no role 'boss'",
        ),
        (
            lambda: load_policy(
                {"roles": {"clerk": {}}, "rules": [RULE | {"when": {"none": [{"all": [{"role": "boss"}]}]}}]}
            ),
            "ConfigError: the policy, rules[0].when.none[0].all[0].role: there is no role 'boss'",
        ),
        (
            lambda: load_policy({"roles": {"": {}}}),
            "ConfigError: the policy, roles.: must be 1 to 255 printable characters",
        ),
        (
            lambda: load_policy(file_of(b"a = " + b"1" * 5_000)),
            "ConfigError: the policy is not TOML that can be read: ValueError",
        ),
        (lambda: load_policy({"deep": nested(15)}), "ConfigError: the policy is nested more than 16 deep"),
    ],
)
def test_a_refusal_says_what_is_wrong_and_how_to_mend_it(asked: Callable[[], object], told: str) -> None:
    with pytest.raises((ClawguardError, TypeError, ValueError)) as refused:
        asked()
    assert f"{type(refused.value).__name__}: {refused.value}" == told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda: load_policy({"rules": 7}), "ConfigError: the policy, rules: "),
        (lambda: load_policy({"colour": 1}), "ConfigError: the policy, colour: "),
        (lambda: load_policy({"rules": [{}]}), "ConfigError: the policy, rules[0].name: "),
        (lambda: load_policy({WRONG: {}}), "ConfigError: the policy, [7]: "),
        (
            lambda: policy_of(when={"any": [{"all": [{"none": []}]}]}),
            "ConfigError: the policy, rules[0].when.any[0].all[0].none: ",
        ),
        (lambda: load_policy({"a\nb": 1}), "ConfigError: the policy, 'a\\nb': "),
        (
            lambda: load_policy(file_of(b"[roles.a]\nmay = 1\n")),
            "ConfigError: the policy, line 2, roles.a.may: ",
        ),
        (lambda: load_policy({"Xavier": 1}), "ConfigError: the policy, Xavier: "),
        (lambda: load_policy(file_of(b"\ncolour = 1\n")), "ConfigError: the policy, line 2, colour: "),
        (lambda: load_policy({"deep": nested(14)}), "ConfigError: the policy, deep: "),
    ],
)
def test_a_refusal_names_the_key_and_in_a_file_its_line(asked: Callable[[], object], told: str) -> None:
    with pytest.raises(ClawguardError) as refused:
        asked()
    assert f"{type(refused.value).__name__}: {refused.value}".startswith(told)
